#!/usr/bin/env bash
# datasets 5.2.0: Dataset.to_csv writes a list of more than 1,000 numbers as its first and last three, with "..."
# between. Dataset.to_json rounds every number to ten decimals, so 1e-12 becomes 0.0, and writes a date as
# milliseconds.
#
# Guess before the run: an export writes what the dataset holds; a list as [1, 2], a date as 2001-02-03.
# Seen: lists reach the CSV file as NumPy prints them: without commas, with eight digits, and cut in the middle. An
# embedding of 768 numbers is rounded, one of 1,024 is lost. JSON Lines are written with pandas' defaults, so infinity
# becomes null as well. There is no warning in either case.
# It matters for exported embeddings, p-values and likelihoods, and for dates of birth, which are read back as
# numbers. Use to_parquet, or write the rows with the json module. to_json(double_precision=15, date_format="iso") is
# nearly exact.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile datasets==5.2.0 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
cd "$folder"
HF_HOME="$folder/hub" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import csv
import datetime
import json
from pathlib import Path

import datasets
import pandas

datasets.disable_progress_bars()
embedding = [number / 3 for number in range(1024)]
short = datasets.Dataset.from_dict({"x": [[1, 2]]})
long = datasets.Dataset.from_dict({"x": [embedding]})
numbers = datasets.Dataset.from_dict({"x": [1 / 3, 1e-12, float("inf")]})
born = datasets.Dataset.from_dict({"x": [datetime.date(2001, 2, 3)]})


def in_csv(data):
    data.to_csv("x.csv")
    return next(csv.DictReader(Path("x.csv").open()))["x"]


def in_json(data, **options):
    data.to_json("x.jsonl", **options)
    return [json.loads(line)["x"] for line in Path("x.jsonl").read_text().splitlines()]


print("datasets", datasets.__version__, "pandas", pandas.__version__)
cell = in_csv(long)
print("to_csv, 2 numbers:", in_csv(short))
print("to_csv, 1,024 numbers:", cell.split())
print("to_json of 1/3, 1e-12 and infinity:", in_json(numbers))
print("to_json of 3 February 2001:", in_json(born))
assert in_csv(short) == "[1 2]"
assert "..." in cell and len(cell.split()) < 10
assert in_json(numbers) == [0.3333333333, 0.0, None]
assert in_json(born) == [981158400000]
assert in_json(numbers, double_precision=15)[1] == 1e-12
assert in_json(born, date_format="iso")[0].startswith("2001-02-03")
long.to_parquet("x.parquet")
assert pandas.read_parquet("x.parquet")["x"][0].tolist() == embedding
PYTHON
