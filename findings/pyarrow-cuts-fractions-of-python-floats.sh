#!/usr/bin/env bash
# pyarrow 26.0.1: pa.array([0.75], pa.int64()) is [0], without an error, although safe=True promises to "check for
# overflows or other unsafe conversions". Table.from_pylist and pa.table with a schema do the same.
#
# Guess before the run: ArrowInvalid, as for the same value in a NumPy array or by cast().
# Seen: a Python float, Decimal or Fraction loses its fraction on the way to any integer, date or timestamp type, in
# lists and structs too. -0.5 becomes 0 in an unsigned column. Only a value that is out of range, -1.5 or 300 for
# uint8, or NaN is refused.
# It matters if you write rows of dictionaries with a schema: a score in a column that was declared as integer becomes
# 0 or 1 in the file, and reading the file back does not reveal it. Build the table without the schema and cast() it,
# or go through NumPy.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile pyarrow==26.0.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa

schema = pa.schema({"x": pa.int64()})
CALLS = {
    "array, float": lambda: pa.array([0.75], pa.int64()),
    "array, Decimal": lambda: pa.array([Decimal("0.75")], pa.int64()),
    "array, Fraction": lambda: pa.array([Fraction(3, 4)], pa.int64()),
    "array, -0.5 as uint8": lambda: pa.array([-0.5], pa.uint8()),
    "array, list": lambda: pa.array([[0.75]], pa.list_(pa.int64())).flatten(),
    "table": lambda: pa.table({"x": [0.75]}, schema)["x"],
    "Table.from_pylist": lambda: pa.Table.from_pylist([{"x": 0.75}], schema)["x"],
    "array, -1.5 as uint8": lambda: pa.array([-1.5], pa.uint8()),
    "array, NumPy": lambda: pa.array(np.array([0.75]), pa.int64()),
    "cast": lambda: pa.array([0.75]).cast(pa.int64()),
    "from_pylist, then cast": lambda: pa.Table.from_pylist([{"x": 0.75}]).cast(schema),
}


def result(call):
    try:
        return call().to_pylist()
    except pa.ArrowInvalid:
        return "ArrowInvalid"


found = {name: result(call) for name, call in CALLS.items()}
print("pyarrow", pa.__version__)
for name, value in found.items():
    print(f"{name}: {value}")
values = list(found.values())
assert values[:7] == [[0]] * 7
assert values[7:] == ["ArrowInvalid"] * 4
PYTHON
