#!/usr/bin/env bash
# pyarrow 26.0.1 and duckdb 2.0.1: a filter that asks for NaN finds nothing in a Parquet file, although the row is
# there. The same filter finds it in the same table in memory.
#
# Guess before the run: a filter gives the same rows on a file as in memory; statistics only make it faster.
# Seen: min and max leave NaN out. A row group with the values 1, NaN, 1 has min = max = 1, and both readers skip it
# as "all rows are 1": is_nan(), x != 1 and NOT x <= 1 find nothing. With the values 0, NaN, 1, pyarrow finds NaN by
# is_nan() and still loses it for the negated comparison; duckdb loses it for isnan().
# It matters where NaN marks a score that failed: a check that no row is NaN passes, and a filter for "everything but
# ..." silently drops rows. Read the column whole and filter in memory, store null instead of NaN, or write the column
# with write_statistics=False.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pyarrow==26.0.1 duckdb==2.0.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import math

import duckdb
import pyarrow
import pyarrow.compute as pc
import pyarrow.parquet as pq

x = pc.field("x")
FILTERS = {"is_nan": x.is_nan(), "!= 1": x != 1.0, "not <= 1": ~(x <= 1.0)}
QUERIES = {"isnan": "isnan(x)", "<> 1": "x <> 1", "not <= 1": "NOT x <= 1"}


def has_nan(values):
    return any(math.isnan(value) for value in values)


def found(values, **options):
    """For each filter: whether NaN is among the rows that it keeps of the table, and of the file."""
    scores = pyarrow.table({"x": values})
    pq.write_table(scores, "x.parquet", **options)
    rows = {}
    for name, keep in FILTERS.items():
        file = pq.read_table("x.parquet", filters=keep)
        rows["pyarrow", name] = has_nan(scores.filter(keep)["x"].to_pylist()), has_nan(file["x"].to_pylist())
    for name, keep in QUERIES.items():
        duckdb.register("scores", scores)
        rows["duckdb", name] = tuple(
            has_nan(row[0] for row in duckdb.sql(f"SELECT x FROM {source} WHERE {keep}").fetchall())
            for source in ("scores", "'x.parquet'")
        )
    return rows


print("pyarrow", pyarrow.__version__, "duckdb", duckdb.__version__)
alike, varied = found([1.0, math.nan, 1.0]), found([0.0, math.nan, 1.0])
without = found([1.0, math.nan, 1.0], write_statistics=False)
for name, rows in {"1, NaN, 1": alike, "0, NaN, 1": varied, "no statistics": without}.items():
    for (library, keep), (memory, file) in rows.items():
        print(f"{name}: {library} {keep}: NaN found in memory: {memory}, in the file: {file}")
assert all(memory for rows in (alike, varied, without) for memory, _ in rows.values())
assert not any(file for _, file in alike.values())
assert {key for key, (_, file) in varied.items() if not file} == {
    ("pyarrow", "not <= 1"),
    ("duckdb", "isnan"),
    ("duckdb", "not <= 1"),
}
assert all(file for _, file in without.values())
PYTHON
