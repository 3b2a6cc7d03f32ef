#!/usr/bin/env bash
# fastparquet 2026.9.0: pandas' to_parquet(engine="fastparquet") writes a column of lists as JSON text, and one of
# Decimals as floats. pyarrow then reads '["a","b"]' where the frame held ["a", "b"].
#
# Guess before the run: pyarrow reads the same lists from it as from a file that it wrote itself.
# Seen: as above; len() of the two tags is 9, and looking for "a" in it is a search in a text. fastparquet itself
# decodes the text again, so a test with one library sees nothing. 12345678901234567.89 becomes 12345678901234568. A
# column of NumPy arrays is an error.
# It matters for published datasets with several captions, tags or boxes for each image: which engine pandas takes
# depends on what is installed (pyarrow first), and the readers see text. Write with engine="pyarrow", and look at the
# schema of the file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile fastparquet==2026.9.0 pyarrow==26.0.1 pandas==2.3.3 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import importlib.metadata
import sys
from decimal import Decimal

import pandas as pd
import pyarrow.parquet as pq

LONG = Decimal("12345678901234567.89")
frame = pd.DataFrame({"tags": [["a", "b"], ["c"]], "amount": [Decimal("0.10"), LONG]})
print(*(f"{name} {importlib.metadata.version(name)}" for name in ("fastparquet", "pyarrow", "pandas")))
found = {}
for engine in ("pyarrow", "fastparquet"):
    path = f"{sys.argv[1]}/{engine}.parquet"
    frame.to_parquet(path, engine=engine)
    found[engine] = pq.read_table(path).to_pylist()
    print(f"written by {engine}, read by pyarrow: {found[engine]}")
own = pd.read_parquet(path, engine="fastparquet")["tags"].tolist()
print(f"written and read by fastparquet: {own}")
assert found["pyarrow"] == frame.to_dict("records")
assert [row["tags"] for row in found["fastparquet"]] == ['["a","b"]', '["c"]']
assert [row["amount"] for row in found["fastparquet"]] == [0.1, float(LONG)] and Decimal(float(LONG)) != LONG
assert own == [["a", "b"], ["c"]]
PYTHON
