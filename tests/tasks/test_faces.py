"""Faces: pose against the truth of drawn heads, and the parts of the pack against insightface's own whole."""

from copy import copy
from types import SimpleNamespace

import numpy as np
import pytest
from face_pack import make_face_pack
from insightface.app.common import Face
from insightface.utils.face_align import norm_crop
from PIL import Image, ImageFilter

from salmu.data.errors import UserError
from salmu.data.keyed import generator
from salmu.data.procedural.person import draw_person
from salmu.data.procedural.render import render
from salmu.data.procedural.view import draw_view
from salmu.data.schemas import AGE_GROUPS, GENDERS, REGIONS
from salmu.tasks.face_packs import FaceSettings
from salmu.tasks.faces import (
    aligned_crop,
    bgr,
    crop_size,
    detect_faces,
    find_faces,
    gender_and_age,
    load_faces,
    pose,
    recognise,
    sharpness,
)

PICTURES = 36


@pytest.fixture(scope="module")
def pack():
    return load_faces(FaceSettings())


@pytest.fixture(scope="module")
def drawn():
    """Pictures of turned, lifted and leaning heads, with the true angles [n, 3]: yaw, pitch, roll."""
    pictures, angles = [], []
    for number in range(PICTURES):
        rng = generator("pose", number)
        person = draw_person(rng, GENDERS[number % 2], AGE_GROUPS[number % 6], REGIONS[number % 7])
        turn = [float(rng.uniform(-limit, limit)) for limit in (30, 12, 25)]
        view = draw_view(rng, person).model_copy(update=dict(zip(("yaw", "pitch", "roll"), turn, strict=True)))
        pictures.append(render(person, view, 112, 112))
        angles.append(turn)
    return pictures, np.array(angles)


def test_pose_follows_the_true_angles_with_their_sign(drawn):
    pictures, truth = drawn
    found = np.array([pose(picture.landmarks[0]) for picture in pictures])
    slopes = [np.polyfit(truth[:, axis], found[:, axis], 1)[0] for axis in range(3)]
    correlations = [np.corrcoef(truth[:, axis], found[:, axis])[0, 1] for axis in range(3)]
    assert correlations[0] > 0.95 and correlations[1] > 0.6 and correlations[2] > 0.95
    assert all(0.7 < slope < 1.3 for slope in slopes)
    assert (np.abs(found - truth).mean(axis=0)[[0, 2]] < 4).all()


def test_pose_depends_on_neither_place_nor_size(drawn):
    landmarks = drawn[0][0].landmarks[0]
    assert pose(landmarks * 3 + [40, -7]) == pytest.approx(pose(landmarks), abs=1e-3)


def test_yaw_of_the_landmarks_that_the_embedded_pack_finds(drawn, pack):
    pictures, truth = drawn
    found = [(detect_faces(pack, picture.image), angles[0]) for picture, angles in zip(*drawn, strict=True)]
    pairs = np.array([(pose(faces[0].kps)[0], yaw) for faces, yaw in found if faces])
    assert len(pairs) > 0.9 * PICTURES and np.corrcoef(pairs.T)[0, 1] > 0.85


def test_the_parts_say_what_insightface_says(drawn, pack):
    crops, whole = [], []
    for picture in drawn[0][:6]:
        (face,), (own,) = detect_faces(pack, picture.image), find_faces(pack, picture.image)
        assert np.array_equal(face.bbox, own.bbox) and np.array_equal(face.kps, own.kps)
        assert gender_and_age(pack, picture.image, face) == (GENDERS[own.gender], own.age)
        crops.append(aligned_crop(picture.image, face.kps, crop_size(pack)))
        whole.append(own.normed_embedding)
    assert np.allclose(recognise(pack, crops), whole, atol=1e-5)


def test_without_a_face_or_a_gender_model_there_is_nothing(pack, drawn):
    assert detect_faces(pack, np.zeros((200, 200, 3), np.uint8)) == []
    bare = type("Pack", (), {"models": {}})
    assert gender_and_age(bare, drawn[0][0].image, None) == (None, None)


@pytest.mark.parametrize("size", [112, 224, 256])
def test_an_aligned_crop_holds_the_eyes_where_arcface_wants_them(drawn, size):
    picture = drawn[0][0]
    marked = np.zeros_like(picture.image)
    x, y = picture.landmarks[0][0].round().astype(int)
    marked[y - 1 : y + 2, x - 1 : x + 2] = 255
    crop = aligned_crop(marked, picture.landmarks[0], size)
    assert crop.shape == (size, size, 3)
    bright = np.argwhere(crop[:, :, 0] > 100).mean(axis=0)[::-1]
    scale, shift = (size / 112, 0) if size % 112 == 0 else (size / 128, 8)
    assert np.allclose(bright / scale - [shift, 0], [38.3, 51.7], atol=5)


def test_an_aligned_crop_is_that_of_insightface_to_the_byte():
    rng = generator("crops")
    picture = rng.integers(0, 256, (200, 200, 3), dtype=np.uint8)
    for size in (112, 128, 224):
        for _ in range(20):
            points = (rng.uniform(40, 160, 2) + rng.normal(0, 30, (5, 2))).astype(np.float32)
            assert np.array_equal(aligned_crop(picture, points, size), norm_crop(picture, points, size))


def test_what_the_genderage_model_sees_is_what_insightface_shows_it_to_the_byte(pack):
    rng, model, shown = generator("boxes"), pack.models["genderage"], []

    class Session:
        def run(self, names, inputs):
            shown.append(inputs[model.input_name])
            return model.session.run(names, inputs)

    ours = SimpleNamespace(models={"genderage": copy(model)})
    ours.models["genderage"].session = Session()
    picture = rng.integers(0, 256, (200, 260, 3), dtype=np.uint8)
    for _ in range(20):
        corner, size = rng.uniform(-30, 150, 2), rng.uniform(20, 120, 2)
        face = Face(bbox=np.concatenate([corner, corner + size]).astype(np.float32))
        said = gender_and_age(ours, picture, face)
        gender, age = ours.models["genderage"].get(bgr(picture), face)
        assert np.array_equal(shown[-2], shown[-1]) and said == (GENDERS[gender], age)


def test_a_blurred_face_is_less_sharp(drawn):
    picture = drawn[0][1]
    values = []
    for radius in (0, 1, 2):
        image = np.asarray(Image.fromarray(picture.image).filter(ImageFilter.GaussianBlur(radius)))
        values.append(sharpness(aligned_crop(image, picture.landmarks[0])))
    assert values[0] > values[1] > values[2]


def test_two_models_of_a_kind_are_named(tmp_path):
    """insightface itself takes the file whose name comes first."""
    pack = make_face_pack(tmp_path / "pack")
    assert load_faces(FaceSettings(pack=str(pack)))
    (pack / "a_better_one.onnx").write_bytes((pack / "w600k_r50.onnx").read_bytes())
    with pytest.raises(
        UserError, match="a_better_one.onnx and w600k_r50.onnx are both models for recognition; move one"
    ):
        load_faces(FaceSettings(pack=str(pack)))
