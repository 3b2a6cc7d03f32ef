"""The folder of a run, and the rows of its stages."""

import hashlib
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from salmu.data.checksums import Recorded, require_intact
from salmu.data.files import in_order, listed, location, read_row_groups, read_tables, values_by_row_group, write_atomic
from salmu.data.keyed import digest
from salmu.data.schemas import REJECTS
from salmu.data.store.manifest import Entry, Manifest, Reject, Shard, ShardResult
from salmu.data.store.manifest_files import FILE, commit_files, read_manifest, write_commit, write_manifest
from salmu.data.store.shard_files import ROW_DIGEST, parquet_bytes, part_name, rejects_name, rejects_table, rows_table
from salmu.data.store.work import Work
from salmu.data.suggestions import salmu_command

BATCH = 1024  # rows that are Python objects at a time
Made = TypeVar("Made")


class Store:
    """The folder of one run, by path or URL; `Store(str(store.folder))` is the same store."""

    def __init__(self, folder: str | Path):
        self.folder = location(folder)

    def stage_folder(self, stage: str) -> Path:
        return self.folder / stage

    def part_path(self, stage: str, index: int) -> Path:
        return self.stage_folder(stage) / part_name(index)

    def rejects_path(self, stage: str, index: int) -> Path:
        return self.stage_folder(stage) / rejects_name(index)

    def manifest(self, stage: str) -> Manifest:
        """The stage's manifest; an empty one if it has not begun. Raises UserError if the file is damaged."""
        return read_manifest(self.stage_folder(stage), stage)

    def write_manifest(self, manifest: Manifest) -> None:
        """Commit all shards of a manifest. Raises UserError when the disk refuses."""
        write_manifest(self.stage_folder(manifest.stage), manifest)

    def commit(self, manifest: Manifest, made: list[Entry]) -> None:
        """Commit the last of the shards `made` since the manifest was written, at a cost that does not grow with their
        number. Raises UserError when the disk refuses."""
        write_commit(self.stage_folder(manifest.stage), manifest, made)

    def manifest_files(self, stage: str) -> list[Path]:
        """The files that name the stage's shards."""
        folder = self.stage_folder(stage)
        return [folder / FILE, *commit_files(folder)]

    def files(self, stage: str) -> dict[str, int | None]:
        """What lies in the stage's folder: name -> bytes, None for a folder."""
        return listed(self.stage_folder(stage))

    def is_done(self, stage: str, entry: Entry, expected: str, files: Mapping[str, int | None] | None = None) -> bool:
        """Whether the shard is committed under this fingerprint and its files are there with the recorded sizes.

        `files`: the stage's files, for those who ask about many shards."""
        if entry.fingerprint != expected:
            return False
        files = self.files(stage) if files is None else files
        recorded = {part_name(entry.index): entry.bytes}
        if entry.rejects:
            recorded[rejects_name(entry.index)] = entry.rejects_bytes
        return all(files.get(name) == size for name, size in recorded.items())

    def write_shard(
        self, stage: str, schema: pa.Schema, shard: Shard, result: ShardResult, expected: str, seconds: float
    ) -> Entry:
        """Write a shard's files and return its entry; the entry counts once it is in the manifest.

        Raises UserError when a row does not fit the schema or the disk refuses."""
        content = parquet_bytes(rows_table(result.rows, schema, f"stage {stage}, shard {shard.index}"))
        entry = Entry(
            index=shard.index,
            fingerprint=expected,
            rows=len(result.rows),
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            items=len(shard.items),
            seconds=round(seconds, 3),
            host=socket.gethostname(),
            notes=result.notes,
        )
        write_atomic(self.part_path(stage, shard.index), content)
        if result.rejects:
            content = parquet_bytes(rejects_table(result.rejects, REJECTS))
            write_atomic(self.rejects_path(stage, shard.index), content)
            entry.rejects, entry.rejects_bytes = len(result.rejects), len(content)
            entry.rejects_sha256 = hashlib.sha256(content).hexdigest()
        return entry

    def view(self, stage: str, key: str) -> "StageView":
        return StageView(self, stage, key)

    def orphans(self, stage: str) -> list[Path]:
        """What lies in the stage's folder and belongs to no committed shard: shard files that the manifest does not
        name, temporary files of processes that died, and, once the stage is complete, work in progress."""
        manifest = self.manifest(stage)
        named = {part_name(entry.index) for entry in manifest.shards}
        named |= {rejects_name(entry.index) for entry in manifest.shards if entry.rejects}
        patterns = ["part-*.parquet", "rejects-*.parquet", ".*.tmp"]
        patterns += [".work-*", "commits-*.jsonl"] if manifest.complete else []
        found = {name for name in self.files(stage) for pattern in patterns if fnmatch(name, pattern)}
        return [self.stage_folder(stage) / name for name in sorted(found - named)]

    def work(self, stage: str, schema: pa.Schema, index: int, expected: str) -> Work:
        return Work(self.stage_folder(stage) / f".work-{index:05d}-{expected[:16]}", schema)


class StageView:
    """Reads what a finished stage wrote; `key` is the column that names a row. Order: as planned, always.

    Every file is compared with its manifest before it is read. What reads raises UserError if one is missing or
    damaged."""

    def __init__(self, store: Store, stage: str, key: str):
        self.store, self.stage, self.key = store, stage, key
        self.manifest = store.manifest(stage)
        self._row_digests: dict[str, str] | None = None
        self._places: dict[str, dict[Any, tuple[int, ...]]] = {}
        self._row_groups: list[tuple[int, int]] = []  # of all shards: place of the shard, number of the group in it
        self._made: dict[Callable, Any] = {}

    def tables(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """One table a shard, in order, so that memory stays bounded by a shard, or by a few in an object store."""
        return self._tables(self._parts(self.manifest.shards), columns)

    def rows(self, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
        """All rows, shard by shard."""
        for table in self.tables(columns):
            for batch in table.to_batches(BATCH):
                yield from batch.to_pylist()

    def rows_of(
        self, keys: Iterable[str], columns: list[str] | None = None, by: str | None = None
    ) -> list[dict[str, Any]]:
        """The rows whose column `by` (the key by default) is among `keys`, in the stage's order. Where they are is
        looked up once; then only the row groups that hold them are read."""
        by = by or self.key
        wanted, groups = set(keys), {}
        columns = None if columns is None else list(dict.fromkeys([by, *columns]))
        places = self._places_of(by)
        for shard, group in sorted({self._row_groups[at] for key in wanted for at in places.get(key, ())}):
            groups.setdefault(shard, []).append(group)
        known = self._parts([self.manifest.shards[shard] for shard in groups])
        in_file = dict(zip(known, groups.values(), strict=True))

        def read(path: Path) -> pa.Table:
            table = read_row_groups(require_intact(path, known[path], columns), in_file[path], columns)
            return table.filter(pc.is_in(table[by], pa.array(wanted, table.schema.field(by).type)))

        return [row for table in in_order(read, known) for row in table.to_pylist()]

    def once(self, make: Callable[["StageView"], Made]) -> Made:
        """make(view), kept for later calls: for what every shard needs of all rows."""
        if make not in self._made:
            self._made[make] = make(self)
        return self._made[make]

    def paths(self, rejects: bool = False) -> Iterator[Path]:
        """The files of the rows, or of the rejects, in order, for those who read them in smaller pieces."""
        known = self._rejects() if rejects else self._parts(self.manifest.shards)
        for path, recorded in known.items():
            yield require_intact(path, recorded)

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
        return [Reject(**row) for table in self._tables(self._rejects()) for row in table.to_pylist()]

    def _places_of(self, column: str) -> dict[Any, tuple[int, ...]]:
        """Value of a column -> the places in `_row_groups` of the row groups that hold it; read once."""
        if column not in self._places:
            known, places, row_groups = self._parts(self.manifest.shards), {}, []

            def read(path: Path) -> list[list]:
                return values_by_row_group(require_intact(path, known[path], [column]), column)

            for shard, groups in enumerate(in_order(read, known)):
                for group, values in enumerate(groups):
                    for value in dict.fromkeys(values):
                        places[value] = (*places.get(value, ()), len(row_groups))
                    row_groups.append((shard, group))
            self._places[column], self._row_groups = places, row_groups
        return self._places[column]

    def _tables(self, known: dict[Path, Recorded], columns=None) -> Iterator[pa.Table]:
        return read_tables(known, columns, lambda path: require_intact(path, known[path], columns))

    def _parts(self, entries: list[Entry]) -> dict[Path, Recorded]:
        return {
            self.store.part_path(self.stage, entry.index): self._recorded(entry.bytes, entry.sha256)
            for entry in entries
        }

    def _rejects(self) -> dict[Path, Recorded]:
        return {
            self.store.rejects_path(self.stage, entry.index): self._recorded(entry.rejects_bytes, entry.rejects_sha256)
            for entry in self.manifest.shards
            if entry.rejects
        }

    def _recorded(self, size: int, sha256: str) -> Recorded:
        again = f"remove it and run {salmu_command(f'stage {self.stage}', self.store.folder)} to make it again"
        return Recorded(size, sha256, "manifest.json", again)
