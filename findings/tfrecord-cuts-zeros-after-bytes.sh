#!/usr/bin/env bash
# tfrecord 1.14.6: where a feature holds two values of bytes or more, each comes back without the zero bytes at its end.
# Two masks of 16 bytes come back as 6 and 11 bytes. One mask alone comes back whole.
#
# Guess before the run: the bytes that were written, as for a feature with one value.
# Seen: several values are put into a NumPy array of type S, which cannot end in zeros. The file itself is right: the
# bytes are in it. Reading with a description ("byte") or by TFRecordDataset is the same. Values that do not end in
# zeros, such as texts and JPEG files, come back right, so a test with captions does not show it.
# It matters for several masks, embeddings or arrays of one picture that are stored as raw bytes: a background of zeros
# at the lower edge, or an embedding whose last number is 0, is cut off. A shape that is fixed then fails, and a shape
# that is inferred from the length is another one: here three numbers become two. Store one value for each feature, or
# numpy.save's format, and compare the lengths.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile tfrecord==1.14.6 numpy==2.4.6 protobuf==7.36.2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
from pathlib import Path

import numpy as np
from tfrecord import TFRecordWriter, tfrecord_loader

first, second = np.zeros((2, 4, 4), np.uint8)
first[1, 1] = second[2, 2] = 1
masks = [first.tobytes(), second.tobytes()]
embeddings = [np.array(numbers, np.float32).tobytes() for numbers in ([0.6, 0.8, 0], [0, 0.6, 0.8])]


def read_back(values, description=None):
    writer = TFRecordWriter("x.tfrecord")
    writer.write({"x": (values, "byte")})
    writer.close()
    assert all(value in Path("x.tfrecord").read_bytes() for value in values)
    (row,) = tfrecord_loader("x.tfrecord", None, description)
    return [row["x"]] if isinstance(row["x"], bytes) else list(row["x"])


print("tfrecord", importlib.metadata.version("tfrecord"))
print("one mask of 16 bytes:   ", [len(value) for value in read_back(masks[:1])], "bytes come back")
print("two masks of 16 bytes:  ", [len(value) for value in read_back(masks)], "bytes come back")
numbers = [np.frombuffer(value, np.float32).tolist() for value in read_back(embeddings)]
print("two embeddings of three numbers:", [[round(number, 3) for number in row] for row in numbers])
print("two texts:              ", read_back([b"a cat", b"a small dog"]))
assert read_back(masks[:1]) == masks[:1]
for description in None, {"x": "byte"}:
    assert read_back(masks, description) == [mask.rstrip(b"\0") for mask in masks]
    assert [len(value) for value in read_back(masks, description)] == [6, 11]
assert [len(row) for row in numbers] == [2, 3]
assert read_back([b"a cat", b"a small dog"]) == [b"a cat", b"a small dog"]
PYTHON
