"""Retain pairs from files: img2dataset's folders, uid lists, Parquet; what is broken is counted with a reason."""

import io
import json
import re
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from pair_data import picture, weights, write_dataset, write_vit

from salmu.data.errors import UserError
from salmu.model_training.pair import PairSettings, train
from salmu.model_training.pictures import random_crop, square
from salmu.model_training.settings import ParquetSource, WebDatasetSource
from salmu.model_training.sources import files, parquet, tars
from salmu.model_training.sources.files import counted, file_source

UIDS = [(number << 96) + number for number in range(1, 40)]


def write_tar(path, samples: list[dict]) -> None:
    """As img2dataset does, by webdataset's own writer."""
    with webdataset.TarWriter(str(path)) as writer:
        for sample in samples:
            writer.write(sample)


def sample(number: int, **changes) -> dict:
    made = {
        "__key__": f"{number:09d}",
        "jpg": picture("wds", number, side=(64, 48), kind="JPEG"),
        "txt": f"a picture number {number}",
        "json": {"uid": f"{UIDS[number]:032x}", "caption": f"a picture number {number}", "status": "success"},
    } | changes
    return {key: value for key, value in made.items() if value is not None}


@pytest.fixture
def shards(tmp_path):
    """Three shards in DataComp's layout: a whole one, one with broken samples, one cut in half."""
    folder = tmp_path / "shards"
    folder.mkdir()
    write_tar(folder / "00000.tar", [sample(number) for number in range(12)])
    broken = [sample(12, jpg=None), sample(13, txt=None), sample(14, txt="  "), sample(15, jpg=b"no picture")]
    half = picture("wds", 16, side=(64, 48), kind="JPEG")
    write_tar(folder / "00001.tar", [*broken, sample(16, jpg=half[: len(half) // 2]), *map(sample, range(17, 24))])
    write_tar(folder / "00002.tar", [sample(number) for number in range(24, 36)])
    whole = (folder / "00002.tar").read_bytes()
    (folder / "00002.tar").write_bytes(whole[: len(whole) // 2 + 100])
    for number in range(3):
        pq.write_table(pa.table({"uid": ["0"]}), folder / f"{number:05d}.parquet")
        (folder / f"{number:05d}_stats.json").write_text(json.dumps({"count": 12}))
    return folder


def texts(source) -> list[str]:
    return [text for place, shard in enumerate(source.shards) for _, text in source.read(place, np.arange(shard.rows))]


def test_a_datacomp_folder_gives_its_whole_pairs_and_counts_the_rest(shards, tmp_path):
    source = file_source(WebDatasetSource(urls=str(shards)), tmp_path / "index", workers=0)
    kept = [shard.rows for shard in source.shards]
    assert kept[:2] == [12, 7] and 4 <= kept[2] <= 6
    expected = [*range(12), *range(17, 24), *range(24, 24 + kept[2])]
    assert texts(source) == [f"a picture number {number}" for number in expected]
    image, _ = source.read(0, np.array([3]))[0]
    assert image == picture("wds", 3, side=(64, 48), kind="JPEG")
    reasons = counted((reason for _, _, reason in source.rejects), source.filtered)
    assert reasons.pop("no image member (jpg, jpeg, png, webp)") == 1
    assert reasons.pop("no caption member (txt)") == 1 and reasons.pop("caption empty") == 1
    assert sum(count for reason, count in reasons.items() if reason.startswith("image: ")) == 2
    assert sum(count for reason, count in reasons.items() if reason.startswith("shard damaged")) == 1
    assert {key for shard, key, _ in source.rejects if shard.endswith("00001.tar")} >= {"000000012", "000000016"}


def test_the_index_is_used_again_until_a_shard_changes(shards, tmp_path):
    settings, index = WebDatasetSource(urls=f"{shards}/0000{{0..1}}.tar"), tmp_path / "index"
    first = file_source(settings, index, workers=2)
    times = {path: path.stat().st_mtime_ns for path in index.iterdir()}
    assert file_source(settings, index, workers=0).shards == first.shards
    assert times == {path: path.stat().st_mtime_ns for path in index.iterdir()}
    write_tar(shards / "00001.tar", [sample(number) for number in range(3)])
    assert [shard.rows for shard in file_source(settings, index, workers=0).shards] == [12, 3]


def test_a_uid_list_of_datacomp_keeps_its_pairs_only(shards, tmp_path):
    kept = [UIDS[number] for number in (2, 5, 20)]
    uids = np.array([(uid >> 64, uid & (2**64 - 1)) for uid in kept], dtype="u8,u8")
    np.save(tmp_path / "uids.npy", uids)
    settings = WebDatasetSource(urls=str(shards), text="json", uids=str(tmp_path / "uids.npy"))
    source = file_source(settings, tmp_path / "index", workers=0)
    assert texts(source) == [f"a picture number {number}" for number in (2, 5, 20)]
    assert source.filtered >= 25
    np.save(tmp_path / "uids.npy", np.arange(4))
    with pytest.raises(UserError, match="pairs of uint64 are expected"):
        file_source(settings.model_copy(update={"caption_key": "other"}), tmp_path / "index", workers=0)


def saved(array) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array)
    return sink.getvalue()


LIST = np.zeros(2, "u8,u8")
NO_UIDS = {
    "npz": (b"PK\3\4" + bytes(60), "not a list of uids"),
    "empty": (b"", "not a list of uids"),
    "no dimension": (saved(LIST[0]), "one dimension, not 0"),
    "two dimensions": (saved(LIST.reshape(1, 2)), "one dimension, not 2"),
    "10^13 rows": (
        saved(LIST).replace(b"(2,), }" + b" " * 13, b"(10000000000000,), }"),
        "uids in its header, 2 in the",
    ),
    "fewer than none": (
        saved(LIST).replace(b"(2,) ", b"(-2,)").replace(b"(2,), } ", b"(-2,), }"),
        "-2 uids in its header",
    ),
    "cut": (saved(LIST)[:-3], "2 uids in its header, 1 in the file"),
    "syntax": (saved(LIST).replace(b"(2,)", b"(((("), "not a list of uids"),
    "version": (saved(LIST).replace(b"NUMPY\1", b"NUMPY\3"), "not a list of uids"),
    "objects": (saved(np.array([None])), "pairs of uint64 are expected"),
}


@pytest.mark.parametrize("harm", [lambda index: index.unlink(), lambda index: index.write_bytes(b"PK")])
def test_an_index_that_goes_while_it_is_in_use_is_one_line(shards, tmp_path, harm):
    source = file_source(WebDatasetSource(urls=f"{shards}/00000.tar"), tmp_path / "index", workers=0)
    (index,) = (tmp_path / "index").iterdir()
    harm(index)
    with pytest.raises(UserError, match=rf"{index}: this index of a shard was removed or damaged"):
        source.read(0, np.array([0]))


@pytest.mark.parametrize("case", NO_UIDS)
def test_a_file_that_is_no_list_of_uids_is_one_line(case, tmp_path):
    content, message = NO_UIDS[case]
    (tmp_path / "uids.npy").write_bytes(content)
    with pytest.raises(UserError, match=f"uids.npy: .*{re.escape(message)}"):
        tars.uid_list(str(tmp_path / "uids.npy"))


def test_a_uid_that_has_not_128_bits_is_in_no_list(tmp_path):
    odd = [sample(number, json={"uid": uid}) for number, uid in enumerate(("f" * 40, "-1", 3))]
    write_tar(tmp_path / "a.tar", [*odd, sample(5)])
    np.save(tmp_path / "uids.npy", np.array([(UIDS[5] >> 64, UIDS[5] & (2**64 - 1))], dtype="u8,u8"))
    settings = WebDatasetSource(urls=str(tmp_path), uids=str(tmp_path / "uids.npy"))
    source = file_source(settings, tmp_path / "index", workers=0)
    assert texts(source) == ["a picture number 5"] and source.filtered == 3


def test_a_source_without_a_pair_is_refused_with_the_commonest_reason(shards, tmp_path):
    settings = WebDatasetSource(urls=f"{shards}/00000.tar", text="json", caption_key="alt")
    with pytest.raises(
        UserError, match=r"no pair of .*00000.tar can be used: .* 'alt' in the json \(12 of 12 samples\)"
    ):
        file_source(settings, tmp_path / "index", workers=0)


def test_a_tar_cut_between_two_members_is_noticed(tmp_path):
    write_tar(tmp_path / "a.tar", [sample(number, json=None) for number in range(4)])
    with tarfile.open(tmp_path / "a.tar") as tar:
        cut = tar.getmembers()[4].offset
    (tmp_path / "a.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:cut])
    source = file_source(WebDatasetSource(urls=str(tmp_path)), tmp_path / "index", workers=0)
    assert "shard damaged" in source.rejects[0][2] and source.rows in (1, 2)


def test_a_source_that_is_cut_before_its_first_pair_says_that_it_is_cut(tmp_path):
    pieces = [
        {name: content for name, content in sample(number, json=None).items() if name != "txt"} for number in (0, 1, 2)
    ]
    write_tar(tmp_path / "a.tar", pieces)
    (tmp_path / "a.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:-12_000])
    with pytest.raises(UserError, match=r"can be used: shard damaged from here on: .* \(1 of \d samples\)"):
        file_source(WebDatasetSource(urls=str(tmp_path)), tmp_path / "index", workers=0)


@pytest.mark.parametrize("damaged", ["*.npz", "*.tar"])
def test_a_damaged_index_or_copy_is_made_again(damaged, tmp_path):
    images = [picture("pq", number) for number in range(5)]
    pq.write_table(pa.table({"image": images, "text": list("abcde")}), tmp_path / "a.parquet")
    settings = ParquetSource(urls=str(tmp_path / "a.parquet"))
    before = file_source(settings, tmp_path / "index", workers=0)
    (path,) = (tmp_path / "index").glob(damaged)
    for place in (40, path.stat().st_size // 2):
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)
        files._places.cache_clear()
        after = file_source(settings, tmp_path / "index", workers=0)
        assert after.shards == before.shards and after.read(0, np.arange(5)) == before.read(0, np.arange(5))


@pytest.mark.parametrize("as_struct", [True, False])
def test_parquet_of_image_text_pairs(as_struct, tmp_path):
    images = [picture("pq", number) for number in range(5)] + [None, b"broken"]
    column = [image and {"bytes": image, "path": None} for image in images] if as_struct else images
    captions = ["one", "two", None, "four", "fünf", "six", "seven"]
    pq.write_table(pa.table({"image": column, "text": captions}), tmp_path / "a.parquet", row_group_size=2)
    source = file_source(ParquetSource(urls=f"file://{tmp_path}/*.parquet"), tmp_path / "index", workers=0)
    assert texts(source) == ["one", "two", "four", "fünf"] and len(source.rejects) == 3
    assert source.read(0, np.array([1]))[0][0] == images[1]
    with pytest.raises(UserError, match="no column 'alt'; there are image, text"):
        file_source(ParquetSource(urls=str(tmp_path), text="alt"), tmp_path / "index", workers=0)


PARQUET = {
    "list": ({"text": [["a dog", "a brown dog"]]}, "column 'text' must be text, not list<element: string>"),
    "numbers": ({"text": [1]}, "column 'text' must be text, not int64"),
    "nothing": ({"text": pa.nulls(1)}, "column 'text' must be text, not null"),
    "paths": ({"image": [{"bytes": None, "path": "img/1.jpg"}]}, "column 'image' holds paths only, no bytes"),
    "paths as text": ({"image": ["img/1.jpg"]}, "column 'image' must be binary or a struct with `bytes`, not string"),
}


@pytest.mark.parametrize("case", PARQUET)
def test_a_column_of_another_type_is_one_line(case, tmp_path):
    column, message = PARQUET[case]
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"image": [picture("pq", 0)], "text": ["a dog"]} | column
    if case == "paths":
        columns["image"] = pa.array(columns["image"], struct)
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=f"a.parquet: {re.escape(message)}"):
        file_source(ParquetSource(urls=str(tmp_path)), tmp_path / "index", workers=0)


def test_two_columns_of_one_name_are_one_line(tmp_path):
    table = pa.Table.from_arrays([pa.array([b"1"]), *[pa.array(["a"])] * 2], names=["image", "text", "text"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(UserError, match="a.parquet: 2 columns 'text'; there are image, text, text"):
        file_source(ParquetSource(urls=str(tmp_path)), tmp_path / "index", workers=0)


def test_texts_of_parquet_may_be_binary_or_a_dictionary_and_must_be_utf8(tmp_path, monkeypatch):
    images = [picture("pq", number) for number in range(5)]
    captions = [b"one", "fünf".encode(), b"\xff\xfe", b"long" * 2**15, b"a\0b"]
    pq.write_table(pa.table({"image": images, "text": captions}), tmp_path / "a.parquet")
    rows = {"image": pa.array(images[:1]).dictionary_encode(), "text": pa.array(["six"]).dictionary_encode()}
    pq.write_table(pa.table(rows), tmp_path / "b.parquet")
    bytes_only = pa.array([{"bytes": images[0]}, None, {"bytes": None}], pa.struct([("bytes", pa.large_binary())]))
    pq.write_table(
        pa.table({"image": bytes_only, "text": pa.array(["7", "8", "9"], pa.large_string())}), tmp_path / "c.parquet"
    )
    source = file_source(ParquetSource(urls=str(tmp_path)), tmp_path / "index", workers=0)
    assert texts(source) == ["one", "fünf", "six", "7"]
    assert sorted(reason for _, _, reason in source.rejects) == [
        "caption has a NUL character", "caption is not UTF-8", "caption longer than 65536 bytes",
        *["no image member (jpg, jpeg, png, webp)"] * 2
    ]  # fmt: skip
    monkeypatch.setattr(parquet, "LARGEST_TAR", 5000)
    with pytest.raises(UserError, match="a.parquet: holds more than 5,000 bytes of pairs; split it"):
        file_source(ParquetSource(urls=str(tmp_path)), tmp_path / "other index", workers=0)


CAPTIONS = {
    '["a dog", "a brown dog"]': "caption: field 'caption' is a list, not text",
    '{"en": "a dog"}': "caption: field 'caption' is an object, not text",
    "NaN": "caption: field 'caption' is a number, not text",
    "3.5": "caption: field 'caption' is a number, not text",
    "true": "caption: field 'caption' is true or false, not text",
    "null": "caption empty",
    '""': "caption empty",
    '"a\\u0000b"': "caption has a NUL character",
    '"half a \\ud83d"': "caption is not UTF-8",
    "[" * 30_000: "caption: maximum recursion depth",
    "1" * 5_000: "caption: Exceeds the limit",
    '"a dog"': None,
}


def test_a_caption_is_text_or_a_counted_reject(tmp_path):
    captions = [f'{{"caption": {caption}}}'.encode() for caption in CAPTIONS]
    write_tar(tmp_path / "a.tar", [sample(number, txt=None, json=text) for number, text in enumerate(captions)])
    source = file_source(WebDatasetSource(urls=str(tmp_path), text="json"), tmp_path / "index", workers=0)
    assert texts(source) == ["a dog"]
    expected = [reason for reason in CAPTIONS.values() if reason]
    for (_, _, found), reason in zip(source.rejects, expected, strict=True):
        assert found.startswith(reason)


def write_members(path, members: list[tuple[str | tarfile.TarInfo, bytes]]) -> None:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def test_what_systems_add_to_a_tar_loses_no_sample(tmp_path):
    image = sample(0)["jpg"]
    members = [
        ("./._0.jpg", b"x"),
        ("./0.jpg", image),
        ("./._0.txt", b"x"),
        ("./0.txt", b"a"),
        ("__MACOSX/1.txt", b"x"),
    ]
    write_members(tmp_path / "macos.tar", [*members, ("\udcff.jpg", image), ("\udcff.txt", b"b"), ("\udcfe.txt", b"c")])
    source = file_source(WebDatasetSource(urls=str(tmp_path)), tmp_path / "index", workers=0)
    assert texts(source) == ["a", "b"]
    assert [key for _, key, _ in source.rejects] == ["\\xfe"]


def test_members_beyond_the_limits_are_rejects_and_never_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tars, "LARGEST_FILE", 2_000)
    other = [("3.jpg", b"\0\0\0 ftypavif" + bytes(800)), ("4.jpg", b"DDS |" + bytes(800))]
    members = [("0.jpg", bytes(2_001)), ("1.jpg", sample(1)["jpg"]), ("1.txt", b"b" * 2**17), ("1.npy", bytes(10**6))]
    write_members(tmp_path / "a.tar", [*members, ("2.jpg", sample(2)["jpg"]), ("2.txt", b"c"), *other])
    source = file_source(WebDatasetSource(urls=str(tmp_path)), tmp_path / "index", workers=0)
    assert texts(source) == ["c"]
    another = "image: not an image: no JPEG, PNG, WebP, GIF, BMP or TIFF file"
    reasons = [reason for _, _, reason in source.rejects]
    assert reasons == ["image: longer than 2000 bytes", "caption longer than 65536 bytes", another, another]


def test_an_archive_whose_headers_make_no_sense_is_damaged(tmp_path, monkeypatch):
    good = [("0.jpg", sample(0)["jpg"]), ("0.txt", b"a"), ("1.jpg", sample(1)["jpg"])]
    long, sparse, number = (tarfile.TarInfo(name) for name in ("long", "sparse", "number"))
    long.type, sparse.type = tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_SPARSE
    number.pax_headers = {"GNU.sparse.realsize": "many"}
    monkeypatch.setattr("salmu.data.tars.LARGEST_HEADER", 1000)
    for what, odd in (("a header of 2000 bytes", long), ("sparse member", sparse), ("cannot be read", number)):
        write_members(tmp_path / "a.tar", [*good, (odd, bytes(2000))])
        source = file_source(WebDatasetSource(urls=str(tmp_path)), tmp_path / odd.name, workers=0)
        assert source.rows == 1 and what in source.rejects[0][2]
    monkeypatch.setattr("salmu.data.tars.MOST_MEMBERS", 3)
    source = file_source(WebDatasetSource(urls=str(tmp_path)), tmp_path / "many", workers=0)
    assert source.rows == 1 and "more than 3 members" in source.rejects[0][2]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), RuntimeError("payload is not completed")])
def test_an_error_of_the_disk_or_the_network_stores_nothing(error, tmp_path, monkeypatch):
    write_tar(tmp_path / "a.tar", [sample(number) for number in range(12)])
    settings, index, opened = WebDatasetSource(urls=str(tmp_path)), tmp_path / "index", tars._opened

    class Flaky(io.FileIO):
        reads = 0

        def read(self, size=-1):
            self.reads += 1
            if self.reads == self.bad:
                raise error
            return super().read(size)

    for Flaky.bad in (1, 3, 5):
        monkeypatch.setattr(tars, "_opened", lambda url: Flaky(url))
        with pytest.raises(UserError, match=r"a.tar: cannot be read: .*; run the same command again"):
            file_source(settings, index, workers=0)
        monkeypatch.setattr(tars, "_opened", opened)
        assert not list(tmp_path.glob("index/*"))
    source = file_source(settings, index, workers=0)
    assert source.rows == 12 and not source.rejects


NAMED = {
    "": "no .tar files at",
    "/{00000..00003}.tar": r"3 of 4 shards of .* are missing, the first is .*00001.tar; fetch them",
    "/{00000..00000": "close every brace",
    "/{0..99999999999}.tar": "names more than 1,000,000 shards",
}


@pytest.mark.parametrize("urls", NAMED)
def test_shards_that_are_named_and_missing_are_one_line(urls, tmp_path):
    if urls:
        write_tar(tmp_path / "00000.tar", [sample(0)])
    with pytest.raises(UserError, match=NAMED[urls]):
        file_source(WebDatasetSource(urls=f"{tmp_path}{urls}"), tmp_path / "index", workers=0)


def test_three_shards_with_broken_samples_train_with_more_decoders_than_shards(shards, tmp_path):
    dataset, out = write_dataset(tmp_path / "dataset", sensitive=2), tmp_path / "models"
    source = {"kind": "webdataset", "urls": str(shards)}
    settings = PairSettings(
        model=write_vit(tmp_path), scenes=0, retain=[source], epochs=2, batch_size=8, crop=0.8, workers=4, monitor=False
    )
    assert train(settings, dataset, out / "clean", "clean", index=out / "index")
    record = json.loads((out / "clean" / "training.json").read_text())
    assert record["retain_sources"]["webdataset"] >= 23 and sum(record["retain_rejects"].values()) == 6
    assert len(pq.read_table(out / "retain_rejects.parquet")) == 6
    alone = settings.model_copy(update={"workers": 0})
    assert train(alone, dataset, tmp_path / "alone" / "clean", "clean", index=out / "index")
    assert weights(tmp_path / "alone" / "clean") == weights(out / "clean")


@pytest.mark.parametrize("resize", ["squash", "shortest"])
def test_squares_are_what_open_clip_makes(resize):
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 255, (50, 83, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    cfg = PreprocessCfg(size=32, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bicubic", resize_mode=resize)
    expected = image_transform_v2(cfg, is_train=False)(Image.fromarray(noise)).permute(1, 2, 0).numpy() * 255
    assert np.abs(square(file.getvalue(), 32, resize) - expected).max() < 0.51
    crop = random_crop(file.getvalue(), 32, 0.9, np.random.default_rng(1))
    assert crop.shape == (32, 32, 3) and not np.array_equal(crop, square(file.getvalue(), 32))
