"""The stage candidates: who is drawn, which pictures of which sources are read, what is said of them, and that each is
opened once."""

import io
import json
import shutil
import struct
import sys
import tarfile
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from checkpoints import make_fairface
from face_pack import make_face_pack
from helpers import run_stages
from insightface.app.common import Face
from PIL import Image
from pydantic import ValidationError

from data.errors import UserError
from data.keyed import generator
from data.procedural.person import Person
from data.schemas import GENDERS, REGIONS
from data.store import Shard, Store
from tasks.candidates import images, measure, procedural, stage
from tasks.candidates.demographics import of_age, of_age_group, of_fairface, of_zero_shot, settle
from tasks.candidates.sources import identity_ids, list_pictures

SAMPLES = Path(__file__).parent.parent / "fixtures" / "salmu_samples"
FIVE = np.array([[45, 50], [75, 50], [60, 66], [48, 85], [72, 85]], np.float32)


def face(box=(30, 20, 90, 110), score=0.9) -> Face:
    return Face(bbox=np.array(box, np.float32), kps=FIVE, det_score=score)


@pytest.fixture
def finds(monkeypatch):
    """Lets a test decide what the face pack finds: finds(face, ..., says=(gender, age))."""

    def found(*faces, says=(None, None)):
        monkeypatch.setattr(measure, "detect_faces", lambda pack, image: list(faces))
        monkeypatch.setattr(measure, "gender_and_age", lambda pack, image, face: says)

    monkeypatch.setattr(measure, "crop_size", lambda pack: 112)
    monkeypatch.setattr(measure, "recognise", lambda pack, crops: np.eye(512)[: len(crops)])
    found(face())
    return found


NO_MODELS = measure.Engine(None, None, None)


def run_all(settings: stage.Settings, engine=NO_MODELS) -> tuple[list[dict], list]:
    results = [stage.run(shard, settings, {}, engine) for shard in stage.plan(settings, {})]
    return [row for rows, _ in results for row in rows], [reject for _, rejects in results for reject in rejects]


def reading(*paths, **settings) -> stage.Settings:
    return stage.Settings(source="images", images=[str(path) for path in paths], **settings)


def names_of(settings: stage.Settings) -> list[str]:
    """The pictures that would be read, relative to their folders or archives."""
    return [picture.name for picture, _ in list_pictures(settings.images)]


def picture(*key, size=(160, 160), kind="JPEG", **options) -> bytes:
    coarse = generator("picture", *key).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    sink = io.BytesIO()
    Image.fromarray(coarse).resize(size).save(sink, kind, **options)
    return sink.getvalue()


def save(path: Path, content: bytes | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(path.name) if content is None else content)
    return path


def packed(path: Path, files: dict[str, bytes], method=zipfile.ZIP_DEFLATED) -> Path:
    """A zip or tar file of these files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(path, "w") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def test_drawn_candidates_are_balanced_unique_and_described(finds):
    rows, rejects = run_all(stage.Settings(count=14, size=96))
    assert not rejects and len({row["identity_id"] for row in rows}) == 14
    assert all(len(row["identity_id"]) == 8 and row["identity_id"].isdigit() for row in rows)
    assert len({(row["gender"], row["region"]) for row in rows}) == 14
    for row in rows:
        person = Person.model_validate_json(row["traits"])
        assert (person.gender, person.age, person.region) == (row["gender"], row["age"], row["region"])
        assert row["age"] >= 20 and row["adult"] and row["labels_from"] == "drawn"
        assert np.linalg.norm(row["face_embedding"]) == pytest.approx(1)
        assert len(row["box"]) == 4 and len(row["landmarks"]) == 10
    kept = Image.open(io.BytesIO(rows[0]["image"]))
    assert kept.format == "JPEG" and kept.size == (96, 96)


def test_72_are_drawn_unless_told_otherwise():
    assert sum(len(shard.items) for shard in stage.plan(stage.Settings(), {})) == 72


def test_every_combination_comes_once_before_any_comes_again():
    assert len({procedural.quota(1, index) for index in range(84)}) == 84
    assert procedural.quota(1, 84) == procedural.quota(1, 0)


@pytest.mark.parametrize("count", [14, 66, 100])
def test_every_count_is_balanced(count):
    people = [procedural.quota(3, index) for index in range(count)]
    for place in range(3):
        sizes = Counter(person[place] for person in people).values()
        assert max(sizes) - min(sizes) <= 2


def test_fewer_identities_or_other_shards_are_the_same_people():
    settings = stage.Settings(count=10, size=96, seed=5)
    engine = stage.load_engine(settings)
    rows, _ = run_all(settings, engine)
    assert run_all(settings.model_copy(update={"count": 7, "shard_size": 3}), engine)[0] == rows[:7]
    other, _ = run_all(settings.model_copy(update={"seed": 6, "count": 3}), engine)
    assert not {row["identity_id"] for row in rows} & {row["identity_id"] for row in other}


def test_what_the_pack_says_of_a_drawn_person_changes_nothing_that_is_known(finds):
    finds(face(), says=("female", 12))
    rows, rejects = run_all(stage.Settings(count=4, size=96))
    assert not rejects and {row["gender"] for row in rows} == {"female", "male"}
    assert min(row["age"] for row in rows) >= 20 and all(row["adult"] for row in rows)


def test_a_drawn_candidate_without_a_face_is_rejected(finds):
    finds()
    rows, rejects = run_all(stage.Settings(count=2, size=96))
    assert not rows and [reject.reason for reject in rejects] == ["no face", "no face"]


def test_the_embedded_pack_finds_and_measures_the_drawn_faces():
    settings = stage.Settings(count=12)
    rows, rejects = run_all(settings, stage.load_engine(settings))
    assert not rejects and len(rows) == 12
    for row in rows:
        x1, y1, x2, y2 = row["box"]
        eyes = row["landmarks"][:4]
        assert x1 < eyes[0] < eyes[2] < x2 and y1 < eyes[1] < y2 and x2 - x1 > 50
        assert row["faces"] == 1 and row["second_face"] == 0 and row["detection_score"] > 0.8
        assert row["face_size"] == pytest.approx(min(x2 - x1, y2 - y1)) and row["sharpness"] > 30
        assert abs(row["yaw"]) < 12 and abs(row["roll"]) < 12


def test_the_published_pictures_are_read(finds):
    finds(face(), says=("male", 41))
    rows, rejects = run_all(reading(SAMPLES))
    assert not rejects
    assert [row["source_file"] for row in rows] == ["00011747_028_ar-1.00.jpg", "00011747_080_ar-0.61.jpg"]
    assert rows[0]["identity_id"] == "00011747"
    assert len(rows[1]["identity_id"]) == 8 and rows[1]["identity_id"] != "00011747"
    for row, (width, height) in zip(rows, [(512, 512), (312, 512)], strict=True):
        assert Image.open(io.BytesIO(row["image"])).size == (row["width"], row["height"]) == (width, height)
        assert (row["gender"], row["age"], row["age_group"], row["adult"]) == ("male", 41, "40-49", True)
        assert row["region"] is None and row["traits"] is None and row["labels_from"] == "pack"


def test_identities_come_from_the_names_of_files():
    names = ["00000042_001_ar-1.00.jpg", "SFHQ_pt4_00011747.jpg", "a/00011747.png", "portrait.jpg", "x123456789.jpg"]
    ids = identity_ids(names)
    assert ids[:2] == ["00000042", "00011747"]
    assert len(set(ids)) == 5 and all(len(name) == 8 and name.isdigit() for name in ids)
    assert identity_ids(names[1:]) == ids[1:], "a hash depends on the file's own name only"
    twice = identity_ids(["00000001.jpg", "same.jpg", "same.jpg", "00000001.jpg"])
    assert len(set(twice)) == 4 and twice == identity_ids(["00000001.jpg", "same.jpg", "same.jpg", "00000001.jpg"])


def test_a_folder_is_read_with_its_subfolders_in_order_and_up_to_count(tmp_path, finds):
    for name in ("b/2.PNG", "a/1.jpeg", "c.webp", "d.jpg"):
        save(tmp_path / name, picture(name, kind={"2": "PNG", "c": "WEBP"}.get(Path(name).stem, "JPEG")))
    (tmp_path / "notes.txt").write_text("not a picture")
    save(tmp_path / ".hidden" / "1.jpg")
    settings = reading(tmp_path, shard_size=2)
    rows, rejects = run_all(settings)
    assert [row["source_file"] for row in rows] == ["a/1.jpeg", "b/2.PNG", "c.webp", "d.jpg"] and not rejects
    assert [row["source_file"] for row in run_all(settings.model_copy(update={"count": 3}))[0]] == [
        "a/1.jpeg",
        "b/2.PNG",
        "c.webp",
    ]


SFHQ = {
    "images/SFHQ_pt4_00000001.jpg": "read",
    "images/SFHQ_pt4_00000002.jpg": "read",
    "segmentations/SFHQ_pt4_00000001.png": "not a face",
    "landmarks/SFHQ_pt4_00000001.npz": "no picture",
    "pretrained_features/SFHQ_pt4_00000001.pickle": "no picture",
    "tiny sample (30 images)/images/SFHQ_pt4_00000001.jpg": "a repetition",
    "tiny sample (30 images)/segmentations/SFHQ_pt4_00000001.png": "not a face",
    "small sample (550 images)/SFHQ_pt4_00000002.jpg": "a repetition",
    "example.png": "not a face",
}


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
@pytest.mark.parametrize("top", ["", "SFHQ part 4/", "archive/SFHQ_part4/"])
@pytest.mark.parametrize("doubled", [False, True])
def test_of_sfhq_only_the_images_are_read(tmp_path, kind, top, doubled):
    files = {
        top + name.replace("images/SFHQ", "images/images/SFHQ" if doubled else "images/SFHQ"): name for name in SFHQ
    }
    if kind == "folder":
        for name in files:
            save(tmp_path / "sfhq" / name, b"anything")
        path = tmp_path / "sfhq"
    else:
        path = packed(tmp_path / f"sfhq.{kind}", dict.fromkeys(files, b"anything"))
    assert sorted(names_of(reading(path))) == sorted(name for name, plain in files.items() if SFHQ[plain] == "read")


def test_the_archive_that_a_part_of_sfhq_came_in_may_lie_beside_its_images(tmp_path):
    for name in SFHQ:
        save(tmp_path / name, b"anything")
    packed(tmp_path / "archive.zip", dict.fromkeys(SFHQ, b"anything"))
    assert len(names_of(reading(tmp_path))) == 2


def test_a_sample_of_sfhq_alone_is_read(tmp_path):
    for name in ("images/SFHQ_pt1_00000001.jpg", "segmentations/SFHQ_pt1_00000001.png"):
        save(tmp_path / "tiny sample (30 images)" / name)
    assert names_of(reading(tmp_path / "tiny sample (30 images)")) == ["images/SFHQ_pt1_00000001.jpg"]


def test_a_folder_of_images_without_the_rest_of_sfhq_is_any_folder(tmp_path):
    for name in ("images/1.jpg", "more/2.jpg"):
        save(tmp_path / name)
    assert names_of(reading(tmp_path)) == ["images/1.jpg", "more/2.jpg"]


def test_the_same_pictures_give_the_same_rows_from_every_kind_of_source(tmp_path):
    files = {f"people/{number:08}.jpg": picture(number, size=(200 + number, 160)) for number in range(7)}
    files["people/drawn.png"] = picture("png", kind="PNG")
    files["people/00000003.json"] = b"{}"
    for name, content in files.items():
        save(tmp_path / "folder" / name, content)
    half = dict(list(files.items())[:4]), dict(list(files.items())[4:])
    packed(tmp_path / "shards" / "00000.tar", half[0])
    packed(tmp_path / "shards" / "00001.tar", half[1])
    sources = [
        tmp_path / "folder",
        packed(tmp_path / "deflated.zip", files),
        packed(tmp_path / "stored.zip", files, zipfile.ZIP_STORED),
        packed(tmp_path / "one.tar", files),
        tmp_path / "shards",
    ]
    make_face_pack(tmp_path / "pack", threshold=-2)
    settings = stage.Settings(source="images", faces={"pack": str(tmp_path / "pack"), "detection_size": 160})
    engine, found = stage.load_engine(settings), []
    for path in sources:
        rows, rejects = run_all(settings.model_copy(update={"images": (str(path),), "shard_size": 3}), engine)
        found.append((rows, rejects))
        assert len(rows) + len(rejects) == 8 and rows
    plain = [[{**row, "source_file": Path(row["source_file"]).name} for row in rows] for rows, _ in found]
    assert all(rows == plain[0] for rows in plain)
    assert found[4][0][0]["source_file"] == "00000.tar/people/00000000.jpg"
    whole, _ = run_all(settings.model_copy(update={"images": (str(sources[0]),), "decoding_threads": 5}), engine)
    assert whole == found[0][0], "the size of a shard and the number of threads change nothing"


def test_several_sources_are_read_one_after_the_other(tmp_path, finds):
    for part in ("part 1", "part 2"):
        save(tmp_path / part / "00000001.jpg", picture(part))
    packed(tmp_path / "3.zip", {"00000001.jpg": picture("zip"), "00000002.jpg": picture("two")})
    paths = [tmp_path / "part 2", tmp_path / "3.zip", tmp_path / "part 1"]
    rows, _ = run_all(reading(*paths))
    assert [row["source_file"] for row in rows] == [f"0000000{number}.jpg" for number in (1, 1, 2, 1)]
    ids = [row["identity_id"] for row in rows]
    assert ids[0] == "00000001" and ids[2] == "00000002" and len(set(ids)) == 4
    assert len({row["image"] for row in rows}) == 4
    one_more = stage.plan(reading(*paths, shard_size=1), {})
    assert one_more[:3] == stage.plan(reading(*paths[:2], shard_size=1), {}), (
        "a further source leaves shards as they are"
    )


def header_only_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"never decoded") + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_bad_files_are_rejected_with_their_reason(tmp_path, finds, monkeypatch, kind):
    monkeypatch.setattr(images, "LARGEST_FILE", 300_000)
    whole, png = picture("good", size=(300, 200)), picture("png", size=(300, 200), kind="PNG")
    files = {
        "good.jpg": whole,
        "truncated.jpg": whole[: len(whole) // 2],
        "broken.png": png[:60] + bytes(200) + png[260:],
        "text.jpg": b"this is no picture",
        "empty.png": b"",
        "tiny.png": picture("tiny", size=(20, 20), kind="PNG"),
        "bomb.png": header_only_png(30_000, 30_000),
        "large.png": header_only_png(8_000, 7_000),
        "heavy.jpg": whole + bytes(300_000),
    }
    for name, content in files.items():
        save(tmp_path / "bad" / name, content)
    path = tmp_path / "bad" if kind == "folder" else packed(tmp_path / f"bad.{kind}", files)
    rows, rejects = run_all(reading(path))
    assert [row["source_file"] for row in rows] == ["good.jpg"]
    assert {reject.item: reject.reason for reject in rejects} == {
        "truncated.jpg": "damaged image",
        "broken.png": "damaged image",
        "text.jpg": "not an image",
        "empty.png": "not an image",
        "tiny.png": "too small",
        "bomb.png": "too large",
        "large.png": "too large",
        "heavy.jpg": "too large",
    }
    assert all(reject.detail for reject in rejects)


def test_a_damaged_member_or_one_that_lies_about_its_size_is_rejected(tmp_path, finds):
    files = {"1.jpg": picture(1, size=(400, 400)), "2.jpg": picture(2), "3.jpg": picture(3)}
    path = packed(tmp_path / "a.zip", files)
    content = bytearray(path.read_bytes())
    content[200:230] = bytes(30)  # in the data of the first
    listed = content.rindex(b"PK\1\2")  # the third one's entry: it unpacks to more than this
    content[listed + 24 : listed + 28] = struct.pack("<I", 50)
    path.write_bytes(content)
    rows, rejects = run_all(reading(path))
    assert [row["source_file"] for row in rows] == ["2.jpg"]
    assert [(reject.item, reject.reason) for reject in rejects] == [
        ("1.jpg", "damaged image"),
        ("3.jpg", "damaged image"),
    ]


def test_pictures_are_turned_upright_and_lose_their_metadata(tmp_path, finds):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a secret"  # orientation: a quarter turn; description
    save(tmp_path / "turned.jpg", picture("turned", size=(200, 120), exif=exif))
    ((row,), _) = run_all(reading(tmp_path))
    assert Image.open(io.BytesIO(row["image"])).size == (row["width"], row["height"]) == (120, 200)
    assert b"secret" not in row["image"]


@pytest.mark.parametrize(("kind", "size"), [("JPEG", (1024, 768)), ("PNG", (1024, 768)), ("JPEG", (700, 300))])
def test_large_pictures_are_shrunk_and_faces_measured_in_the_source(tmp_path, finds, kind, size):
    content = picture("large", size=size, kind=kind)
    save(tmp_path / f"large.{kind.lower()}".replace("jpeg", "jpg"), content)
    ((row,), _) = run_all(reading(tmp_path, keep_side=256))
    kept = Image.open(io.BytesIO(row["image"]))
    scale = max(size) / 256
    assert max(kept.size) == 256 and (row["width"], row["height"]) == size
    assert row["box"] == [30, 20, 90, 110] and row["face_size"] == pytest.approx(60 * scale)
    exact = Image.open(io.BytesIO(content)).convert("RGB").resize(kept.size, Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(kept, int) - np.asarray(exact, int)).mean() < 3


def test_the_second_face_is_measured_and_drops_nobody_here(tmp_path, finds):
    save(tmp_path / "two.jpg")
    finds(face(), face((100, 20, 130, 110)))
    ((row,), rejects) = run_all(reading(tmp_path))
    assert row["faces"] == 2 and row["second_face"] == pytest.approx(0.5) and not rejects


def test_a_changed_file_makes_its_shard_stale_and_no_other(tmp_path):
    for number in range(4):
        save(tmp_path / f"{number}.png", picture(number, kind="PNG"))
    settings = reading(tmp_path, shard_size=2)
    before = stage.plan(settings, {})
    assert stage.plan(settings, {}) == before
    save(tmp_path / "3.png", picture("other", size=(170, 170), kind="PNG"))
    after = stage.plan(settings, {})
    assert after[0] == before[0] and after[1] != before[1]


def test_a_member_of_a_zip_is_known_by_its_content_wherever_the_zip_lies(tmp_path):
    files = {f"{number}.jpg": picture(number) for number in range(4)}
    path = packed(tmp_path / "a.zip", files)
    before = stage.plan(reading(path, shard_size=2), {})
    shutil.copy(path, tmp_path / "b.zip")  # another name and time of change
    assert stage.plan(reading(tmp_path / "b.zip", shard_size=2), {}) == before
    after = stage.plan(reading(packed(path, files | {"3.jpg": picture("other")}), shard_size=2), {})
    assert after[0] == before[0] and after[1] != before[1]


def encrypted(path: Path) -> Path:
    content = bytearray(packed(path, {"1.jpg": picture(1)}).read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    return path


def cut(path: Path) -> Path:
    path.write_bytes(packed(path, {"1.jpg": picture(1), "2.jpg": picture(2)}).read_bytes()[:-3000])
    return path


USELESS = {
    "nothing named": (lambda folder: (), "candidates.images is empty"),
    "missing": (lambda folder: [folder / "nowhere"], "nowhere does not exist"),
    "another file": (lambda folder: [save(folder / "people.rar")], "people.rar is neither a folder nor"),
    "compressed tar": (lambda folder: [save(folder / "people.tar.gz")], "people.tar.gz is neither"),
    "empty folder": (lambda folder: [folder], "no pictures .* in "),
    "folder of text": (lambda folder: [save(folder / "a" / "b.txt").parent], "no pictures .* in .*a;"),
    "zip of text": (lambda folder: [packed(folder / "a.zip", {"b.txt": b"text"})], "no pictures .* in .*a.zip"),
    "empty tar": (lambda folder: [packed(folder / "a.tar", {})], "no pictures .* in .*a.tar"),
    "climbing zip": (
        lambda folder: [packed(folder / "a.zip", {"1.jpg": b"1", "../../etc/2.jpg": b"2"})],
        r"a\.zip: the member '\.\./\.\./etc/2\.jpg' climbs out",
    ),
    "climbing tar": (
        lambda folder: [packed(folder / "a.tar", {"images/../../2.txt": b"2", "1.jpg": b"1"})],
        r"a\.tar: the member 'images/\.\./\.\./2\.txt' climbs out",
    ),
    "absolute": (lambda folder: [packed(folder / "a.tar", {"/etc/1.jpg": b"1"})], "'/etc/1.jpg' climbs out"),
    "windows": (lambda folder: [packed(folder / "a.zip", {r"..\1.jpg": b"1"})], r"climbs out"),
    "drive": (lambda folder: [packed(folder / "a.zip", {r"C:\1.jpg": b"1"})], r"climbs out"),
    "in a folder of archives": (
        lambda folder: [packed(folder / "shards" / "0.tar", {"../1.jpg": b"1"}).parent],
        r"0\.tar: the member '\.\./1\.jpg' climbs out",
    ),
    "pictures and archives": (
        lambda folder: [save(folder / "both" / "1.jpg").parent, packed(folder / "both" / "a.zip", {"2.jpg": b"2"})][:1],
        r"both holds pictures \(1.jpg\) and archives \(a.zip\)",
    ),
    "encrypted": (lambda folder: [encrypted(folder / "a.zip")], "a.zip: the member '1.jpg' is encrypted"),
    "lzma": (
        lambda folder: [packed(folder / "a.zip", {"1.jpg": picture(1)}, zipfile.ZIP_LZMA)],
        "'1.jpg' is compressed by another method",
    ),
    "damaged zip": (lambda folder: [cut(folder / "a.zip")], "a.zip: damaged archive"),
    "damaged tar": (lambda folder: [cut(folder / "a.tar")], "a.tar: damaged archive"),
    "no zip": (lambda folder: [save(folder / "a.zip", b"no archive at all")], "a.zip: damaged archive"),
    "no tar": (lambda folder: [save(folder / "a.tar", b"no archive at all" * 99)], "a.tar: damaged archive"),
}


@pytest.mark.parametrize("case", USELESS)
def test_a_useless_source_is_one_clear_line(tmp_path, case):
    make, message = USELESS[case]
    with pytest.raises(UserError, match=message) as caught:
        stage.plan(reading(*make(tmp_path)), {})
    assert str(tmp_path) in str(caught.value) or case == "nothing named"


def test_a_file_that_is_gone_since_it_was_listed_is_one_clear_line(tmp_path, finds):
    path = save(tmp_path / "1.jpg")
    settings = reading(tmp_path)
    (shard,) = stage.plan(settings, {})
    path.unlink()
    with pytest.raises(UserError, match="1.jpg: cannot be read: No such file"):
        stage.run(shard, settings, {}, NO_MODELS)


def test_unknown_sources_are_refused():
    with pytest.raises(ValidationError, match="procedural"):
        stage.Settings(source="internet")


ATTRIBUTES = """\
\ufeffImage Filename,Sex,Age,Race,prompt
images/SFHQ_00000001.jpg,F,33.7,Latino,"a, b"
SFHQ_00000002,male,8,east_asian,
00000003.png,Woman,19,Klingon,
00000004.jpg,,,,
elsewhere.jpg,m,120,white,
"""


def test_the_attributes_file_says_who_is_on_the_pictures(tmp_path, finds):
    finds(face(), says=("male", 50))
    for name in ("SFHQ_00000001.jpg", "SFHQ_00000002.jpg", "00000003.jpg", "00000004.jpg"):
        save(tmp_path / "people" / name)
    (tmp_path / "people.csv").write_text(ATTRIBUTES)
    settings = reading(tmp_path / "people", attributes=str(tmp_path / "people.csv"))
    rows, _ = run_all(settings)
    told = {
        row["identity_id"]: [row[k] for k in ("gender", "age", "age_group", "region", "adult", "labels_from")]
        for row in rows
    }
    assert told == {
        "00000001": ["female", 33, "30-39", "Latino_Hispanic", True, "attributes"],
        "00000002": ["male", 8, None, "East Asian", False, "attributes"],
        "00000003": ["female", 19, "20-29", None, True, "attributes"],
        "00000004": ["male", 50, "50-59", None, True, "pack"],
    }
    store = run_stages(Store(tmp_path / "run"), {"candidates": settings})
    summary = stage.summarise(settings, store.view("candidates", stage.KEY), {})
    assert summary.tables["Unknown attributes"] == [{"column": "Race", "value": "Klingon", "lines": 1}]
    assert {"labels from": "attributes", "candidates": 3} in summary.tables["Who says so"]


def test_age_groups_of_the_attributes_file_are_fairfaces(tmp_path, finds):
    for name in "abc":
        save(tmp_path / f"{name}.jpg")
    (tmp_path / "people.csv").write_text("file_name,age group\na.jpg,10-19\nb.jpg,more than 70\nc.jpg,20-29\n")
    rows, _ = run_all(reading(tmp_path, attributes=str(tmp_path / "people.csv")))
    assert [(row["age_group"], row["adult"]) for row in rows] == [(None, False), ("70+", True), ("20-29", True)]


def test_a_line_of_the_attributes_file_makes_its_shard_stale_and_no_other(tmp_path):
    for number in range(4):
        save(tmp_path / f"{number}.jpg")
    table = tmp_path / "people.csv"
    table.write_text("file,age\n0.jpg,20\n3.jpg,20\n")
    settings = reading(tmp_path, attributes=str(table), shard_size=2)
    before = stage.plan(settings, {})
    table.write_text("file,age\n0.jpg,20\n3.jpg,21\n")
    after = stage.plan(settings, {})
    assert after[0] == before[0] and after[1] != before[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name,gender\n1.jpg,male\n", "no column file, .* image_filename; its columns are name, gender"),
        (b"file,sexe\n1.jpg,male\n", "no column gender, .* its columns are file, sexe"),
        (b"", "its columns are none"),
        (b"file,gender\n\xff\xfe,male\n", "no CSV file in UTF-8"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_wrong_attributes_file_is_one_clear_line(tmp_path, content, message):
    save(tmp_path / "1.jpg")
    if content is not None:
        (tmp_path / "people.csv").write_bytes(content)
    with pytest.raises(UserError, match=f"candidates.attributes.*people.csv.*{message}"):
        stage.plan(reading(tmp_path, attributes=str(tmp_path / "people.csv")), {})


def test_the_first_who_knows_is_believed():
    child, adult = of_age(12), of_age(44)
    assert settle({"attributes": {"region": "Indian"}, "pack": adult | {"gender": "male"}}) == {
        "gender": "male", "age": 44, "age_group": "40-49", "adult": True, "region": "Indian",
        "labels_from": "attributes+pack",
    }  # fmt: skip
    assert settle({"fairface": of_age_group("10-19"), "pack": adult})["adult"] is False
    assert settle({"fairface": of_age_group("20-29"), "pack": child}) | {"labels_from": ""} == {
        "gender": None, "age": None, "age_group": "20-29", "adult": True, "region": None, "labels_from": "",
    }  # fmt: skip
    looks = settle({"zero-shot": {"gender": "female", "age_group": "20-29"}, "pack": child | {"gender": "male"}})
    assert (looks["gender"], looks["age_group"], looks["adult"]) == ("female", None, False)
    assert settle({}) == dict.fromkeys(("gender", "age", "age_group", "adult", "region", "labels_from"))


def test_models_answer_with_their_likeliest_class():
    said = of_fairface({"gender": {"male": 0.4, "female": 0.6}, "age_group": {"3-9": 0.7, "20-29": 0.3}})
    assert said == {"gender": "female", "age_group": None, "adult": False}
    asked = {"gender": {"male": 0.9, "female": 0.1}, "age_group": {"70+": 0.6, "20-29": 0.4}, "region": {"Indian": 1.0}}
    assert of_zero_shot(asked) == {"gender": "male", "age_group": "70+", "region": "Indian"}


def test_fairface_is_asked_before_the_pack(tmp_path):
    for name in ("1.jpg", "2.jpg"):
        save(tmp_path / "people" / name)
    checkpoint = make_fairface(tmp_path / "fairface")
    pack = {"pack": str(make_face_pack(tmp_path / "pack", threshold=-2)), "detection_size": 160}
    settings = reading(tmp_path / "people", faces=pack, fairface={"checkpoint": str(checkpoint)})
    rows, _ = run_all(settings, stage.load_engine(settings))
    assert len(rows) == 2
    for row in rows:
        assert row["labels_from"] == "fairface" and row["gender"] in GENDERS and row["region"] in REGIONS
        assert row["adult"] is (row["age_group"] is not None) and row["age"] is None
    assert (
        stage.revisions(settings)["fairface"] != stage.revisions(reading(tmp_path / "people", faces=pack))["fairface"]
    )


def test_the_embedded_zero_shot_model_answers_where_nobody_knows_better(tmp_path):
    person, image = procedural.draw(0, 0, "00000000", 128)
    Image.fromarray(image).save(tmp_path / "1.png")
    settings = reading(tmp_path, clip="embedded")
    ((row,), _) = run_all(settings, stage.load_engine(settings))
    assert row["gender"] == person.gender and row["labels_from"] == "zero-shot+pack" and row["adult"]


class Opens:
    """Counts, through Python's audit hook, how often each picture file of a folder is opened."""

    def __init__(self):
        self.folder, self.counts = None, Counter()
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple) -> None:
        if event == "open" and self.folder and str(arguments[0]).startswith(self.folder):
            self.counts[Path(str(arguments[0])).name] += 1


OPENS = Opens()


def test_every_picture_is_opened_once_over_a_kill_and_further_stages(tmp_path, finds, monkeypatch):
    people = tmp_path / "people"
    for number in range(9):
        save(people / f"{number}.jpg", b"damaged" if number == 2 else None)
    settings, store = reading(people, shard_size=3), Store(tmp_path / "run")
    monkeypatch.setattr(OPENS, "counts", Counter())
    monkeypatch.setattr(OPENS, "folder", str(people))
    made = stage.run

    def killed(shard: Shard, *others):
        if shard.index == 2:
            raise KeyboardInterrupt
        return made(shard, *others)

    monkeypatch.setattr(stage, "run", killed)
    monkeypatch.setattr(stage, "load_engine", lambda settings: NO_MODELS)
    with pytest.raises(KeyboardInterrupt):
        run_shards(store, settings)
    assert set(OPENS.counts) == {f"{number}.jpg" for number in range(6)}
    monkeypatch.setattr(stage, "run", made)
    run_shards(store, settings)
    run_shards(store, settings)
    assert OPENS.counts == {f"{number}.jpg": 1 for number in range(9)}
    monkeypatch.setattr(OPENS, "folder", None)


def run_shards(store: Store, settings: stage.Settings) -> None:
    """As the flow does it: each shard is committed when it is back."""
    from flows.stages import finished, planned

    plan = planned(store, stage.NAME, settings)
    done = finished(store, stage.NAME, plan)
    for shard, expected in plan:
        if shard.index not in done:
            result = stage.run(shard, settings, {}, stage.load_engine(settings))
            manifest = store.manifest(stage.NAME)
            manifest.shards.append(store.write_shard(stage.NAME, stage.SCHEMA, shard, result, expected, seconds=0.0))
            store.write_manifest(manifest)


def test_few_pictures_are_decoded_ahead():
    begun = []
    results = images.ahead(lambda item: begun.append(item) or item, range(1000), threads=2)
    assert next(results) == 0
    assert len(begun) <= 2 * images.DECODED_AHEAD + 2
    assert list(results) == list(range(1, 1000))


def test_summary_counts_and_shows(tmp_path, finds):
    save(tmp_path / "pictures/1.jpg")
    save(tmp_path / "pictures/2.jpg", picture(2, size=(40, 40)))
    settings = reading(tmp_path / "pictures")
    store = run_stages(Store(tmp_path / "run"), {"candidates": settings})
    summary = stage.summarise(settings, store.view("candidates", stage.KEY), {})
    assert summary.text.startswith("1 candidates among 2 pictures of source 'images'")
    assert summary.tables["Rejected"] == [{"reason": "too small", "pictures": 1}]
    assert {"group": "region", "value": "unknown", "candidates": 1} in summary.tables["Demographics"]
    figure = summary.figures["Candidates"]
    assert len(figure) < 100_000 and Image.open(io.BytesIO(figure)).format == "PNG"
    json.dumps(summary.tables)


def test_the_models_are_named_with_their_licences(tmp_path):
    settings = reading(
        tmp_path, faces={"pack": "buffalo_l"}, fairface={"checkpoint": "ORG/fairface-age"}, clip="hf-hub:a/b"
    )
    licences = {model.name: model.licence for model in stage.models(settings)}
    assert "non-commercial" in licences["buffalo_l"] and len(licences) == 3
    assert len(stage.models(stage.Settings())) == 1
