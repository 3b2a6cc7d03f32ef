#!/usr/bin/env bash
# ImageHash 4.3.2: the difference of two crop-resistant hashes depends on which picture comes first. A picture less its
# crop is 1.1, the crop less the picture 3.1.
#
# Guess before the run: a - b is b - a, as for all other hashes of the package.
# Seen: each segment of the first picture is compared with all of the second, and the count is taken from the number of
# segments of the first. Between a picture and its left half it is the other way round: 2.0 and 1.0.
# It matters for a search for near-duplicates with a threshold on the difference: with 2 as the threshold, whether these
# two pairs are found depends on the order of the files. Compare in both directions and take the smaller one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile ImageHash==4.3.2 pillow==13.0.0 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import imagehash
import numpy as np
from PIL import Image, ImageDraw

draw = np.random.default_rng(0)
picture = Image.new("RGB", (300, 220), "white")
for _ in range(7):
    x, y = (int(value) for value in draw.integers(0, (240, 170)))
    colour = tuple(int(value) for value in draw.integers(0, 120, 3))
    ImageDraw.Draw(picture).ellipse([x, y, x + 60, y + 50], fill=colour)
print("ImageHash", imagehash.__version__)
whole, found = imagehash.crop_resistant_hash(picture), {}
for name, box in (("middle", (40, 30, 260, 200)), ("left half", (0, 0, 150, 220))):
    part = imagehash.crop_resistant_hash(picture.crop(box))
    found[name] = whole - part, part - whole
    sizes = len(whole.segment_hashes), len(part.segment_hashes)
    print(f"whole - {name}: {found[name][0]:.2f}, {name} - whole: {found[name][1]:.2f}; segments: {sizes}")
    for plain in (imagehash.phash, imagehash.dhash, imagehash.average_hash):
        assert plain(picture) - plain(picture.crop(box)) == plain(picture.crop(box)) - plain(picture)
assert found["middle"][0] < 2 < found["middle"][1] and found["left half"][1] < 2 < found["left half"][0]
PYTHON
