#!/usr/bin/env bash
# datasets 5.2.0: load_dataset("webdataset") takes the columns and their types from the first five samples of the
# first tar. Later samples are made to fit without a warning: 0.75 becomes 0, and new fields and new JSON keys are
# dropped.
#
# Guess before the run: an error, or a wider type, as for a JSON Lines file in which a later number has a fraction.
# Seen: no error and no warning, also when streaming. The first five of ten samples hold {"score": 1}, a later one
# {"score": 0.75, "note": "x"} and a caption in a second text file.
# It matters for shards whose first scores happen to be whole numbers, and for captions that only some samples have:
# the loaded data differ from the tar, while the number of rows is right. Pass features=Features(...), or write 1.0
# and every field in every sample.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q datasets==5.2.0 pyarrow==26.0.1
cd "$folder"
HF_HOME="$folder/hub" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import io
import json
import tarfile

import datasets

datasets.disable_progress_bars()


def fields(number):
    if number != 7:
        return {"json": {"score": 1}, "txt": "a portrait"}
    return {"json": {"score": 0.75, "note": "x"}, "txt": "a portrait", "second.txt": "seen from the left"}


with tarfile.open("shard.tar", "w") as shard:
    for number in range(10):
        for extension, value in fields(number).items():
            content = (value if isinstance(value, str) else json.dumps(value)).encode()
            member = tarfile.TarInfo(f"{number:04}.{extension}")
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
with open("rows.jsonl", "w") as file:
    file.writelines(json.dumps({"score": fields(number)["json"]["score"]}) + "\n" for number in range(10))


def loaded(kind, path, **options):
    return list(datasets.load_dataset(kind, data_files=path, split="train", **options))


features = datasets.Features({"__key__": datasets.Value("string"), "json": {"score": datasets.Value("float64")}})
print("datasets", datasets.__version__, "written:", fields(7))
whole = loaded("webdataset", "shard.tar")
streamed = loaded("webdataset", "shard.tar", streaming=True)
typed = loaded("webdataset", "shard.tar", features=features)
print("webdataset:", whole[7])
print("webdataset, streaming:", streamed[7])
print("webdataset, features given:", typed[7])
print("JSON Lines:", loaded("json", "rows.jsonl")[7])
assert len(whole) == len(streamed) == 10
for rows in (whole, streamed):
    assert rows[7]["json"] == {"score": 0} and "second.txt" not in rows[7]
assert typed[7]["json"]["score"] == loaded("json", "rows.jsonl")[7]["score"] == 0.75
PYTHON
