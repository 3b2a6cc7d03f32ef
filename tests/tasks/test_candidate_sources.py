"""The stage candidates: which pictures of which folders and archives are read, and why others are refused."""

import io
import shutil
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from candidate_pictures import NO_MODELS, SAMPLES, face, names_of, packed, picture, reading, run_all, save
from face_pack import make_face_pack
from PIL import Image
from pydantic import ValidationError

from salmu.data.errors import UserError
from salmu.tasks.candidates import images, sources, stage
from salmu.tasks.candidates.sources import identity_ids


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


FFHQ = ("images1024x1024", "in-the-wild-images", "thumbnails128x128")


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "zips"])
@pytest.mark.parametrize("there", [FFHQ, FFHQ[1:], FFHQ[:1] + FFHQ[2:], FFHQ[2:]])
def test_each_picture_of_ffhq_counts_once(tmp_path, finds, kind, there):
    files = {f"ffhq/{folder}/00000/0000{number}.png": picture(number) for folder in there for number in range(3)}
    if kind == "folder":
        for name, content in files.items():
            save(tmp_path / "ffhq" / name, content)
    elif kind == "zips":
        for folder in there:
            packed(tmp_path / "ffhq" / f"{folder}.zip", {name: files[name] for name in files if folder in name})
    settings = reading(tmp_path / "ffhq" if kind in ("folder", "zips") else packed(tmp_path / f"ffhq.{kind}", files))
    assert {Path(name).parts[-3] for name in names_of(settings)} == {there[0]} and len(names_of(settings)) == 3
    if kind != "zips":
        passed_over = sources.left_out(settings.images)
        assert len(passed_over) == 3 * (len(there) - 1) and not any(there[0] in name for name in passed_over)


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_what_systems_add_is_nobody(tmp_path, kind):
    files = ["1.jpg", "._1.jpg", "@eaDir/1.jpg/SYNOPHOTO_THUMB_XL.jpg", "__MACOSX/1.jpg", ".ipynb_checkpoints/1.jpg"]
    for name in files:
        save(tmp_path / "faces" / name, b"anything")
    path = tmp_path / "faces" if kind == "folder" else packed(tmp_path / f"a.{kind}", dict.fromkeys(files, b"1"))
    assert names_of(reading(path)) == ["1.jpg"]


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
        "strip.png": picture("strip", size=(20, 1200), kind="PNG"),
        "avif.jpg": b"\0\0\0 ftypavif" + bytes(800),
        "dds.jpg": b"DDS |" + bytes(800),
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
        "strip.png": "too narrow",
        "avif.jpg": "not an image",
        "dds.jpg": "not an image",
    }
    assert all(reject.detail for reject in rejects)


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_a_name_that_is_not_utf8_is_rejected(tmp_path, finds, kind):
    files = {"año.jpg": picture(1), "odd\udcff.jpg": picture(2)}
    for name, content in files.items():
        save(tmp_path / "odd" / name, content)
    path = tmp_path / "odd" if kind == "folder" else packed(tmp_path / "odd.tar", files)
    rows, rejects = run_all(reading(path))
    assert [row["source_file"] for row in rows] == ["año.jpg"]
    assert [(reject.item, reject.reason) for reject in rejects] == [("odd\\xff.jpg", "name is not UTF-8")]
    ((shard,), _) = stage.plan(reading(path), {}), [reject.detail.encode() for reject in rejects]
    assert "año" in shard.items[0] and all(item.encode() for item in shard.items)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x02A\0\0\0", b"Exif\0\0MM\0", b"odd"]
)
def test_an_odd_exif_costs_no_picture(tmp_path, finds, exif):
    save(tmp_path / "odd.jpg", picture("odd", exif=exif))
    rows, rejects = run_all(reading(tmp_path))
    assert len(rows) == 1 and not rejects


def test_the_narrowest_picture_that_is_read_has_no_face(tmp_path):
    make_face_pack(tmp_path / "pack", threshold=1)
    settings = {"faces": {"pack": str(tmp_path / "pack"), "detection_size": 64}, "keep_side": 112}
    save(tmp_path / "faces" / "strip.png", picture("strip", size=(96, 4800), kind="PNG"))
    rows, rejects = run_all(reading(tmp_path / "faces", **settings), stage.load_engine(stage.Settings(**settings)))
    assert [reject.reason for reject in rejects] == ["no face"] and not rows


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


def cut_in_a_header(path: Path, kept=100) -> Path:
    content = packed(path, {f"{number}.jpg": bytes(1000) for number in range(3)}).read_bytes()
    path.write_bytes(content[: 2 * (512 + 1024) + kept])
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
        r"a\.zip: the member '\.\./\.\./etc/2\.jpg' points outside",
    ),
    "climbing tar": (
        lambda folder: [packed(folder / "a.tar", {"images/../../2.txt": b"2", "1.jpg": b"1"})],
        r"a\.tar: the member 'images/\.\./\.\./2\.txt' points outside",
    ),
    "absolute": (lambda folder: [packed(folder / "a.tar", {"/etc/1.jpg": b"1"})], "'/etc/1.jpg' points outside"),
    "windows": (lambda folder: [packed(folder / "a.zip", {r"..\1.jpg": b"1"})], r"points outside"),
    "drive": (lambda folder: [packed(folder / "a.zip", {r"C:\1.jpg": b"1"})], r"points outside"),
    "in a folder of archives": (
        lambda folder: [packed(folder / "shards" / "0.tar", {"../1.jpg": b"1"}).parent],
        r"0\.tar: the member '\.\./1\.jpg' points outside",
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
    "damaged zip": (lambda folder: [cut(folder / "a.zip")], "a.zip: damaged or truncated archive"),
    "damaged tar": (lambda folder: [cut(folder / "a.tar")], "a.tar: damaged or truncated archive"),
    "tar cut in a header": (
        lambda folder: [cut_in_a_header(folder / "a.tar")],
        "a.tar: damaged or truncated .*truncated header",
    ),
    "tar cut between two": (
        lambda folder: [cut_in_a_header(folder / "a.tar", 0)],
        "a.tar: damaged or truncated .*empty header",
    ),
    "no zip": (lambda folder: [save(folder / "a.zip", b"no archive at all")], "a.zip: damaged or truncated archive"),
    "no tar": (
        lambda folder: [save(folder / "a.tar", b"no archive at all" * 99)],
        "a.tar: damaged or truncated archive",
    ),
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


@pytest.mark.parametrize(
    "names",
    [("faces", "faces"), ("faces", "faces/part"), ("faces/part", "faces"), ("images1024x1024", "thumbnails128x128")],
)
def test_pictures_that_are_named_twice_are_refused(names, tmp_path):
    for folder in {*names, "faces/part"}:
        save(tmp_path / folder / "1.jpg")
    with pytest.raises(UserError, match="candidates.images: .* and .* hold the same pictures; name one of them"):
        names_of(reading(*(tmp_path / name for name in names)))
    save(tmp_path / "others" / "1.jpg")
    assert len(names_of(reading(tmp_path / "faces" / "part", tmp_path / "others"))) == 2
