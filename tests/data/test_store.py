"""The store: commits are atomic, fingerprints decide what is made again, rows come back as they went in."""

import json
import os
import random
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salmu.data import checksums
from salmu.data.errors import UserError
from salmu.data.files import file_sha256, write_atomic
from salmu.data.keyed import digest
from salmu.data.store import (
    Manifest,
    Reject,
    Shard,
    ShardResult,
    Store,
    chunks,
    fingerprint,
    manifest_files,
    shard_files,
)
from salmu.data.store import store as store_module
from salmu.data.summary import Summary, read_summary, write_summary

SCHEMA = pa.schema([("name", pa.string()), ("size", pa.int32()), ("image", pa.binary())])


def rows(*names):
    return [{"name": name, "size": len(name), "image": name.encode()} for name in names]


def commit(store, shard, result, expected="f"):
    entry = store.write_shard("things", SCHEMA, shard, result, expected, seconds=1.0)
    manifest = store.manifest("things")
    manifest.shards = [e for e in manifest.shards if e.index != shard.index] + [entry]
    store.write_manifest(manifest)
    return entry


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "run")


def test_rows_and_rejects_come_back_in_planned_order_whatever_the_commit_order(store):
    rejects = [Reject("d", "too small", "3 px")]
    commit(store, Shard(index=1, items=("c", "d")), ShardResult(rows("c"), rejects, {"rules": [{"dropped": 1}]}))
    commit(store, Shard(index=0, items=("a", "b")), ShardResult(rows("a", "b")))
    view = store.view("things", "name")
    assert [row["name"] for row in view.rows()] == ["a", "b", "c"]
    assert [entry.notes for entry in view.manifest.shards] == [{}, {"rules": [{"dropped": 1}]}]
    assert view.rejects() == [Reject("d", "too small", "3 px")]
    assert view.rows_of(["c", "a"], columns=["image"]) == [{"name": "a", "image": b"a"}, {"name": "c", "image": b"c"}]


def test_only_the_row_groups_that_hold_the_keys_are_read(store, monkeypatch):
    monkeypatch.setattr(shard_files, "ROW_GROUP_BYTES", 1)  # a row group a row
    commit(store, Shard(index=0, items=()), ShardResult(rows("a", "bb", "cc", "d")))
    commit(store, Shard(index=1, items=()), ShardResult(rows("ee", "f")))
    read, some = [], store_module.read_row_groups
    monkeypatch.setattr(
        store_module, "read_row_groups", lambda path, groups, *rest: read.append(groups) or some(path, groups, *rest)
    )
    view = store.view("things", "name")
    assert [row["name"] for row in view.rows_of(["f", "d", "not there"])] == ["d", "f"] and read == [[3], [1]]
    assert [row["name"] for row in view.rows_of([2], ["name"], by="size")] == ["bb", "cc", "ee"]
    assert read[2:] == [[1, 2], [0]] and view.rows_of([]) == view.rows_of([None]) == []
    with pytest.raises(UserError, match="part-00000.parquet: cannot be read as Parquet: .*colour"):
        view.rows_of(["a"], ["colour"])


def test_what_is_made_of_a_view_is_made_once(store):
    commit(store, Shard(index=0, items=()), ShardResult(rows("a", "b")))
    view, calls = store.view("things", "name"), []

    def names(view):
        calls.append(view)
        return [row["name"] for row in view.rows(["name"])]

    assert view.once(names) == view.once(names) == ["a", "b"] and calls == [view]


def test_a_shard_counts_only_with_its_manifest_row_and_its_file(store):
    shard = Shard(index=0, items=("a",))
    entry = store.write_shard("things", SCHEMA, shard, ShardResult(rows("a")), "f", seconds=0)
    assert store.manifest("things").shards == []  # written, not committed
    commit(store, shard, ShardResult(rows("a")))
    assert store.is_done("things", entry, "f")
    assert not store.is_done("things", entry, "other settings")
    path = store.part_path("things", 0)
    path.write_bytes(path.read_bytes()[:-1])
    assert not store.is_done("things", entry, "f")
    path.unlink()
    assert not store.is_done("things", entry, "f")


def test_a_changed_row_changes_only_the_digests_that_cover_it(store):
    commit(store, Shard(index=0, items=("a", "b")), ShardResult(rows("a", "b")))
    view = store.view("things", "name")
    before_a, before_b = view.digest_of(["a"]), view.digest_of(["b"])
    changed = rows("a", "b")
    changed[1]["image"] = b"other"
    commit(store, Shard(index=0, items=("a", "b")), ShardResult(changed))
    view = store.view("things", "name")
    assert view.digest_of(["a"]) == before_a and view.digest_of(["b"]) != before_b


def test_same_content_gives_same_manifest_digest_whatever_host_time_and_order(store, tmp_path):
    other = Store(tmp_path / "other")
    parts = [(Shard(index=i, items=(name,)), ShardResult(rows(name))) for i, name in enumerate("abcd")]
    for shard, result in parts:
        commit(store, shard, result)
    random.Random(1).shuffle(parts)
    for shard, result in parts:
        commit(other, shard, result, expected="f")
    assert store.manifest("things").digest == other.manifest("things").digest
    for index in range(4):
        assert store.part_path("things", index).read_bytes() == other.part_path("things", index).read_bytes()


def test_fingerprint_moves_with_everything_that_decides_the_bytes():
    shard = Shard(index=0, items=("a",), inputs="x")
    base = fingerprint("s", 1, {"k": 1}, {"model": "r"}, shard)
    others = [
        fingerprint("t", 1, {"k": 1}, {"model": "r"}, shard),
        fingerprint("s", 2, {"k": 1}, {"model": "r"}, shard),
        fingerprint("s", 1, {"k": 2}, {"model": "r"}, shard),
        fingerprint("s", 1, {"k": 1}, {"model": "q"}, shard),
        fingerprint("s", 1, {"k": 1}, {"model": "r"}, shard.model_copy(update={"inputs": "y"})),
        fingerprint("s", 1, {"k": 1}, {"model": "r"}, shard.model_copy(update={"items": ("b",)})),
    ]
    assert base == fingerprint("s", 1, {"k": 1}, {"model": "r"}, shard) and len({base, *others}) == 7


@pytest.mark.parametrize("size", ["large", 1.5, 2**40])
def test_a_row_that_does_not_fit_is_one_line_that_names_stage_and_shard(store, size):
    with pytest.raises(UserError, match=r"stage things, shard 3: a row does not fit the schema") as caught:
        commit(store, Shard(index=3, items=("a",)), ShardResult([{"name": "a", "size": size, "image": b""}]))
    assert "\n" not in str(caught.value)
    assert not store.part_path("things", 3).exists()


def test_a_write_that_fails_leaves_neither_the_file_nor_a_piece_of_it(tmp_path, monkeypatch):
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_atomic(target, b"new")
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]


def test_a_damaged_manifest_is_one_line(store):
    store.write_manifest(Manifest(stage="things"))
    (store.stage_folder("things") / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="damaged manifest"):
        store.manifest("things")


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["part-00000", "rejects-00000"])
def test_a_shard_that_is_not_as_written_is_refused_and_says_what_makes_it_again(store, name):
    commit(store, Shard(index=0, items=("a", "b")), ShardResult(rows("a", "b"), [Reject("c", "is c")]))
    path = store.stage_folder("things") / f"{name}.parquet"
    whole = path.read_bytes()
    assert store.view("things", "name").rejects() and list(store.view("things", "name").rows())
    advice = "; remove it and run salmu stage things --run run --runs .* to make it again$"

    def refused(words):
        view = store.view("things", "name")
        with pytest.raises(UserError, match=f"{name}.parquet: {words}{advice}"):
            view.rejects() if name.startswith("rejects") else view.rows_of(["a"], ["size"])
        with pytest.raises(UserError, match=words):
            list(view.paths(rejects=name.startswith("rejects")))

    for bit in (0, 8 * 40 + 3, 8 * len(whole) - 1):
        flip(path, bit)
        refused("damaged, its bytes are not those that manifest.json records")
        path.write_bytes(whole)
    path.write_bytes(whole + b"x")
    refused("damaged, its bytes are not those that manifest.json records")
    path.unlink()
    refused("missing, though manifest.json names it")


def test_a_file_is_compared_once_a_process_and_again_when_it_has_changed(store, monkeypatch):
    commit(store, Shard(index=0, items=("a",)), ShardResult(rows("a")))
    compared = []
    monkeypatch.setattr(checksums, "file_sha256", lambda path: compared.append(path) or file_sha256(path))
    for _ in range(3):
        list(store.view("things", "name").rows())
    assert len(compared) == 1
    commit(store, Shard(index=0, items=("b",)), ShardResult(rows("b")))
    assert [row["name"] for row in store.view("things", "name").rows()] == ["b"] and len(compared) == 2


def test_what_is_no_parquet_although_the_manifest_says_so_is_one_line(store):
    entry = commit(store, Shard(index=0, items=("a",)), ShardResult(rows("a")))
    path = store.part_path("things", 0)
    path.write_bytes(b"PAR1 and nothing else PAR1")
    entry.bytes, entry.sha256 = path.stat().st_size, file_sha256(path)
    store.write_manifest(Manifest(stage="things", shards=[entry]))
    with pytest.raises(UserError, match="part-00000.parquet: cannot be read as Parquet: ") as error:
        list(store.view("things", "name").rows())
    assert "\n" not in str(error.value)


def test_every_flipped_bit_of_a_manifest_is_refused_or_says_the_same(store):
    manifest = Manifest(stage="things", settings={"a": [1, None, 0.1], "b": "é"}, planned=1, complete=True)
    manifest.shards = [commit(store, Shard(index=0, items=("a",)), ShardResult(rows("a")))]
    store.write_manifest(manifest)
    path = store.stage_folder("things") / "manifest.json"
    whole, known = path.read_bytes(), store.manifest("things")
    for bit in range(0, 8 * len(whole), 29):
        flip(path, bit)
        try:
            assert store.manifest("things") == known
        except UserError as error:
            assert "remove the file and run salmu stage things --run run --runs /" in str(error)
        path.write_bytes(whole)


def begun(store, number):
    """A stage whose manifest names one shard, and `number` entries committed since."""
    entry = store.write_shard("things", SCHEMA, Shard(index=0, items=("a",)), ShardResult(rows("a")), "f", seconds=1.0)
    manifest, made = Manifest(stage="things", planned=number + 1, shards=[entry]), []
    store.write_manifest(manifest)
    for index in range(number, 0, -1):
        made.append(entry.model_copy(update={"index": index}))
        store.commit(manifest, made)
    return manifest, made


def test_commits_are_in_the_manifest_at_once_and_go_into_its_file_when_it_is_written(store, monkeypatch):
    monkeypatch.setattr(manifest_files, "ENTRIES", 3)
    manifest, made = begun(store, 7)
    assert [entry.index for entry in store.manifest("things").shards] == [*range(8)]
    assert not store.manifest("things").complete and len(store.manifest_files("things")) == 1 + 3
    kept = [path.read_bytes() for path in store.manifest_files("things")[1:]]
    manifest.shards += made
    manifest.complete = True
    store.write_manifest(manifest)
    assert store.manifest("things").shards == sorted(manifest.shards, key=lambda entry: entry.index)
    assert [path.name for path in store.manifest_files("things")] == ["manifest.json"]
    store.write_manifest(Manifest(stage="things", planned=9))  # settings changed, and a crash left the files there
    for number, content in enumerate(kept):
        (store.stage_folder("things") / f"commits-{manifest.checksum[:12]}-{number:05d}.jsonl").write_bytes(content)
    assert store.manifest("things").shards == []


def test_what_a_crash_cuts_off_is_the_last_commit_alone(store):
    begun(store, 3)
    path = store.manifest_files("things")[1]
    whole, lines = path.read_bytes(), path.read_bytes().splitlines(keepends=True)
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        held = sum(len(b"".join(lines[: number + 1])) <= cut + 1 for number in range(3))  # but for its line feed
        assert [entry.index for entry in store.manifest("things").shards] == sorted([0, *[3, 2, 1][:held]])
    path.write_bytes(whole + bytes(100))  # a file that grew before its content reached the disk
    assert len(store.manifest("things").shards) == 4


def test_every_flipped_bit_of_the_commits_is_refused_or_loses_the_end_alone(store):
    begun(store, 3)
    path, known = store.manifest_files("things")[1], store.manifest("things").shards
    whole = path.read_bytes()
    for bit in [*range(0, 8 * len(whole), 31), 8 * len(whole) - 8]:
        flip(path, bit)
        try:
            assert store.manifest("things").shards in (known, known[:1] + known[2:], known[:1] + known[3:])
        except UserError as error:
            assert f"{path}: damaged manifest; remove the file and run salmu stage things --run run" in str(error)
            assert bit < 8 * whole.rindex(b"\n", 0, -1)
        path.write_bytes(whole)


def test_a_disk_that_is_full_refuses_a_commit_in_one_line(store, monkeypatch):
    manifest, made = begun(store, 1)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="jsonl: cannot be written: No space left on device; free some space"):
        store.commit(manifest, [*made, made[0].model_copy(update={"index": 2})])


def test_a_damaged_summary_is_one_line(tmp_path):
    folder = tmp_path / "run" / "things"
    write_summary(folder, Summary("two things", {"Sizes": [{"size": float("nan")}]}, {"Plot": b"png"}))
    path = folder / "summary.json"
    whole = path.read_text()
    half = whole.replace("two", "\\ud83d")
    assert read_summary(folder).figures == {"Plot": b"png"}
    for text in (
        whole[:-9],
        whole.replace("two", "ten"),
        whole.replace("summary-0", "../summary"),
        "[]",
        "[" * 9999,
        half,
    ):
        path.write_text(text)
        with pytest.raises(UserError, match="summary.json: damaged, .*; run salmu stage things --run run") as error:
            read_summary(folder)
        assert "\n" not in str(error.value)


def test_a_manifest_of_an_older_version_is_read_and_one_with_other_keys_is_not(store):
    entry = commit(store, Shard(index=0, items=("a",)), ShardResult(rows("a")))
    path = store.stage_folder("things") / "manifest.json"
    document = json.loads(path.read_text())
    assert document.pop("checksum") and document["shards"][0].pop("notes") == {}
    path.write_text(json.dumps(document))
    assert store.manifest("things").shards == [entry]
    for change in ({"planed": 1}, {"planned": -1}, {"stage": "words"}, {"shards": {}}, {"settings": [[[]]]}):
        path.write_text(json.dumps(document | change))
        with pytest.raises(UserError, match="damaged manifest"):
            store.manifest("things")


def test_a_checksum_covers_what_was_written_and_holds_where_a_later_version_knows_more_keys(store):
    entry = commit(store, Shard(index=0, items=("a",)), ShardResult(rows("a")))
    path = store.stage_folder("things") / "manifest.json"
    document = json.loads(path.read_text())
    del document["checksum"], document["shards"][0]["notes"]
    path.write_text(json.dumps(document | {"checksum": digest("manifest", document)}))
    assert store.manifest("things").shards == [entry]
    document["shards"][0]["rows"] += 1
    path.write_text(json.dumps(document | {"checksum": store.manifest("things").checksum}))
    with pytest.raises(UserError, match="damaged manifest"):
        store.manifest("things")


def test_a_manifest_that_somebody_changes_in_memory_is_read_again_as_it_was_written(store):
    found = store.manifest("things")
    whole = found.model_dump()
    found.shards.clear()
    found.settings["other"] = 1
    assert store.manifest("things").model_dump() == whole != found.model_dump()


def test_a_disk_that_refuses_even_to_clean_up_is_one_line(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(UserError, match="file: cannot be written: Read-only file system; free some space or choose"):
        write_atomic(tmp_path / "file", b"new")
    monkeypatch.undo()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be written: "):
        write_atomic(tmp_path / "file" / "below", b"new")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=5), unique=True), st.integers(1, 7))
def test_chunks_hold_every_item_once_in_order(items, size):
    parts = chunks(items, size)
    assert [item for part in parts for item in part] == items
    assert all(len(part) == size for part in parts[:-1])


def test_work_in_progress_survives_and_a_damaged_group_counts_as_nothing(tmp_path):
    work = Store(tmp_path).work("things", SCHEMA, 3, "f" * 32)
    assert work.get("group-0") is None
    kept = ShardResult(rows("a"), [Reject("b", "is bad", "very")])
    work.put("group-0", kept)
    again = Store(tmp_path).work("things", SCHEMA, 3, "f" * 32)
    assert again.get("group-0") == kept
    assert Store(tmp_path).work("things", SCHEMA, 3, "e" * 32).get("group-0") is None  # of other settings
    (path,) = work.folder.iterdir()
    content = path.read_bytes()
    for damaged in (content[:20], content[:-1], content[:-40] + bytes([content[-40] ^ 1]) + content[-39:], b""):
        path.write_bytes(damaged)
        assert again.get("group-0") is None
    work.clear()
    assert not work.folder.exists()
