#!/usr/bin/env bash
# pillow_heif 1.8.1: a picture saved with quality=-1, "lossless", comes back with other pixels, and with chroma=444,
# which the documentation asks for in addition, a third of its values is still off by one.
#
# Guess before the run: quality=-1 gives back every pixel, as lossless=True does for WebP and JPEG XL.
# Seen: the plane of colours is halved by default (off by over 200 where neighbouring pixels differ). With chroma=444
# what remains is the way from RGB to YCbCr and back, in whole numbers. Only with matrix_coefficients=0 beside it are
# all pixels equal.
# It matters where a dataset is stored as HEIF to save space and is published with digests or embeddings of its pixels:
# they can never be reproduced from the files. Grey pictures are exact. Compare the pixels once after writing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile pillow-heif==1.8.1 pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io

import numpy as np
import PIL
import pillow_heif
from PIL import Image

pillow_heif.register_heif_opener()
slope = Image.linear_gradient("L").resize((96, 96))
PICTURES = {
    "slopes": Image.merge("RGB", [slope, slope.rotate(90), slope.rotate(180)]),
    "noise": Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)),
    "grey": slope,
}
LOSSLESS, FULL = {"quality": -1}, {"quality": -1, "chroma": 444}
EXACT = FULL | {"matrix_coefficients": 0}


def error(picture, **options):
    """The largest difference after writing and reading, and the share of values that differ."""
    file = io.BytesIO()
    picture.save(file, "WEBP" if "lossless" in options else "HEIF", **options)
    difference = np.abs(np.asarray(Image.open(file).convert(picture.mode), int) - np.asarray(picture, int))
    return int(difference.max()), float((difference > 0).mean())


print("pillow_heif", pillow_heif.__version__, "Pillow", PIL.__version__)
found = {}
for name, picture in PICTURES.items():
    for options in (LOSSLESS, FULL, EXACT, {"lossless": True}):
        found[name, len(options) if "quality" in options else 0] = most, share = error(picture, **options)
        print(f"{name}, {options}: off by {most} at most, {share:.0%} of the values")
assert found["slopes", 1][0] > 1 and found["noise", 1][0] > 100
for name in ("slopes", "noise"):
    assert found[name, 2][0] == 1 and found[name, 2][1] > 0.2 and found[name, 3][0] == found[name, 0][0] == 0
assert found["grey", 1][0] == 0
PYTHON
