#!/usr/bin/env bash
# datasets 5.2.0: load_dataset("json") decodes text a second time in a column that holds a number in some row: "007"
# becomes 7, "null" becomes None, "true" True and "[1]" a list. Without the number, all of them stay text.
#
# Guess before the run: an error, as from Dataset.from_list, or each value with the type that it has in the file.
# Seen: a column of mixed types becomes the feature Json, and every text in it that can be read as JSON is. "text"
# stays. The same happens to fields of nested objects. A whole number over 2**63 makes its column float64, without a
# warning, so the long numbers of all rows lose their last digits.
# It matters for a column of values of several kinds, such as ages beside phone numbers, codes and names: leading
# zeros are lost, and a person named Null has no name, as soon as one row anywhere holds a bare number. Write every
# value of such a column as text, or publish Parquet.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile datasets==5.2.0 pyarrow==26.0.1 pandas==3.1.1
cd "$folder"
HF_HOME="$folder/hub" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import json
from pathlib import Path

import datasets

datasets.disable_progress_bars()
TEXTS = ["007", "null", "true", "1e5", "[1]", "text"]


def loaded(name, values):
    path = Path(f"{name}.jsonl")
    path.write_text("\n".join(json.dumps({"x": value}) for value in values))
    whole, streamed = (
        [row["x"] for row in datasets.load_dataset("json", data_files=str(path), split="train", streaming=streaming)]
        for streaming in (False, True)
    )
    assert whole == streamed
    return whole


plain, mixed = loaded("plain", TEXTS), loaded("mixed", [*TEXTS, 5])
nested = loaded("nested", [{"value": value} for value in [*TEXTS, 5]])
long = loaded("long", [12345678901234567890, 9007199254740993])
print("datasets", datasets.__version__)
print("written:", TEXTS)
print("loaded:", plain)
print("loaded with a row 5:", mixed)
print("loaded with a row 5, nested:", [row["value"] for row in nested])
print("written: [12345678901234567890, 9007199254740993], loaded:", long)
assert plain == TEXTS
assert mixed == [7, None, True, 1e5, [1], "text", 5]
assert [row["value"] for row in nested] == mixed
assert all(isinstance(number, float) for number in long) and int(long[1]) == 9007199254740992
PYTHON
