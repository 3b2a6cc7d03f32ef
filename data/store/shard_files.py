"""The two Parquet files of a shard: its rows, each with a digest of its content, and its rejects."""

import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from salmu.data.errors import UserError
from salmu.data.store.manifest import Reject

ROW_DIGEST = "row_digest"
ROW_GROUP_BYTES = 4_000_000


def part_name(index: int) -> str:
    return f"part-{index:05d}.parquet"


def rejects_name(index: int) -> str:
    return f"rejects-{index:05d}.parquet"


def rows_table(rows: list[dict[str, Any]], schema: pa.Schema, where: str) -> pa.Table:
    """The rows with their digests at the end. Raises UserError when one does not fit the schema; `where` names the
    shard."""
    rows = [{name: row.get(name) for name in schema.names} for row in rows]
    full = schema.append(pa.field(ROW_DIGEST, pa.string()))
    for name in (field.name for field in schema if pa.types.is_integer(field.type)):
        for row in rows:
            if isinstance(row[name], float) and not row[name].is_integer():  # pyarrow would drop the fraction
                raise UserError(f"{where}: a row does not fit the schema: {name} is {row[name]}, not a whole number")
    try:
        return pa.Table.from_pylist([row | {ROW_DIGEST: _row_digest(row)} for row in rows], schema=full)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise UserError(f"{where}: a row does not fit the schema: {error}") from None


def rejects_table(rejects: list[Reject], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([reject._asdict() for reject in rejects], schema=schema)


def parquet_bytes(table: pa.Table) -> bytes:
    """A Parquet file; rows with pictures in small groups, so that a few rows can be read without the others."""
    sink = io.BytesIO()
    rows = max(1, min(1024, ROW_GROUP_BYTES * table.num_rows // max(table.nbytes, 1)))
    pq.write_table(table, sink, compression="zstd", row_group_size=rows)
    return sink.getvalue()


def _row_digest(row: Mapping[str, Any]) -> str:
    hasher = hashlib.blake2b(digest_size=16)
    for name in sorted(row):
        value = row[name]
        hasher.update(name.encode() + b"\0")
        hasher.update(value if isinstance(value, bytes) else json.dumps(value, sort_keys=True, default=str).encode())
        hasher.update(b"\0")
    return hasher.hexdigest()
