"""The embedded analysis models on people whom they have never seen, through the stage; and other packs through the same
code."""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from small_run import put

from data import schemas
from data.errors import UserError
from data.store import Store
from model_training.analysis_models.networks import Detector, GenderAge, Recogniser, seeded, write_onnx
from model_training.analysis_models.portraits import Portrait, darken, decode, draw_people, draw_portraits
from tasks.analysis import stage
from tasks.analysis.labels import Questions, load_zero_shot
from tasks.faces import EMBEDDED_PACK, FaceSettings, face_revision, find_faces, load_faces

PEOPLE, VIEWS, SEED = 24, 5, 77
SETTINGS = stage.Settings(identities_per_shard=16)
EXPECTED_FACES = {"portrait": 1, "two_faces": 2, "no_face": 0}


@pytest.fixture(scope="session")
def people():
    return draw_people(SEED, "test of the stage", PEOPLE)


@pytest.fixture(scope="session")
def portraits(people) -> dict[str, Portrait]:
    """File name -> portrait; the anchors are named after their identity only."""
    drawn = draw_portraits(people, SEED, "test of the stage", VIEWS, every=1, workers=1)
    return {
        f"{portrait.identity:08}_{number:03}_{portrait.kind}.jpg": portrait for number, portrait in enumerate(drawn)
    }


@pytest.fixture(scope="session")
def engine():
    return stage.load_engine(SETTINGS)


@pytest.fixture(scope="session")
def store(tmp_path_factory, people, portraits, engine) -> Store:
    """Anchors and portraits by hand, a damaged file among them."""
    store = Store(tmp_path_factory.mktemp("run"))
    anchors, rows = [], [{"file_name": "damaged.jpg", "identity_id": "00000000", "image": b"\xff\xd8 not a picture"}]
    for name, portrait in portraits.items():
        identity_id, person = f"{portrait.identity:08}", people[portrait.identity]
        if portrait.kind == "anchor":
            (face,) = find_faces(engine.faces, decode(portrait.image))
            anchors.append(
                {
                    "identity_id": identity_id,
                    "face_embedding": face.normed_embedding.tolist(),
                    "gender": person.gender,
                    "age_group": person.age_group,
                    "region": person.region,
                }
            )
        else:
            rows.append({"file_name": name, "identity_id": identity_id, "image": portrait.image})
    put(store, "anchors", schemas.ANCHORS, anchors)
    put(store, "portraits", schemas.PORTRAITS, rows)
    return store


@pytest.fixture(scope="session")
def upstream(store):
    return {"anchors": store.view("anchors", "identity_id"), "portraits": store.view("portraits", "file_name")}


@pytest.fixture(scope="session")
def results(store, upstream, engine):
    return [stage.run(shard, SETTINGS, upstream, engine) for shard in stage.plan(SETTINGS, upstream)]


@pytest.fixture(scope="session")
def rows(results) -> list[dict]:
    return [row for result in results for row in result.rows]


def test_every_portrait_is_measured_or_rejected_with_a_reason(results, rows, portraits):
    assert [(reject.item, reject.reason) for result in results for reject in result.rejects] == [
        ("damaged.jpg", "picture is damaged")
    ]
    assert [row["file_name"] for row in rows] == [
        name for name, portrait in portraits.items() if portrait.kind != "anchor"
    ]
    for row in rows:
        assert 0 < row["brightness"] < 1
        labels = json.loads(row["labels"])
        assert set(labels) == ({"gender", "age_group", "people", "light"} if row["faces"] else {"people", "light"})
        assert all(sum(answer.values()) == pytest.approx(1, abs=1e-3) for answer in labels.values())
        assert (row.get("gender") in labels["gender"]) if row["faces"] else (row.get("gender") is None)


def test_the_number_of_faces_is_right(rows, portraits):
    right = [row["faces"] == EXPECTED_FACES[portraits[row["file_name"]].kind] for row in rows]
    assert np.mean(right) >= 0.97


def test_verification_of_unseen_identities(store, rows, portraits):
    anchors = {
        row["identity_id"]: np.array(row["face_embedding"]) for row in store.view("anchors", "identity_id").rows()
    }
    single = [row for row in rows if portraits[row["file_name"]].kind == "portrait" and row["faces"] == 1]
    own, cosines = [], []
    for row in single:
        for identity_id, anchor in anchors.items():
            own.append(identity_id == row["identity_id"])
            cosines.append(np.dot(anchor, row["face_embedding"]) / np.linalg.norm(anchor))
    assert roc_auc_score(own, cosines) >= 0.975
    assert [row["anchor_similarity"] for row in single] == pytest.approx(
        [cosine for cosine, mine in zip(cosines, own) if mine], abs=1e-5
    )


def test_zero_shot_labels_of_unseen_identities(rows, portraits, people):
    single = [row for row in rows if portraits[row["file_name"]].kind == "portrait" and row["faces"] == 1]
    assert np.mean([row["gender"] == people[portraits[row["file_name"]].identity].gender for row in single]) >= 0.94
    number = {"portrait": "one", "two_faces": "several", "no_face": "none"}
    counted = [json.loads(row["labels"])["people"] for row in rows]
    right = [
        max(answer, key=answer.get) == number[portraits[row["file_name"]].kind]
        for answer, row in zip(counted, rows, strict=True)
    ]
    assert np.mean(right) >= 0.9


def test_a_nearly_black_portrait_is_dark_in_both_ways(tmp_path, upstream, portraits, engine, store):
    name, portrait = next((name, portrait) for name, portrait in portraits.items() if portrait.kind == "portrait")
    dark = Store(tmp_path)
    put(dark, "anchors", schemas.ANCHORS, list(upstream["anchors"].rows()))
    put(
        dark,
        "portraits",
        schemas.PORTRAITS,
        [
            {
                "file_name": name,
                "identity_id": "00000000",
                "image": _jpeg(darken(decode(portrait.image), np.random.default_rng(0))),
            }
        ],
    )
    views = {"anchors": dark.view("anchors", "identity_id"), "portraits": dark.view("portraits", "file_name")}
    (row,) = stage.run(stage.plan(SETTINGS, views)[0], SETTINGS, views, engine).rows
    light = json.loads(row["labels"])["light"]
    assert row["brightness"] < 0.08 and light["dark"] > light["normal"]


def test_the_same_shard_gives_the_same_rows_again(upstream, engine, results):
    shard = stage.plan(SETTINGS, upstream)[1]
    assert stage.run(shard, SETTINGS, upstream, engine) == results[1]


def test_summary_counts_portraits(store, results, upstream):
    for index, result in enumerate(results):
        put(store, "analysis", schemas.ANALYSIS, result.rows, result.rejects, index)
    summary = stage.summarise(SETTINGS, store.view("analysis", "file_name"), upstream)
    assert f"{PEOPLE * (VIEWS + 2)} portraits measured, 1 damaged" in summary.text


def _jpeg(image: np.ndarray) -> bytes:
    import cv2

    return cv2.imencode(".jpg", image[:, :, ::-1])[1].tobytes()


@pytest.fixture(scope="module")
def buffalo(tmp_path_factory):
    """A folder of packs with random weights in the layout of buffalo_l, other models of the real one left out."""
    root = tmp_path_factory.mktemp("insightface")
    folder = root / "models" / "buffalo_l"
    folder.mkdir(parents=True)
    with seeded("buffalo"):
        for network, written, name in (
            (Detector(), "detector", "det_10g"),
            (Recogniser(), "recogniser", "w600k_r50"),
            (GenderAge(), "genderage", "genderage"),
        ):
            write_onnx(network, folder)
            (folder / f"{written}.onnx").rename(folder / f"{name}.onnx")
    return root


def test_a_pack_in_the_layout_of_buffalo_l_loads_by_name_and_by_folder(buffalo):
    image = np.random.default_rng(0).integers(0, 255, (200, 150, 3), dtype=np.uint8)
    found = []
    for settings in (
        FaceSettings(pack="buffalo_l", root=str(buffalo), detection_threshold=0.01, detection_size=64),
        FaceSettings(pack=str(buffalo / "models" / "buffalo_l"), detection_threshold=0.01, detection_size=64),
    ):
        app = load_faces(settings)
        assert set(app.models) == {"detection", "recognition", "genderage"}
        faces = find_faces(app, image)
        areas = [np.prod(face.bbox[2:] - face.bbox[:2]) for face in faces]
        assert faces and areas == sorted(areas, reverse=True)
        assert all(
            face.normed_embedding.shape == (512,) and face.kps.shape == (5, 2) and face.sex in "FM" for face in faces
        )
        found.append(np.array([face.embedding for face in faces]))
    assert np.array_equal(*found)
    assert face_revision(FaceSettings()) != face_revision(settings)


@pytest.mark.parametrize("pack", ["buffalo_m", "empty folder"])
def test_a_missing_pack_is_one_line_that_names_the_folder(tmp_path, pack):
    if pack == "empty folder":
        pack = str(tmp_path)
    with pytest.raises(UserError, match="no face pack") as caught:
        load_faces(FaceSettings(pack=pack, root=str(tmp_path)))
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "models").exists()


def test_a_damaged_or_incomplete_pack_is_one_line(tmp_path):
    (tmp_path / "recogniser.onnx").write_bytes((EMBEDDED_PACK / "recogniser.onnx").read_bytes())
    with pytest.raises(UserError, match="restore its files"):
        load_faces(FaceSettings(pack=str(tmp_path)))
    (tmp_path / "detector.onnx").write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_faces(FaceSettings(pack=str(tmp_path)))


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("local-dir:/nowhere", "no open_clip model here"),
        ("RN50/no-such-tag", "cannot be loaded"),
        ("no-such-model", "cannot be loaded"),
    ],
)
def test_a_missing_clip_is_one_line(name, problem):
    with pytest.raises(UserError, match=problem):
        load_zero_shot(name, "cpu")


def test_questions_must_hold_the_fixed_labels():
    question = {"view": "face", "templates": ["a {}"], "labels": {"female": "woman", "male": "man"}}
    with pytest.raises(ValueError, match="age_group"):
        Questions.model_validate({"gender": question})
