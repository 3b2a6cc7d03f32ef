"""The rows of an unfinished shard, group by group, so that a shard that takes minutes resumes where it was killed."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from salmu.data.files import read_bytes, remove, write_atomic
from salmu.data.store.manifest import Reject, ShardResult
from salmu.data.store.shard_files import parquet_bytes

REJECTS = b"rejects"  # in the metadata of a group's schema


class Work:
    """A folder that the shard's fingerprint names; it goes when the shard is committed.

    A group is one file, written whole or not at all: the SHA-256 of what follows, then a Parquet file."""

    def __init__(self, folder: Path, schema: pa.Schema):
        self.folder, self.schema = folder, schema

    def get(self, key: str) -> ShardResult | None:
        """What was put under this key, or None. A damaged file counts as nothing."""
        return self._read(self._path(key))

    def get_of_any_settings(self, key: str) -> ShardResult | None:
        """What was put under this key when the shard had these or other settings; for keys that name all that decides
        the group."""
        siblings = sorted(self.folder.parent.glob(f"{self.folder.name.rpartition('-')[0]}-*"))
        found = (self._read(folder / self._path(key).name) for folder in (self.folder, *siblings))
        return next((result for result in found if result is not None), None)

    def _read(self, path: Path) -> ShardResult | None:
        try:
            content = read_bytes(path)
        except OSError:
            return None
        if hashlib.sha256(content[32:]).digest() != content[:32]:
            return None
        table = pq.read_table(pa.BufferReader(content[32:]))
        rejects = json.loads(table.schema.metadata[REJECTS])
        return ShardResult(table.to_pylist(), [Reject(*reject) for reject in rejects])

    def put(self, key: str, result: ShardResult) -> None:
        """Keep a group. Raises UserError when the disk refuses."""
        rows = [{name: row.get(name) for name in self.schema.names} for row in result.rows]
        schema = self.schema.with_metadata({REJECTS: json.dumps(result.rejects)})
        content = parquet_bytes(pa.Table.from_pylist(rows, schema=schema))
        write_atomic(self._path(key), hashlib.sha256(content).digest() + content)

    def clear(self) -> None:
        """Remove the folder."""
        remove(self.folder)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.group"
