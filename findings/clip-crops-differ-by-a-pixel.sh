#!/usr/bin/env bash
# transformers 5.24.0 and open_clip_torch 3.3.0: CLIP's two usual preprocessings crop the middle of a picture at places
# that differ by one pixel when the longer side exceeds 224 by 3, 7, 11, ... pixels.
#
# Guess before the run: the same 224 columns from both, whatever the width.
# Seen: CLIPImageProcessor rounds half of the rest down; torchvision, which open_clip uses, rounds it to the nearest
# even number. A quarter of all widths gets another column as its first, with every value of the tensor shifted.
# It matters where embeddings from one library are compared with those from the other, such as near-duplicate search or
# a published similarity: the difference looks like noise of the hardware, and only some pictures have it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile open_clip_torch==3.3.0 transformers==5.24.0 torch==2.13.0 \
    torchvision==0.28.0 pillow==13.0.0
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import importlib.util
from pathlib import Path

import numpy as np
import torch
import transformers
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
from transformers import CLIPImageProcessor  # noqa: E402

processor, preprocess = CLIPImageProcessor(do_normalize=False, do_rescale=False), image_transform(224, is_train=False)
mean, deviation = open_clip.OPENAI_DATASET_MEAN[0], open_clip.OPENAI_DATASET_STD[0]
print("transformers", transformers.__version__, "open_clip", open_clip.__version__)
found = {}
for width in range(224, 240):
    columns = np.tile(np.arange(width, dtype=np.uint8), (224, 1))
    picture = Image.fromarray(np.stack([columns] * 3, -1))  # every pixel holds the number of its column
    theirs = int(processor(picture, return_tensors="np").pixel_values[0, 0, 100, 0])
    ours = round(float(preprocess(picture)[0, 100, 0] * deviation + mean) * 255)
    found[width] = theirs, ours
    print(f"width {width}: the first column is {theirs} in transformers, {ours} in open_clip")
assert [width - 224 for width, (one, other) in found.items() if one != other] == [3, 7, 11, 15]
PYTHON
