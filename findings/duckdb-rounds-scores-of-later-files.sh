#!/usr/bin/env bash
# duckdb 2.0.1: reading several Parquet files takes each column's type from the first file. If that one holds whole
# numbers, a later 0.75 is read as 1. In JSON Lines the types come from the first 20,480 rows: a later 0.75 is 1, and
# "yes" in a column of booleans is true.
#
# Guess before the run: an error, as from pyarrow and polars, or a wider type.
# Seen: no error and no warning. A later key that is new, or a later "abc" among numbers, is an error, so one expects
# a value that does not fit to be one as well.
# It matters for datasets in shards: if the first shard's scores happen to be whole, a query over all shards rounds
# every other score, and means, thresholds and filters are wrong. Pass union_by_name=true for Parquet, sample_size=-1
# for JSON, or write one declared type everywhere.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile duckdb==2.0.1 pyarrow==26.0.1 polars==2.1.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import json
from pathlib import Path

import duckdb
import polars
import pyarrow
import pyarrow.parquet as pq

for name, scores in {"part-0": [0, 1], "part-1": [0.75, 0.25]}.items():
    pq.write_table(pyarrow.table({"score": scores}), f"{name}.parquet")


def write(path, early, late):
    rows = [*[early] * 30_000, late]
    Path(path).write_text("\n".join(json.dumps(row) for row in rows))


write("float.jsonl", {"x": 1}, {"x": 0.75})
write("word.jsonl", {"x": True}, {"x": "yes"})
write("text.jsonl", {"x": 1}, {"x": "abc"})
write("key.jsonl", {"x": 1}, {"x": 1, "y": 2})


def last(call):
    try:
        return call()
    except (duckdb.Error, polars.exceptions.PolarsError, pyarrow.ArrowInvalid) as error:
        return type(error).__name__


def queried(source, column="x"):
    return last(lambda: [row[0] for row in duckdb.sql(f"SELECT {column} FROM {source}").fetchall()][-2:])


found = {
    "Parquet, duckdb": queried("'part-*.parquet'", "score"),
    "Parquet, duckdb, union_by_name": queried("read_parquet('part-*.parquet', union_by_name=true)", "score"),
    "Parquet, pyarrow": last(lambda: pq.read_table(["part-0.parquet", "part-1.parquet"])),
    "Parquet, polars": last(lambda: polars.read_parquet("part-*.parquet")),
    "JSON, a fraction": queried("'float.jsonl'"),
    "JSON, a fraction, sample_size=-1": queried("read_json('float.jsonl', sample_size=-1)"),
    "JSON, a fraction, polars": last(lambda: polars.read_ndjson("float.jsonl")),
    "JSON, yes among booleans": queried("'word.jsonl'"),
    "JSON, abc among numbers": queried("'text.jsonl'"),
    "JSON, a new key": queried("'key.jsonl'"),
}
print("duckdb", duckdb.__version__, "pyarrow", pyarrow.__version__, "polars", polars.__version__)
for name, value in found.items():
    print(f"{name}: {value}")
assert found["Parquet, duckdb"] == [1, 0]
assert found["Parquet, duckdb, union_by_name"] == [0.75, 0.25]
assert found["Parquet, pyarrow"] == "ArrowInvalid" and found["Parquet, polars"] == "SchemaError"
assert found["JSON, a fraction"] == [1, 1] and found["JSON, a fraction, sample_size=-1"] == [1, 0.75]
assert found["JSON, a fraction, polars"] == "ComputeError"
assert found["JSON, yes among booleans"] == [True, True]
assert found["JSON, abc among numbers"] == found["JSON, a new key"] == "InvalidInputException"
PYTHON
