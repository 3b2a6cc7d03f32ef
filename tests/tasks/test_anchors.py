"""The stage anchors: who is drawn, which pictures are read, and why others are refused."""

import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from insightface.app.common import Face
from PIL import Image
from pydantic import ValidationError

from data.errors import UserError
from data.keyed import generator
from data.procedural.person import Person
from data.store import Shard, ShardResult, Store
from data.summary import Summary
from tasks.anchors import procedural, stage
from tasks.anchors.folder import identity_ids

SAMPLES = Path(__file__).parent.parent / "fixtures" / "salmu_samples"


def face(box=(30, 20, 90, 110), score=0.9, **known) -> Face:
    embedding = np.zeros(512, np.float32)
    embedding[0] = 2.0
    return Face(
        bbox=np.array(box, np.float32),
        kps=np.arange(10, dtype=np.float32).reshape(5, 2),
        det_score=score,
        embedding=embedding,
        **known,
    )


@pytest.fixture
def finds(monkeypatch):
    """Lets a test decide what the face pack finds: finds(face, ...)."""

    def found(*faces):
        monkeypatch.setattr(stage, "find_faces", lambda engine, image: list(faces))

    found(face())
    return found


def run_all(settings: stage.Settings) -> tuple[list[dict], list]:
    results = [stage.run(shard, settings, {}, None) for shard in stage.plan(settings, {})]
    return [row for rows, _ in results for row in rows], [reject for _, rejects in results for reject in rejects]


def save(path: Path, *key, size=(160, 160), **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = generator("picture", path.name, *key).integers(0, 255, (size[1], size[0], 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path, **options)
    return path


def test_drawn_anchors_are_balanced_unique_and_described(finds):
    rows, rejects = run_all(stage.Settings(count=14, size=96))
    assert not rejects and len({row["identity_id"] for row in rows}) == 14
    assert all(len(row["identity_id"]) == 8 and row["identity_id"].isdigit() for row in rows)
    assert len({(row["gender"], row["region"]) for row in rows}) == 14
    for row in rows:
        person = Person.model_validate_json(row["traits"])
        assert (person.gender, person.age, person.region) == (row["gender"], row["age"], row["region"]) and row[
            "age"
        ] >= 20
        assert np.linalg.norm(row["face_embedding"]) == pytest.approx(1)
        assert len(row["box"]) == 4 and len(row["landmarks"]) == 10
    picture = Image.open(io.BytesIO(rows[0]["image"]))
    assert picture.format == "JPEG" and picture.size == (96, 96)


def test_every_combination_comes_once_before_any_comes_again():
    assert len({procedural.quota(1, index) for index in range(84)}) == 84
    assert procedural.quota(1, 84) == procedural.quota(1, 0)


@pytest.mark.parametrize("count", [14, 66, 100])
def test_every_count_is_balanced(count):
    people = [procedural.quota(3, index) for index in range(count)]
    for place in range(3):
        sizes = Counter(person[place] for person in people).values()
        assert max(sizes) - min(sizes) <= 2


def test_fewer_identities_or_other_shards_are_the_same_people(finds):
    settings = stage.Settings(count=10, size=96, seed=5)
    rows, _ = run_all(settings)
    again, _ = run_all(settings.model_copy(update={"count": 7, "shard_size": 3}))
    assert again == rows[:7]
    other, _ = run_all(settings.model_copy(update={"seed": 6, "count": 3}))
    assert not {row["identity_id"] for row in rows} & {row["identity_id"] for row in other}


def test_what_the_pack_says_of_a_drawn_person_changes_nothing_that_is_known(finds):
    finds(face(gender=0, age=12))
    rows, rejects = run_all(stage.Settings(count=4, size=96))
    assert (
        not rejects and {row["gender"] for row in rows} == {"female", "male"} and min(row["age"] for row in rows) >= 20
    )


def test_a_drawn_anchor_without_a_face_is_rejected(finds):
    finds()
    rows, rejects = run_all(stage.Settings(count=2, size=96))
    assert not rows and [reject.reason for reject in rejects] == ["no face", "no face"]


def test_the_published_pictures_are_read(finds):
    finds(face(gender=1, age=41.0))
    rows, rejects = run_all(stage.Settings(source="folder", folder=str(SAMPLES)))
    assert not rejects and [row["source_file"] for row in rows] == [
        "00011747_028_ar-1.00.jpg",
        "00011747_080_ar-0.61.jpg",
    ]
    assert rows[0]["identity_id"] == "00011747"
    assert len(rows[1]["identity_id"]) == 8 and rows[1]["identity_id"] != "00011747"
    for row, (width, height) in zip(rows, [(512, 512), (312, 512)], strict=True):
        assert Image.open(io.BytesIO(row["image"])).size == (width, height)
        assert (row["gender"], row["age"], row["age_group"]) == ("male", 41, "40-49")
        assert row.get("region") is None and row.get("traits") is None


def test_identities_come_from_the_names_of_files():
    names = ["00000042_001_ar-1.00.jpg", "SFHQ_pt4_00011747.jpg", "a/00011747.png", "portrait.jpg", "x123456789.jpg"]
    ids = identity_ids(names)
    assert ids[:2] == ["00000042", "00011747"]
    assert len(set(ids)) == 5 and all(len(name) == 8 and name.isdigit() for name in ids)
    assert identity_ids(names[1:]) == ids[1:], "a hash depends on the file's own name only"


def test_a_folder_is_read_with_its_subfolders_in_order_and_up_to_count(tmp_path, finds):
    for name in ("b/2.PNG", "a/1.jpeg", "c.webp", "d.jpg"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not a picture")
    settings = stage.Settings(source="folder", folder=str(tmp_path), shard_size=2)
    rows, rejects = run_all(settings)
    assert [row["source_file"] for row in rows] == ["a/1.jpeg", "b/2.PNG", "c.webp", "d.jpg"] and not rejects
    assert run_all(settings.model_copy(update={"count": 3}))[0] == rows[:3]


def test_bad_files_are_rejected_with_their_reason(tmp_path, finds):
    whole = save(tmp_path / "good.jpg", quality=90).read_bytes()
    (tmp_path / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("this is no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    png = save(tmp_path / "broken.png").read_bytes()
    (tmp_path / "broken.png").write_bytes(png[:60] + bytes(200) + png[260:])
    save(tmp_path / "tiny.png", size=(20, 20))
    Image.new("1", (8_000, 7_000)).save(tmp_path / "bomb.png")
    Image.new("1", (14_000, 13_000)).save(tmp_path / "huge.png")
    rows, rejects = run_all(stage.Settings(source="folder", folder=str(tmp_path)))
    assert [row["source_file"] for row in rows] == ["good.jpg"]
    assert {reject.item: reject.reason for reject in rejects} == {
        "truncated.jpg": "damaged image",
        "broken.png": "damaged image",
        "text.jpg": "not an image",
        "empty.png": "not an image",
        "tiny.png": "too small",
        "bomb.png": "too large",
        "huge.png": "too large",
    }
    assert all(reject.detail for reject in rejects)


@pytest.mark.parametrize(
    ("faces", "reason"),
    [
        ([], "no face"),
        ([face(), face((100, 20, 150, 100))], "several faces"),
        ([face(gender=0, age=12)], "not adult"),
        ([face(), face((140, 140, 150, 150))], None),
    ],
)
def test_only_one_adult_face_makes_an_anchor(tmp_path, finds, faces, reason):
    save(tmp_path / "someone.jpg")
    finds(*faces)
    rows, rejects = run_all(stage.Settings(source="folder", folder=str(tmp_path)))
    assert [reject.reason for reject in rejects] == ([reason] if reason else []) and len(rows) == (reason is None)


def test_pictures_are_turned_upright_and_lose_their_metadata(tmp_path, finds):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a secret"  # orientation: a quarter turn; description
    save(tmp_path / "turned.jpg", size=(200, 120), exif=exif)
    (row,), _ = run_all(stage.Settings(source="folder", folder=str(tmp_path)))
    assert Image.open(io.BytesIO(row["image"])).size == (120, 200)
    assert b"secret" not in row["image"]


def test_a_changed_file_makes_its_shard_stale_and_no_other(tmp_path):
    for number in range(4):
        save(tmp_path / f"{number}.png")
    settings = stage.Settings(source="folder", folder=str(tmp_path), shard_size=2)
    before = stage.plan(settings, {})
    assert stage.plan(settings, {}) == before
    save(tmp_path / "3.png", "other", size=(170, 170))
    after = stage.plan(settings, {})
    assert after[0] == before[0] and after[1] != before[1]


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        (None, "anchors.folder is not set"),
        ("nowhere", "does not exist"),
        ("file", "is not a folder"),
        ("empty", "no pictures"),
    ],
)
def test_a_useless_folder_is_one_clear_line(tmp_path, folder, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=message) as caught:
        stage.plan(stage.Settings(source="folder", folder=folder and str(tmp_path / folder)), {})
    assert "anchors.folder" in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_sources_are_refused():
    with pytest.raises(ValidationError, match="procedural"):
        stage.Settings(source="internet")


def test_summary_counts_and_shows(tmp_path, finds):
    save(tmp_path / "pictures/1.jpg")
    save(tmp_path / "pictures/2.jpg", size=(40, 40))
    settings = stage.Settings(source="folder", folder=str(tmp_path / "pictures"))
    rows, rejects = run_all(settings)
    summary = summarised(Store(tmp_path / "run"), settings, ShardResult(rows, rejects))
    assert summary.text.startswith("1 anchors from source 'folder'")
    assert summary.tables["Rejected"] == [{"reason": "too small", "pictures": 1}]
    assert {"group": "region", "value": "unknown", "identities": 1} in summary.tables["Demographics"]
    figure = summary.figures["Anchors"]
    assert len(figure) < 100_000 and Image.open(io.BytesIO(figure)).format == "PNG"
    json.dumps(summary.tables)


def summarised(store: Store, settings: stage.Settings, result: ShardResult) -> Summary:
    entry = store.write_shard(stage.NAME, stage.SCHEMA, Shard(index=0, items=()), result, "fingerprint", seconds=2.0)
    manifest = store.manifest(stage.NAME)
    manifest.shards = [entry]
    store.write_manifest(manifest)
    return stage.summarise(settings, store.view(stage.NAME, stage.KEY), {})


def test_the_embedded_pack_finds_the_drawn_faces():
    settings = stage.Settings(count=12)
    engine = stage.load_engine(settings)
    for shard in stage.plan(settings, {}):
        result = stage.run(shard, settings, {}, engine)
        assert not result.rejects and len(result.rows) == len(shard.items)
        for row in result.rows:
            x1, y1, x2, y2 = row["box"]
            eyes = row["landmarks"][:4]
            assert x1 < eyes[0] < eyes[2] < x2 and y1 < eyes[1] < y2 and x2 - x1 > 50
