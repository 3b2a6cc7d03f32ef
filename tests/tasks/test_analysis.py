"""The embedded analysis models on people whom they have never seen, through the stage; and other packs through the same
code."""

import io
import json

import numpy as np
import pytest
import torch
from checkpoints import make_clip, make_fairface
from PIL import Image
from sklearn.metrics import roc_auc_score
from small_run import put

from salmu.data import schemas
from salmu.data.errors import UserError
from salmu.data.keyed import generator
from salmu.data.store import Store
from salmu.model_training.analysis_models.networks import Detector, GenderAge, Recogniser, seeded, write_onnx
from salmu.model_training.analysis_models.portraits import Portrait, darken, decode, draw_people, draw_portraits
from salmu.tasks.analysis import stage
from salmu.tasks.curation import stage as curation
from salmu.tasks.curation.decide import decide
from salmu.tasks.face_packs import EMBEDDED_PACK, FaceSettings, face_revision
from salmu.tasks.faces import find_faces, load_faces
from salmu.tasks.labels import whole_square

PEOPLE, VIEWS, SEED = 24, 5, 77
QUESTIONS = ("gender", "age_group", "region")
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


def test_a_second_pack_says_how_like_the_anchor_a_portrait_is(engine, portraits, rows):
    twice = engine._replace(second=load_faces(FaceSettings()))
    row = next(row for row in rows if portraits[row["file_name"]].kind == "portrait" and row["faces"] == 1)
    identity, shown = row["identity_id"], portraits[row["file_name"]]
    anchor = next(one for one in portraits.values() if one.kind == "anchor" and one.identity == shown.identity)
    upstream = [{"identity_id": identity, "image": anchor.image}]
    (mine,) = stage.measure([{"file_name": "a", "identity_id": identity, "image": shown.image}], SETTINGS, twice).rows
    stage._second_opinion([mine], upstream, twice)
    assert mine["second_similarity"] == pytest.approx(row["anchor_similarity"], abs=1e-4)
    assert "second_embedding" not in mine and set(mine) <= set(schemas.ANALYSIS.names)
    settings = stage.Settings(second_faces={"pack": "embedded"})
    assert stage.revisions(settings)["second faces"] and "second_faces" not in stage.Settings().fingerprint()


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


def test_the_same_shard_gives_the_same_rows_again_whatever_the_threads(upstream, engine, results):
    shard = stage.plan(SETTINGS, upstream)[1]
    for threads in (1, 3):
        assert stage.run(shard, SETTINGS.model_copy(update={"threads": threads}), upstream, engine) == results[1]


def test_each_portrait_is_decoded_once(upstream, engine, monkeypatch):
    opened, open_picture = [], Image.open
    monkeypatch.setattr(Image, "open", lambda file, **how: (opened.append(file), open_picture(file, **how))[1])
    shard = stage.plan(SETTINGS, upstream)[1]
    stage.run(shard, SETTINGS, upstream, engine)
    assert len(opened) == len(shard.items)


def test_embeddings_are_those_of_the_libraries_called_one_by_one(rows, portraits, engine):
    row = next(row for row in rows if row["faces"] == 1)
    picture = Image.fromarray(decode(portraits[row["file_name"]].image))
    (face,) = find_faces(engine.faces, np.asarray(picture))
    assert row["face_embedding"] == pytest.approx(face.normed_embedding.tolist(), abs=1e-5)
    zero_shot = engine.zero_shot
    with torch.no_grad():
        pixels = zero_shot.preprocess(whole_square(picture))[None]
        embedding = zero_shot.model.encode_image(pixels, normalize=True)[0]
    assert row["clip_embedding"] == pytest.approx(embedding.tolist(), abs=1e-5)
    assert np.linalg.norm(row["clip_embedding"]) == pytest.approx(1, abs=1e-5)


def test_real_layouts_answer_every_question(tmp_path, upstream):
    """A CLIP with the questions for photographs, and FairFace beside it, in their published layouts."""
    settings = stage.Settings(
        clip=f"local-dir:{make_clip(tmp_path / 'clip')}",
        questions="labels_photographs",
        fairface={"checkpoint": str(make_fairface(tmp_path / "fairface"))},
        identities_per_shard=2,
    )
    shard = stage.plan(settings, upstream)[0]
    result = stage.run(shard, settings, upstream, stage.load_engine(settings))
    row = next(row for row in result.rows if row["faces"])
    labels = json.loads(row["labels"])
    assert {*QUESTIONS, "people", "medium", "occlusion", "quality", "unsafe"} == set(labels)
    fairface = json.loads(row["fairface"])
    for prefix, said in (("", labels), ("fairface_", fairface)):
        for name in QUESTIONS:
            winner = row[f"{prefix}{name}"]
            assert row[f"{prefix}{name}_score"] == said[name][winner] == max(said[name].values())
    assert all("fairface" not in row and "gender" not in row for row in result.rows if not row["faces"])
    assert set(stage.revisions(settings)) == {"faces", "clip", "fairface"}
    assert [model.licence for model in stage.models(settings)][-1] == "CC-BY-4.0"


def test_calibrated_curation_keeps_its_promise_on_drawn_people(tmp_path, store, upstream, rows, portraits):
    """One portrait in six goes to another identity as a planted stranger; then the rates are known."""
    anchors = list(upstream["anchors"].rows())
    moved = []
    for row in (row for row in rows if portraits[row["file_name"]].kind == "portrait" and row["faces"] == 1):
        fault = generator("stranger", row["file_name"]).random() < 1 / 6
        place = (portraits[row["file_name"]].identity + (7 if fault else 0)) % PEOPLE
        similarity = float(np.dot(row["face_embedding"], anchors[place]["face_embedding"]))
        changes = {"identity_id": anchors[place]["identity_id"], "anchor_similarity": similarity}
        moved.append(row | changes | {"fault": "other_person" if fault else None})
    moved.sort(key=lambda row: row["identity_id"])
    run = Store(tmp_path)
    for stage_name, schema, content in (
        ("anchors", schemas.ANCHORS, anchors),
        ("portraits", schemas.PORTRAITS, moved),
        ("analysis", schemas.ANALYSIS, moved),
    ):
        put(run, stage_name, schema, content)
    views = {"anchors": run.view("anchors", "identity_id")}
    views |= {name: run.view(name, "file_name") for name in ("portraits", "analysis")}
    settings = curation.Settings(
        min_portraits=1, identities=1, retain_identities=0, calibration={"false_reject_rate": 0.05}
    )
    decided = decide(settings, views)
    lines = {line["rule"]: line for line in decided.table}
    strangers = np.array([row["fault"] is not None for row in moved])
    for rule in ("not_the_anchor", "outlier"):
        line = lines[rule]
        limit = float(line["threshold"].removeprefix("at least "))
        before = [name for name in lines if list(lines).index(name) < list(lines).index(rule)]
        good = decided.scores[rule][~strangers & ~np.isin(decided.reasons, before)]
        promised = float(line["good dropped, estimated"].rstrip("%")) / 100
        assert line["set"] == "calibrated" and promised <= 0.05
        assert (good < limit).mean() == pytest.approx(promised, abs=0.03), rule
    caught = np.isin(decided.reasons[strangers], ("not_the_anchor", "wrong_gender", "wrong_age", "outlier"))
    assert caught.mean() >= 0.9 and strangers.sum() >= 12


def test_a_picture_encoded_again_is_a_near_duplicate_and_other_views_are_not(tmp_path, engine, people, portraits):
    """Through analysis and curation: of each person four views and one of them again, at another quality and size."""
    store, anchors, rows = Store(tmp_path), [], []
    for identity in range(4):
        name, person = f"{identity:08}", people[identity]
        own = [portrait.image for portrait in portraits.values() if portrait.identity == identity]
        kinds = [portrait.kind for portrait in portraits.values() if portrait.identity == identity]
        (face,) = find_faces(engine.faces, decode(own[kinds.index("anchor")]))
        labels = {"gender": person.gender, "age_group": person.age_group, "region": person.region}
        anchors.append(labels | {"identity_id": name, "face_embedding": face.normed_embedding.tolist()})
        views = [image for image, kind in zip(own, kinds, strict=True) if kind == "portrait"][:4]
        again = io.BytesIO()
        Image.fromarray(decode(views[0])).save(again, "JPEG", quality=70)
        rows += [
            {"file_name": f"{name}_{number}.jpg", "identity_id": name, "image": image}
            for number, image in enumerate([*views, again.getvalue()])
        ]
    put(store, "anchors", schemas.ANCHORS, anchors)
    put(store, "portraits", schemas.PORTRAITS, rows)
    views = {"anchors": store.view("anchors", "identity_id"), "portraits": store.view("portraits", "file_name")}
    measured = stage.run(stage.plan(SETTINGS, views)[0], SETTINGS, views, engine)
    put(store, "analysis", schemas.ANALYSIS, measured.rows)
    views["analysis"] = store.view("analysis", "file_name")
    settings = curation.Settings(
        min_portraits=1, identities=1, retain_identities=0, max_identity_similarity=1, min_anchor_similarity=-1
    )
    twins = {"0", "4"}
    found = [row for row in curation.run(None, settings, views, None).rows if row["reason"] == "near_duplicate"]
    assert len(found) >= 3
    for row in found:
        numbers = {row["file_name"][9], row["duplicate_of"][9]}
        assert numbers == twins and row["file_name"][:8] == row["duplicate_of"][:8]


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
