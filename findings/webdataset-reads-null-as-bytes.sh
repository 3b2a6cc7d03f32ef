#!/usr/bin/env bash
# webdataset 1.0.2: a JSON file in a tar that holds null is decoded to the bytes b"null". false, 0, [] and a null inside
# an object are decoded as one expects.
#
# Guess before the run: None, as from json.loads; a field keeps the type that it was written with.
# Seen: a decoder that returns None counts as one that does not know the format, so the field stays as it was read. It
# does not matter how the tar was written; TarWriter writes None as null.
# It matters for fields that only some samples have, such as the identity of a person or a list of labels: b"null" is
# true in an if, is not None, and has a length of four, so the samples without a value pass every such test as samples
# with one. Leave the field out of the sample, or write {"value": null}.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile webdataset==1.0.2 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/samples.tar" <<'PYTHON'
import json
import sys

import webdataset

VALUES = None, False, 0, [], {"value": None}
with webdataset.TarWriter(sys.argv[1]) as tar:
    for number, value in enumerate(VALUES):
        tar.write({"__key__": str(number), "json": value})
print("webdataset", webdataset.__version__)
samples = [sample["json"] for sample in webdataset.WebDataset(sys.argv[1], shardshuffle=False).decode()]
for value, read in zip(VALUES, samples):
    print(f"{json.dumps(value)} is read as {read!r}, which is {bool(read)} in an if")
assert samples == [b"null", *VALUES[1:]]
PYTHON
