#!/usr/bin/env bash
# datasets 5.2.0: load_dataset("imagefolder") leaves out every image that metadata.jsonl does not list, without a
# warning.
#
# Guess before the run: such an image gets None in the columns of the metadata. (Earlier versions raised an error.)
# Seen: the rows are those of the metadata file. Three images and one line of metadata give one row; a file that is
# listed twice gives two. A line whose image is missing is still an error. Without metadata there are three rows.
# It matters when a metadata file covers only part of a folder, or when a captioning step skipped some images: the
# dataset shrinks and nothing reports it. Compare the number of rows with the number of images, or list every image.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile datasets==5.2.0 pillow==13.0.0
cd "$folder"
HF_HOME="$folder/hub" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import json
from pathlib import Path

import datasets
from PIL import Image

datasets.disable_progress_bars()


def texts(name, lines):
    """The texts of a folder of three images whose metadata names those of `lines`."""
    folder = Path(name)
    folder.mkdir()
    for image in ("a.png", "b.png", "c.png"):
        Image.new("RGB", (8, 8)).save(folder / image)
    if lines:
        rows = [json.dumps({"file_name": image, "text": text}) for image, text in lines]
        (folder / "metadata.jsonl").write_text("\n".join(rows))
    whole, streamed = (
        datasets.load_dataset("imagefolder", data_dir=name, split="train", streaming=streaming)
        for streaming in (False, True)
    )
    assert [row.get("text") for row in whole] == [row.get("text") for row in streamed]
    return [row.get("text") for row in streamed]


def missing():
    try:
        return texts("missing", [("a.png", "A"), ("d.png", "D")])
    except FileNotFoundError as error:
        return type(error).__name__


print("datasets", datasets.__version__)
none, one = texts("none", []), texts("one", [("a.png", "A")])
twice, absent = texts("twice", [("a.png", "A"), ("a.png", "B")]), missing()
print("three images, no metadata:", none)
print("three images, one line of metadata:", one)
print("three images, one of them listed twice:", twice)
print("a line without its image:", absent)
assert len(none) == 3
assert one == ["A"]
assert twice == ["A", "B"]
assert absent == "FileNotFoundError"
PYTHON
