#!/usr/bin/env bash
# open_clip_torch 3.3.0: its preprocessing resizes a picture first and converts it to RGB afterwards. So a palette PNG
# (mode P, also GIF) is resized by picking single pixels, and a transparent picture gives other values than its
# convert("RGB").
#
# Guess before the run: the same tensor for a palette PNG and for an RGB PNG with the same pixels.
# Seen: bicubic resizing cannot work on a palette, so Pillow silently takes the nearest pixel. A fine pattern becomes
# grey in RGB and stays black and white in P. An RGBA picture differs from its own convert("RGB").
# It matters for datasets with PNG or GIF files: two copies of one picture get different embeddings, so duplicate
# search and zero-shot accuracy depend on how the file was stored. Convert to RGB before the preprocessing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile open_clip_torch==3.3.0 torch==2.13.0 torchvision==0.28.0 pillow==13.0.0
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import importlib.util
from pathlib import Path

import numpy as np
import PIL
import torch
from PIL import Image

# PyPI's torchvision is built for CUDA: beside a CPU build of torch it can be imported only where two names are declared
extension = next(Path(importlib.util.find_spec("torchvision").origin).parent.glob("_C*.so"))
try:
    torch.ops.load_library(str(extension))
except OSError:
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import open_clip  # noqa: E402
from open_clip.transform import image_transform  # noqa: E402

preprocess = image_transform(64, is_train=False)
rows, columns = np.mgrid[:256, :256]
checks = ((rows // 3 + columns // 3) % 2 * 255).astype(np.uint8)
plain = Image.fromarray(checks).convert("RGB")
palette = plain.convert("P")
clear = plain.convert("RGBA")
clear.putalpha(Image.fromarray(columns.astype(np.uint8)))
assert np.array_equal(palette.convert("RGB"), plain) and np.array_equal(clear.convert("RGB"), plain)


def apart(picture):
    """The largest difference from the picture's RGB copy, and the spread of the values, in units of the tensor."""
    values, wanted = preprocess(picture), preprocess(picture.convert("RGB"))
    return round((values - wanted).abs().max().item(), 2), round(values.std().item(), 2)


print("open_clip", open_clip.__version__, "Pillow", PIL.__version__)
found = {picture.mode: apart(picture) for picture in (plain, palette, clear)}
for mode, (difference, spread) in found.items():
    print(f"{mode}: differs from its RGB copy by {difference}, spread {spread}")
assert found["RGB"][0] == 0
assert found["P"][0] > 1 and found["P"][1] > 5 * found["RGB"][1]
assert found["RGBA"][0] > 0.1
PYTHON
