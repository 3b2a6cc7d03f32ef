#!/usr/bin/env bash
# pyiceberg 0.12.0: delete(filter) removes other rows than scan(filter) finds. Rows with null that the filter does not
# match are deleted when no row of their file fails it, and rows with NaN or null that it matches stay.
#
# Guess before the run: the same rows; "x != 'a'" matches no null in either, as in SQL.
# Seen: a scan for "x != 'a'" finds b and c. The delete also takes the nulls of every file that has no a, and keeps the
# one beside an a: how the rows came into files decides. "not x <= 0.5" finds 0.9 and NaN, and the delete keeps NaN.
# "x not in ('a', 'b')" finds null, and the delete keeps it. overwrite(overwrite_filter=...) deletes in the same way.
# It matters for erasure and for cleaning a table of scores: rows without a value are lost though a scan before the
# delete did not show them, and rows that it showed are still there afterwards. Say what is meant for null and NaN ("x
# != 'a' and x is not null", "... or x is nan"), and compare the table with what the scan promised.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile "pyiceberg[sql-sqlite]==0.12.0" pyarrow==26.0.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import math
import os
import uuid

import pyarrow
import pyiceberg
from pyiceberg.catalog.sql import SqlCatalog

here = os.getcwd()
catalog = SqlCatalog("local", uri=f"sqlite:///{here}/catalog.db", warehouse=f"file://{here}/tables")
catalog.create_namespace("trial")


def ids(table, **options):
    return set(table.scan(**options).to_arrow()["id"].to_pylist())


def found_and_deleted(kind, asked, *files):
    """The values of the rows that a scan finds and that a delete removes; each file holds one list of values."""
    values = [value for file in files for value in file]
    schema = pyarrow.schema({"id": pyarrow.int64(), "x": kind})
    table = catalog.create_table(f"trial.{uuid.uuid4().hex}", schema=schema)
    start = 0
    for file in files:
        table.append(pyarrow.table({"id": list(range(start, start + len(file))), "x": file}, schema=schema))
        start += len(file)
    found = ids(table, row_filter=asked)
    before = ids(table)
    table.delete(asked)
    return tuple(sorted(str(values[row]) for row in rows) for rows in (found, before - ids(table)))


text, number = pyarrow.string(), pyarrow.float64()
NOT_A, OTHERS, HIGH = "x != 'a'", "x not in ('a', 'b')", "not x <= 0.5"
TRIALS = {
    "null beside a": (text, NOT_A, ["a", "b", None], ["c"]),
    "null beside c": (text, NOT_A, ["a", "b"], ["c", None]),
    "null in a file of its own": (text, NOT_A, ["a", "b"], ["c"], [None, None]),
    "null said": (text, NOT_A + " and x is not null", ["a", "b"], ["c", None], [None, None]),
    "not in": (text, OTHERS, ["a", "b", "c", None]),
    "NaN": (number, HIGH, [0.1, 0.9, math.nan]),
    "NaN said": (number, HIGH + " or x is nan", [0.1, 0.9, math.nan]),
}
seen = {name: found_and_deleted(*trial) for name, trial in TRIALS.items()}
print("pyiceberg", pyiceberg.__version__, "pyarrow", pyarrow.__version__)
for name, (found, deleted) in seen.items():
    print(f"{name}: {TRIALS[name][1]}: the scan finds {found}, the delete removes {deleted}")
assert seen["null beside a"] == (["b", "c"], ["b", "c"])
assert seen["null beside c"] == (["b", "c"], ["None", "b", "c"])
assert seen["null in a file of its own"] == (["b", "c"], ["None", "None", "b", "c"])
assert seen["null said"] == (["b", "c"], ["b", "c"])
assert seen["not in"] == (["None", "c"], ["c"])
assert seen["NaN"] == (["0.9", "nan"], ["0.9"])
assert seen["NaN said"] == (["0.9", "nan"], ["0.9", "nan"])
PYTHON
