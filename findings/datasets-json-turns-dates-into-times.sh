#!/usr/bin/env bash
# datasets 5.2.0: load_dataset("json") turns text such as "2001-02-03" into datetimes, if the column holds nothing
# else. If an earlier file holds another text, the same value comes back as "2001-02-03 00:00:00"; if a later one
# does, loading fails.
#
# Guess before the run: a JSON string stays a string; JSON has no dates. (From CSV the same column stays text.)
# Seen: as above. Declaring the column as a string does not help: the text is parsed first and then written anew. With
# field="rows" for a JSON document the dates stay text.
# It matters for dates of birth and of issue: captions filled from such a column read "born on 2001-02-03 00:00:00",
# comparisons with the published text fail, and what a value becomes depends on other rows. Publish such columns as
# Parquet, or compare a few loaded values with the file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile datasets==5.2.0 pyarrow==26.0.1 pandas==3.1.1
cd "$folder"
HF_HOME="$folder/hub" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import datetime
import json
from pathlib import Path

import datasets

datasets.disable_progress_bars()
DATE = "2001-02-03"
Path("dates.jsonl").write_text(json.dumps({"born": DATE}) + "\n")
Path("words.jsonl").write_text(json.dumps({"born": "unknown"}) + "\n")
Path("whole.json").write_text(json.dumps({"rows": [{"born": DATE}]}))
Path("dates.csv").write_text(f"born\n{DATE}\n")


def born(kind, *files, **options):
    def load(streaming):
        rows = datasets.load_dataset(kind, data_files=files, split="train", streaming=streaming, **options)
        return [row["born"] for row in rows]

    try:
        loaded = load(streaming=False)
    except datasets.exceptions.DatasetGenerationError as error:
        return type(error).__name__
    assert loaded == load(streaming=True)
    return loaded


text = datasets.Features({"born": datasets.Value("string")})
found = {
    "one file": born("json", "dates.jsonl"),
    "declared as string": born("json", "dates.jsonl", features=text),
    "another text in an earlier file": born("json", "words.jsonl", "dates.jsonl"),
    "another text in a later file": born("json", "dates.jsonl", "words.jsonl"),
    "field of a document": born("json", "whole.json", field="rows"),
    "CSV": born("csv", "dates.csv"),
}
print("datasets", datasets.__version__, "written:", DATE)
for name, values in found.items():
    print(f"{name}: {values}")
assert found["one file"] == [datetime.datetime(2001, 2, 3)]
assert found["declared as string"] == [f"{DATE} 00:00:00"]
assert found["another text in an earlier file"] == ["unknown", f"{DATE} 00:00:00"]
assert found["another text in a later file"] == "DatasetGenerationError"
assert found["field of a document"] == found["CSV"] == [DATE]
PYTHON
