"""Runs and datasets in an object store: bytes as on a disk, whole or not at all, one line for failures."""

import json
import sys
from pathlib import Path

import boto3
import datasets
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pytest
import s3fs
from object_store import bucket, s3_server  # noqa: F401
from pyarrow.fs import FSSpecHandler, PyFileSystem
from small_run import small_run

from salmu.data.errors import UserError
from salmu.data.files import file_sha256, listed, location, remove, size
from salmu.data.publish.publish import PublishSettings, publish
from salmu.data.readers import SPLITS, open_dataset
from salmu.data.store import Manifest, Reject, Shard, ShardResult, Store, manifest_files
from salmu.flows.command_line.verify import checked
from salmu.flows.running.lock import holder, run_lock

SCHEMA = pa.schema([("name", pa.string()), ("image", pa.binary())])
SMALL = PublishSettings(rows_per_file=20, samples_per_tar=15)


@pytest.fixture(params=["disk", "memory", "s3"])
def runs(request, tmp_path):
    """Where runs lie: a folder or a URL."""
    if request.param == "disk":
        yield str(tmp_path / "runs")
    elif request.param == "memory":
        yield f"memory://{tmp_path.name}/runs"
        fsspec.filesystem("memory").store.clear()
    else:
        yield request.getfixturevalue("bucket") + "/runs"


def shard(index: int, *names: str, rejects=()) -> tuple[Shard, ShardResult]:
    rows = [{"name": name, "image": name.encode()} for name in names]
    return Shard(index=index, items=names), ShardResult(rows, list(rejects))


def commit(store: Store, *shards) -> None:
    manifest = store.manifest("things")
    manifest.shards = [store.write_shard("things", SCHEMA, *made, "f", seconds=1.0) for made in shards]
    manifest.complete = True
    store.write_manifest(manifest)


def test_rows_come_back_and_a_store_is_named_by_its_text(runs):
    store = Store(f"{runs}/tiny")
    commit(store, shard(1, "c"), shard(0, "a", "b", rejects=[Reject("x", "is x")]))
    assert str(store.folder) == f"{runs}/tiny" and store.folder.name == "tiny"
    again = Store(str(store.folder))
    view = again.view("things", "name")
    assert [row["name"] for row in view.rows()] == ["a", "b", "c"]
    assert view.rows_of(["c", "a"], ["image"]) == [{"name": "a", "image": b"a"}, {"name": "c", "image": b"c"}]
    assert view.rejects() == [Reject("x", "is x")]
    entry = again.manifest("things").shards[0]
    assert again.is_done("things", entry, "f") and not again.is_done("things", entry, "g")
    remove(again.rejects_path("things", 0))
    assert not again.is_done("things", entry, "f") and store.manifest("nothing").shards == []


def test_commits_one_by_one_and_verify_looks_at_their_files(runs, monkeypatch):
    monkeypatch.setattr(manifest_files, "ENTRIES", 2)
    store, made = Store(f"{runs}/tiny"), []
    manifest = Manifest(stage="assembly", planned=4)
    store.write_manifest(manifest)
    for index in (2, 0, 1):
        made.append(store.write_shard("assembly", SCHEMA, *shard(index, "abc"[index])[:2], "f", seconds=1.0))
        store.commit(manifest, made)
    assert store.manifest("assembly").shards == [made[1], made[2], made[0]]
    first, last = store.manifest_files("assembly")[1:]
    whole = first.read_bytes()
    first.write_bytes(whole[:40] + whole[41:])
    (found,) = [file for file in checked(store) if file.problem]
    assert found.path == first and found.problem.startswith("damaged manifest; remove the file and run salmu stage")
    first.write_bytes(whole)
    remove(last)
    assert store.manifest("assembly").shards == [made[1], made[0]]
    store.write_manifest(manifest)
    assert [path.name for path in store.manifest_files("assembly")] == ["manifest.json"]


@pytest.mark.parametrize("runs", ["memory"], indirect=True)
def test_a_damaged_object_is_refused(runs):
    store = Store(f"{runs}/tiny")
    commit(store, shard(0, "a"))
    path = store.part_path("things", 0)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=f"{runs}/tiny/things/part-00000.parquet: damaged, .*salmu stage things"):
        store.view("things", "name").row_digests()


def test_what_another_process_writes_is_seen_at_once(bucket):  # noqa: F811
    store, client = Store(f"{bucket}/run"), boto3.client("s3")
    commit(store, shard(0, "a"))
    (entry,) = store.manifest("things").shards
    key = f"run/things/{store.part_path('things', 0).name}"
    assert store.is_done("things", entry, "f") and not store.orphans("things")
    client.put_object(Bucket=location(bucket).drive, Key="run/things/part-00007.parquet", Body=b"left over")
    client.delete_object(Bucket=location(bucket).drive, Key=key)
    assert not store.is_done("things", entry, "f")
    assert [path.name for path in store.orphans("things")] == ["part-00007.parquet"]


def test_work_in_progress_and_left_overs(runs):
    store = Store(f"{runs}/tiny")
    work = store.work("things", SCHEMA, 3, "fingerprint")
    made = shard(0, "a", rejects=[Reject("x", "is x")])[1]
    work.put("first", made)
    assert store.work("things", SCHEMA, 3, "fingerprint").get("first") == made and work.get("second") is None
    (name,) = listed(work.folder)
    remove(work.folder / name)
    assert work.get("first") is None
    commit(store, shard(0, "a"))
    work.put("first", made)
    store.write_shard("things", SCHEMA, *shard(5, "b"), "f", seconds=1.0)
    assert {path.name for path in store.orphans("things")} == {"part-00005.parquet", work.folder.name}
    work.clear()
    work.clear()
    for path in store.orphans("things"):
        remove(path)
    assert not store.orphans("things") and store.part_path("things", 0).name in store.files("things")


def test_an_upload_that_was_cut_off_is_not_there(bucket):  # noqa: F811
    store, client = Store(f"{bucket}/run"), boto3.client("s3")
    commit(store, shard(0, "a"))
    (entry,) = store.manifest("things").shards
    path = store.part_path("things", 0)
    place = {"Bucket": path.drive, "Key": path.path.partition("/")[2]}
    upload = client.create_multipart_upload(**place)
    client.upload_part(**place, UploadId=upload["UploadId"], PartNumber=1, Body=b"half of another file")
    assert size(path) == entry.bytes and store.is_done("things", entry, "f") and file_sha256(path) == entry.sha256
    remove(path)
    assert size(path) is None and not store.is_done("things", entry, "f")


def test_only_the_ranges_that_are_asked_for_are_read(bucket, monkeypatch):  # noqa: F811
    store, read = Store(f"{bucket}/run"), []
    pictures = np.random.default_rng(0).bytes(3_000_000)
    rows = [{"name": f"{n:03}", "image": pictures[n * 10_000 : (n + 1) * 10_000]} for n in range(300)]
    commit(store, (Shard(index=0, items=()), ShardResult(rows)))
    fetch = s3fs.core.S3File._fetch_range
    monkeypatch.setattr(
        s3fs.core.S3File, "_fetch_range", lambda file, start, end: read.append(end - start) or fetch(file, start, end)
    )
    view = store.view("things", "name")
    assert len(view.row_digests()) == 300
    assert sum(read) < 200_000
    assert size(store.part_path("things", 0)) > 3_000_000


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    """A run on a disk, published, and its dataset's digest."""
    store = small_run(tmp_path_factory.mktemp("disk"))
    return store, publish(store, store.folder / "dataset", SMALL, {"seed": 0})


@pytest.mark.parametrize("runs", ["memory", "s3"], indirect=True)
def test_a_published_run_has_the_bytes_of_one_on_a_disk(runs, on_disk):
    folder, digest = on_disk[0].folder, on_disk[1]
    store = small_run(f"{runs}/tiny")
    place = store.folder / "dataset"
    assert publish(store, str(place), SMALL, {"seed": 0}) == digest
    files = sorted(path.relative_to(folder).as_posix() for path in (folder / "dataset").rglob("*") if path.is_file())
    there = sorted(f"dataset/{name.partition('/dataset/')[2]}" for name in place.fs.find(place.path))
    assert there == files
    assert all((store.folder / name).read_bytes() == (folder / name).read_bytes() for name in files)
    ours, theirs = open_dataset(str(place)), open_dataset(folder / "dataset")
    assert ours.digest == theirs.digest == digest and ours.identities == theirs.identities
    for split in (*SPLITS, "sensitive", "forget_identity", "retain_joint", "fragile_set"):
        assert ours.table(split).equals(theirs.table(split))
    stamp = place.fs.modified((place / "provenance.json").path)
    publish(store, place, SMALL, {"seed": 0})
    assert place.fs.modified((place / "provenance.json").path) == stamp  # current: not written again


def test_others_read_the_dataset_from_its_url(bucket, on_disk, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)  # of all addresses, not the hub's alone
    publish(on_disk[0], f"{bucket}/dataset", SMALL, {"seed": 0})
    forget = open_dataset(f"{bucket}/dataset").table("forget")
    loaded = datasets.load_dataset(
        "parquet",
        data_files={"forget": f"{bucket}/dataset/data/forget-*.parquet"},
        split="forget",
        cache_dir=str(tmp_path),
    )
    assert loaded["file_name"] == forget.column("file_name").to_pylist() and loaded[0]["image"].size == (48, 36)
    system = PyFileSystem(FSSpecHandler(fsspec.filesystem("s3")))
    files = pyarrow.dataset.dataset(f"{bucket.removeprefix('s3://')}/dataset/data", filesystem=system)
    assert files.count_rows() == on_disk[0].manifest("assembly").rows


class Killed(Exception):
    pass


@pytest.mark.parametrize("runs", ["memory", "s3"], indirect=True)
@pytest.mark.parametrize("files", [0, 9])
def test_a_killed_upload_is_no_dataset_and_is_made_whole_by_the_next(runs, files, on_disk, monkeypatch):
    store, place = on_disk[0], location(f"{runs}/dataset")
    publish(store, place, PublishSettings(rows_per_file=5, samples_per_tar=15), {"seed": 0})  # more files than the next
    old = open_dataset(place).digest

    def put(sources, targets):
        for source, target in list(zip(sources, targets, strict=True))[:files]:
            place.fs.put_file(source, target)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(place.fs, "put", put)
        with pytest.raises((Killed, UserError)):
            publish(store, place, SMALL, {"seed": 0})
    with pytest.raises(UserError, match="upload was interrupted"):
        open_dataset(place)
    assert publish(store, place, SMALL, {"seed": 0}) == on_disk[1] != old
    provenance = json.loads((place / "provenance.json").read_text())
    there = {name.partition("/dataset/")[2] for name in place.fs.find(place.path)}
    assert there == {*provenance["files"], "provenance.json"}  # nothing of the old one, no mark


def test_a_folder_with_something_else_is_not_published_into(bucket, on_disk):  # noqa: F811
    (location(bucket) / "dataset" / "thesis.txt").write_bytes(b"mine")
    with pytest.raises(UserError, match="not empty and not a published dataset"):
        publish(on_disk[0], f"{bucket}/dataset", SMALL, {"seed": 0})


def test_verify_finds_a_damaged_and_a_missing_object(runs):
    store = small_run(f"{runs}/tiny")
    files = [name for stage in STAGES_MADE for name in store.files(stage)]
    assert [file.problem for file in checked(store)] == [""] * len(files)
    path = store.part_path("captions", 0)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    assert [(file.path, file.problem) for file in checked(store) if file.problem] == [
        (path, "differs from its manifest")
    ]
    remove(path)
    assert [(file.path, file.problem) for file in checked(store) if file.problem] == [(path, "missing")]


STAGES_MADE = ("portraits", "curation", "personas", "captions", "assembly")


def test_one_process_of_a_machine_works_on_a_run_at_a_url():
    with run_lock(location("memory://runs/tiny")):
        with pytest.raises(UserError, match="memory://runs/tiny: another process"):
            with run_lock(location("memory://runs/tiny")):
                pass
        with run_lock(location("memory://runs/other")):
            pass
    with run_lock(location("memory://runs/tiny")):
        pass


def test_a_holder_of_a_lock_that_holds_control_characters_is_shown_escaped(tmp_path):
    (tmp_path / ".lock").write_text(json.dumps({"host": "a\x1b[31mb", "pid": 1, "since": "now\n\x07"}))
    assert r"a\x1b[31mb" in str(holder(tmp_path)) and str(holder(tmp_path)).isprintable()


def test_plain_paths_and_file_urls_are_paths(tmp_path):
    assert location("runs") == Path("runs") and location(f"file://{tmp_path}") == tmp_path
    assert isinstance(location(f"file://{tmp_path}"), Path)


@pytest.mark.parametrize(
    "url, words",
    [
        ("gs://bucket/runs", "gs://bucket/runs: gs:// needs a package that is not installed: pip install gcsfs"),
        ("nonsense://bucket/runs", "nonsense"),
    ],
)
def test_a_protocol_that_cannot_be_spoken(url, words, monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(UserError, match=words):
        Store(url)


def test_a_bucket_that_is_not_there(s3_server):  # noqa: F811
    store = Store("s3://salmu-nowhere/runs/tiny")
    for action in (
        lambda: store.manifest("things"),
        lambda: commit(store, shard(0, "a")),
        lambda: store.orphans("things"),
        lambda: open_dataset(store.folder / "dataset"),
        lambda: size(store.folder / "settings.yaml"),
    ):
        with pytest.raises(UserError, match=r"s3://salmu-nowhere/runs/tiny.* does not exist.*check the bucket"):
            action()


@pytest.mark.parametrize(
    "surroundings, words",
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "Could not connect to the endpoint"),
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "Unable to locate credentials"),
    ],
)
def test_an_endpoint_that_does_not_answer_and_no_credentials(s3_server, surroundings, words, monkeypatch):  # noqa: F811
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name, value in surroundings.items():
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(UserError, match=f"s3://bucket/runs/things/manifest.json: .*{words}.*AWS_ENDPOINT_URL"):
        Store("s3://bucket/runs").manifest("things")
    s3fs.S3FileSystem.clear_instance_cache()
