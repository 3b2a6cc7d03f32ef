#!/usr/bin/env bash
# kornia 0.9.0: kornia.geometry.transform.center_crop averages neighbouring pixels when an even crop is taken from an
# odd side, or the other way round. kornia.augmentation.CenterCrop, of the same package, takes whole pixels.
#
# Guess before the run: whole pixels, and the same ones from both functions.
# Seen: of the columns 0 to 6, a crop of 4 gives 1.5 to 4.5 from the first and 1 to 4 from the second. A crop of 3 is
# the same from both. (torchvision takes 2 to 5.)
# It matters for preprocessing that is moved to the GPU: pictures whose short side has the other parity reach the model
# slightly blurred and shifted, and their embeddings are no longer those of the published preprocessing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile kornia==0.9.0 torch==2.13.0
"$folder/venv/bin/python" - <<'PYTHON'
import kornia
import torch

columns = torch.arange(7.0).repeat(1, 1, 7, 1)
print("kornia", kornia.__version__)
for size, wanted in ((3, (2.0, 2.0)), (4, (1.5, 1.0))):
    crops = kornia.geometry.transform.center_crop(columns, (size, size)), kornia.augmentation.CenterCrop(size)(columns)
    for name, crop, first in zip(("geometry.transform.center_crop", "augmentation.CenterCrop"), crops, wanted):
        print(f"{name}, {size} of the columns 0 to 6: {[round(value, 3) for value in crop[0, 0, 0].tolist()]}")
        assert torch.allclose(crop[0, 0], first + torch.arange(float(size)), atol=1e-4)
PYTHON
