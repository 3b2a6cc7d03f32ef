"""The training of the embedded analysis models: targets that decode to the truth, ONNX files that say what torch says,
and the committed files themselves."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from salmu.data.files import file_sha256
from salmu.model_training.analysis_models.clip import QUESTIONS, captions, train_clip
from salmu.model_training.analysis_models.detector import SIDE, anchors, detection_loss, example, targets
from salmu.model_training.analysis_models.networks import (
    ANCHOR_SIZES,
    STRIDES,
    Detector,
    GenderAge,
    Recogniser,
    seeded,
    write_onnx,
)
from salmu.model_training.analysis_models.portraits import draw_people, draw_portraits, load, save
from salmu.model_training.analysis_models.recogniser import CosineMargin, train_genderage

MODELS = Path(__file__).parents[2] / "data" / "models"


@pytest.fixture(scope="module")
def people():
    return draw_people(5, "train", 4)


@pytest.fixture(scope="module")
def portraits(people):
    return draw_portraits(people, 5, "train", 1, every=2, workers=1)


def test_committed_files_are_those_that_were_measured_and_small():
    measured = json.loads((MODELS / "measured.json").read_text())
    assert {name: file_sha256(MODELS / name) for name in measured["sha256"]} == measured["sha256"]
    assert set(measured["sha256"]) == {
        str(path.relative_to(MODELS)) for folder in ("faces", "clip") for path in (MODELS / folder).iterdir()
    }
    assert sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file()) <= 8_000_000


def test_measured_targets():
    measured = json.loads((MODELS / "measured.json").read_text())
    assert measured["verification"]["to_anchor"]["auc"] >= 0.98
    assert measured["zero_shot"]["gender_accuracy"] >= 0.95
    assert measured["face_count_right"]["all"] >= 0.98


@settings(deadline=None)
@given(size=st.floats(14, 150), ratio=st.floats(0.7, 1.2), x=st.floats(0.2, 0.8), y=st.floats(0.2, 0.8))
def test_anchors_of_a_face_decode_to_its_box_and_landmarks(size, ratio, x, y):
    half = np.array([size * np.sqrt(ratio), size / np.sqrt(ratio)]) / 2
    centre = np.array([x, y]) * SIDE
    box = np.concatenate([centre - half, centre + half])
    points = centre + half * np.array([[-0.5, -0.3], [0.5, -0.3], [0, 0.1], [-0.4, 0.5], [0.4, 0.5]])
    grid = anchors()
    labels, values = targets(box[None], points[None], grid)
    chosen = labels == 1
    assert 1 <= chosen.sum() <= 12
    corner, stride = grid[chosen, :2], grid[chosen, 2:3]
    decoded = np.concatenate([corner - values[chosen, :2] * stride, corner + values[chosen, 2:4] * stride], axis=1)
    assert np.allclose(decoded, box, atol=1e-3)
    assert np.allclose(corner[:, None] + values[chosen, 4:].reshape(-1, 5, 2) * stride[:, None], points, atol=1e-3)


def test_training_pictures_keep_faces_and_landmarks_together(portraits):
    rng = np.random.default_rng(0)
    for portrait in portraits:
        for _ in range(6):
            image, boxes, landmarks = example(portrait, rng)
            assert image.shape == (SIDE, SIDE, 3) and len(boxes) == len(landmarks) == len(portrait.boxes)
            for box, points in zip(boxes, landmarks, strict=True):
                assert (box[:2] < box[2:]).all() and points[0, 0] < points[1, 0] and points[3, 0] < points[4, 0]
                assert (points >= box[:2] - 3).all() and (points <= box[2:] + 3).all()


def test_perfect_outputs_have_no_loss():
    grid = anchors()
    labels, values = targets(np.array([[40.0, 30, 100, 110]]), np.full((1, 5, 2), 70.0), grid)
    counts = np.cumsum(
        [len(sizes) * (SIDE // stride) ** 2 for stride, sizes in zip(STRIDES, ANCHOR_SIZES, strict=True)]
    )[:-1]
    scores = np.where(labels == 1, 20.0, -20.0).astype(np.float32)[:, None]
    outputs = [
        [torch.from_numpy(part)[None] for part in np.split(kind, counts)]
        for kind in (scores, values[:, :4], values[:, 4:])
    ]
    assert (
        detection_loss(outputs, torch.from_numpy(labels)[None], torch.from_numpy(values)[None], torch.from_numpy(grid))
        < 1e-6
    )


@pytest.mark.parametrize(
    ("network", "name", "side"),
    [(Recogniser, "recogniser", 112), (GenderAge, "genderage", 96), (Detector, "detector", 96)],
)
def test_onnx_files_say_what_torch_says(tmp_path, network, name, side):
    with seeded(name):
        model = network().eval()
        x = torch.randn(1, 3, side, side)
    write_onnx(model, tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / f"{name}.onnx", providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        expected = [model(x)] if network is not Detector else [level[0] for kind in model(x) for level in kind]
    assert len(found) == (9 if network is Detector else 1)
    for index, (one, other) in enumerate(zip(found, expected, strict=True)):
        wanted = torch.sigmoid(other) if network is Detector and index < 3 else other
        assert one.shape == tuple(wanted.shape) and np.allclose(one, wanted.numpy(), atol=1e-4)


def test_the_margin_makes_the_own_class_harder():
    with seeded("margin"):
        margin = CosineMargin(16, 4)
        embeddings, identity = torch.randn(8, 16), torch.arange(8) % 4
    plain = torch.nn.functional.cross_entropy(
        24 * torch.nn.functional.normalize(embeddings) @ torch.nn.functional.normalize(margin.directions).T, identity
    )
    assert margin(embeddings, identity) > plain


def test_training_repeats_exactly_and_leaves_the_global_generator_alone(portraits, people):
    faces = [portrait for portrait in portraits if portrait.kind == "portrait"]
    before = torch.random.get_rng_state()
    weights = [train_genderage(faces, people, seed=1, steps=3, batch=4).state_dict() for _ in range(2)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert torch.equal(before, torch.random.get_rng_state())


def test_clip_is_written_for_open_clip(tmp_path, portraits, people):
    train_clip(portraits, people, tmp_path, seed=1, steps=2, batch=8)
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tmp_path}")
    tokens = open_clip.get_tokenizer(f"local-dir:{tmp_path}")(["a photo of a woman", "a photo of a zebra in Zürich"])
    assert tokens[0, 0] == 1 and (tokens == 2).sum(dim=1).tolist() == [1, 1]
    with torch.no_grad():
        assert model.eval().encode_text(tokens, normalize=True).isfinite().all()
    assert preprocess.transforms[0].size in (64, (64, 64))


def test_captions_of_different_classes_differ():
    rng = np.random.default_rng(0)
    for question in QUESTIONS:
        for _ in range(50):
            texts = captions(question, rng)
            assert len(set(texts)) == len(texts) >= 2


def test_portraits_survive_the_cache(tmp_path, portraits):
    save(portraits, tmp_path / "portraits.parquet")
    for one, other in zip(load(tmp_path / "portraits.parquet"), portraits, strict=True):
        assert (
            one[:3] == other[:3]
            and np.array_equal(one.boxes, other.boxes)
            and np.array_equal(one.landmarks, other.landmarks)
        )
