"""A run's files: shards, rejects and manifests, committed atomically and resumed by fingerprint.

    runs/<name>/<stage>/part-00012.parquet   the rows of a shard, with a `row_digest` column at the end
    runs/<name>/<stage>/rejects-00012.parquet   what was dropped, with its reason; only where something was
    runs/<name>/<stage>/manifest.json        one entry a shard: the entry is the commit record

A file is written whole or not at all (see data/files.py); then the manifest is. A shard whose entry has the expected
fingerprint and whose files are there with the recorded sizes is done; anything else is made again. `runs` is a folder
or a URL of an object store.
"""

import hashlib
import io
import json
import socket
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from salmu.data.errors import UserError
from salmu.data.files import listed, location, read_bytes, read_table, read_tables, remove, write_atomic
from salmu.data.keyed import digest
from salmu.data.schemas import REJECTS

ROW_DIGEST = "row_digest"
ROW_GROUP_BYTES = 4_000_000


class Shard(BaseModel):
    """A unit of work: which items, made from which upstream rows."""

    model_config = ConfigDict(frozen=True)
    index: int
    items: tuple[str, ...]  # keys of what it makes or works on, in order
    inputs: str = ""  # digest of the upstream rows used


class Reject(NamedTuple):
    item: str
    reason: str  # a short fixed phrase, counted in summaries
    detail: str = ""


class ShardResult(NamedTuple):
    rows: list[dict[str, Any]]
    rejects: list[Reject] = []


class Entry(BaseModel):
    """A manifest row: the commit record of a shard."""

    index: int
    fingerprint: str
    rows: int
    bytes: int
    sha256: str
    rejects: int = 0
    rejects_bytes: int = 0
    rejects_sha256: str = ""
    items: int = 0
    seconds: float = 0.0
    host: str = ""


class Manifest(BaseModel):
    """What a stage has done. `digest` covers the content only, so it is equal for equal outputs."""

    stage: str
    version: int = 0
    settings: dict[str, Any] = {}
    upstream: dict[str, str] = {}  # upstream stage -> digest of its manifest when this one was finished
    shards: list[Entry] = []
    planned: int = 0  # shards in the plan
    complete: bool = False  # all of them are in

    @property
    def digest(self) -> str:
        return digest([[e.index, e.sha256, e.rejects_sha256] for e in sorted(self.shards, key=lambda e: e.index)])

    @property
    def rows(self) -> int:
        return sum(e.rows for e in self.shards)

    @property
    def rejects(self) -> int:
        return sum(e.rejects for e in self.shards)


def fingerprint(stage: str, version: int, settings: Mapping, revisions: Mapping[str, str], shard: Shard) -> str:
    """Same fingerprint: same bytes."""
    return digest(stage, version, settings, revisions, shard.index, shard.items, shard.inputs)


def _row_digest(row: Mapping[str, Any]) -> str:
    hasher = hashlib.blake2b(digest_size=16)
    for name in sorted(row):
        value = row[name]
        hasher.update(name.encode() + b"\0")
        hasher.update(value if isinstance(value, bytes) else json.dumps(value, sort_keys=True, default=str).encode())
        hasher.update(b"\0")
    return hasher.hexdigest()


def _parquet(table: pa.Table) -> bytes:
    """A Parquet file; rows with pictures in small groups, so that a few rows can be read without the others."""
    sink = io.BytesIO()
    rows = max(1, min(1024, ROW_GROUP_BYTES * table.num_rows // max(table.nbytes, 1)))
    pq.write_table(table, sink, compression="zstd", row_group_size=rows)
    return sink.getvalue()


class Store:
    """The folder of one run, by path or URL; `Store(str(store.folder))` is the same store."""

    def __init__(self, folder: str | Path):
        self.folder = location(folder)

    def stage_folder(self, stage: str) -> Path:
        return self.folder / stage

    def part_path(self, stage: str, index: int) -> Path:
        return self.stage_folder(stage) / f"part-{index:05d}.parquet"

    def rejects_path(self, stage: str, index: int) -> Path:
        return self.stage_folder(stage) / f"rejects-{index:05d}.parquet"

    def manifest(self, stage: str) -> Manifest:
        """The stage's manifest; an empty one if it has not begun. Raises UserError if the file is damaged."""
        path = self.stage_folder(stage) / "manifest.json"
        try:
            return Manifest.model_validate_json(read_bytes(path))
        except FileNotFoundError:
            return Manifest(stage=stage)
        except ValueError:
            raise UserError(f"{path}: damaged manifest; remove the file to run the stage again") from None

    def write_manifest(self, manifest: Manifest) -> None:
        manifest.shards.sort(key=lambda entry: entry.index)
        write_atomic(self.stage_folder(manifest.stage) / "manifest.json", manifest.model_dump_json(indent=1).encode())

    def files(self, stage: str) -> dict[str, int | None]:
        """What lies in the stage's folder: name -> bytes, None for a folder."""
        return listed(self.stage_folder(stage))

    def is_done(self, stage: str, entry: Entry, expected: str, files: Mapping[str, int | None] | None = None) -> bool:
        """Whether the shard is committed under this fingerprint and its files are there with the recorded sizes.

        `files`: the stage's files, for those who ask about many shards."""
        if entry.fingerprint != expected:
            return False
        files = self.files(stage) if files is None else files
        recorded = {self.part_path(stage, entry.index).name: entry.bytes}
        if entry.rejects:
            recorded[self.rejects_path(stage, entry.index).name] = entry.rejects_bytes
        return all(files.get(name) == size for name, size in recorded.items())

    def write_shard(
        self, stage: str, schema: pa.Schema, shard: Shard, result: ShardResult, expected: str, seconds: float
    ) -> Entry:
        """Write a shard's files and return its entry; the entry counts once it is in the manifest.

        Raises UserError when a row does not fit the schema or the disk refuses."""
        rows = [{name: row.get(name) for name in schema.names} for row in result.rows]
        full = schema.append(pa.field(ROW_DIGEST, pa.string()))
        try:
            table = pa.Table.from_pylist([row | {ROW_DIGEST: _row_digest(row)} for row in rows], schema=full)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise UserError(f"stage {stage}, shard {shard.index}: a row does not fit the schema: {error}") from None
        content = _parquet(table)
        entry = Entry(
            index=shard.index,
            fingerprint=expected,
            rows=len(rows),
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            items=len(shard.items),
            seconds=round(seconds, 3),
            host=socket.gethostname(),
        )
        write_atomic(self.part_path(stage, shard.index), content)
        if result.rejects:
            content = _parquet(pa.Table.from_pylist([reject._asdict() for reject in result.rejects], schema=REJECTS))
            write_atomic(self.rejects_path(stage, shard.index), content)
            entry = entry.model_copy(
                update={
                    "rejects": len(result.rejects),
                    "rejects_bytes": len(content),
                    "rejects_sha256": hashlib.sha256(content).hexdigest(),
                }
            )
        return entry

    def view(self, stage: str, key: str) -> "StageView":
        return StageView(self, stage, key)

    def orphans(self, stage: str) -> list[Path]:
        """What lies in the stage's folder and belongs to no committed shard: shard files that the manifest does not
        name, temporary files of processes that died, and, once the stage is complete, work in progress."""
        manifest = self.manifest(stage)
        named = {self.part_path(stage, entry.index).name for entry in manifest.shards}
        named |= {self.rejects_path(stage, entry.index).name for entry in manifest.shards if entry.rejects}
        patterns = ["part-*.parquet", "rejects-*.parquet", ".*.tmp", *([".work-*"] if manifest.complete else [])]
        found = {name for name in self.files(stage) for pattern in patterns if fnmatch(name, pattern)}
        return [self.stage_folder(stage) / name for name in sorted(found - named)]

    def work(self, stage: str, schema: pa.Schema, index: int, expected: str) -> "Work":
        return Work(self.stage_folder(stage) / f".work-{index:05d}-{expected[:16]}", schema)


class Work:
    """The rows of an unfinished shard, group by group: a shard that takes minutes goes on where it was killed.

    A group is a file, written whole or not at all, in a folder that the shard's fingerprint names; the folder goes when
    the shard is committed."""

    def __init__(self, folder: Path, schema: pa.Schema):
        self.folder, self.schema = folder, schema

    def get(self, key: str) -> ShardResult | None:
        """What was put under this key, or None. A damaged file counts as nothing."""
        try:
            rows = read_table(self.folder / f"{key}.parquet").to_pylist()
            rejects = json.loads(read_bytes(self.folder / f"{key}.json"))
        except (OSError, ValueError):
            return None
        return ShardResult(rows, [Reject(*reject) for reject in rejects])

    def put(self, key: str, result: ShardResult) -> None:
        """Keep a group. Raises UserError when the disk refuses."""
        rows = [{name: row.get(name) for name in self.schema.names} for row in result.rows]
        write_atomic(self.folder / f"{key}.json", json.dumps(result.rejects).encode())
        write_atomic(self.folder / f"{key}.parquet", _parquet(pa.Table.from_pylist(rows, schema=self.schema)))

    def clear(self) -> None:
        """Remove the folder."""
        remove(self.folder)


class StageView:
    """Reads what a finished stage wrote; `key` is the column that names a row. Order: as planned, always."""

    def __init__(self, store: Store, stage: str, key: str):
        self.store, self.stage, self.key = store, stage, key
        self.manifest = store.manifest(stage)
        self._row_digests: dict[str, str] | None = None
        self._places: dict[str, list[set]] = {}

    def tables(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """One table a shard, in order, so that memory stays bounded by a shard, or by a few in an object store."""
        return read_tables(self._parts(self.manifest.shards), columns)

    def rows(self, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
        """All rows, shard by shard."""
        for table in self.tables(columns):
            yield from table.to_pylist()

    def rows_of(
        self, keys: Iterable[str], columns: list[str] | None = None, by: str | None = None
    ) -> list[dict[str, Any]]:
        """The rows whose column `by` (the key by default) is among `keys`, in the stage's order; reads only the
        shards that hold them."""
        by = by or self.key
        wanted = set(keys)
        columns = None if columns is None else list(dict.fromkeys([by, *columns]))
        holding = [entry for entry, values in self._values(by) if not values.isdisjoint(wanted)]
        found = []
        for table in read_tables(self._parts(holding), columns, filters=[(by, "in", list(wanted))]):
            found += table.to_pylist()
        return found

    def _parts(self, entries: list[Entry]) -> list[Path]:
        return [self.store.part_path(self.stage, entry.index) for entry in entries]

    def _values(self, column: str) -> list[tuple[Entry, set]]:
        """What a column of each shard holds; read once."""
        if column not in self._places:
            self._places[column] = [set(table.column(column).to_pylist()) for table in self.tables([column])]
        return list(zip(self.manifest.shards, self._places[column], strict=True))

    def row_digests(self) -> dict[str, str]:
        """Key of each row -> digest of its content."""
        if self._row_digests is None:
            self._row_digests = {}
            for table in self.tables([self.key, ROW_DIGEST]):
                self._row_digests.update(
                    zip(table.column(self.key).to_pylist(), table.column(ROW_DIGEST).to_pylist(), strict=True)
                )
        return self._row_digests

    def digest_of(self, keys: Iterable[str]) -> str:
        """One digest over the named rows: what a dependent shard puts into `inputs`."""
        digests = self.row_digests()
        return digest([[key, digests.get(key)] for key in keys])

    def rejects(self) -> list[Reject]:
        paths = [self.store.rejects_path(self.stage, entry.index) for entry in self.manifest.shards if entry.rejects]
        return [Reject(**row) for table in read_tables(paths) for row in table.to_pylist()]


def chunks(items: list[str], size: int) -> list[tuple[str, ...]]:
    """Consecutive groups of `size`."""
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]
