#!/usr/bin/env bash
# datasets 5.2.0, mosaicml-streaming 0.13.0 and litdata 0.2.76: a picture that was opened from a file and then changed
# in place is stored as the file that it was opened from. A face covered with ImageDraw is not covered in the dataset.
#
# Guess before the run: the picture that is given is the one that is stored.
# Seen: all three look at the picture's file name and store that file (datasets its path) without a look at the pixels.
# paste, putpixel, thumbnail and ImageDraw change a picture in place and keep the name; copy, crop, resize and filter
# give a new picture without it, which is stored right. datasets does so with every format, in from_dict and in map;
# the other two with JPEG files only (streaming for "jpeg", not for "png" or "pil"). In datasets a JPEG file that its
# EXIF tag turns is stored as changed, and so are pictures whose bytes the dataset holds.
# It matters for faces, names and number plates that are covered before a dataset is published: the code is right, the
# picture that it returns shows the cover, and the published file shows the face. Pictures made smaller with thumbnail
# keep their full size. Give picture.copy(), and look at the stored picture.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile datasets==5.2.0 pillow==13.0.0 pyarrow==26.0.1 pandas==3.1.1 \
    numpy==2.4.6
python3 -m venv "$folder/torch"
"$folder/torch/bin/pip" install -q --no-compile torch==2.13.0 torchvision==0.28.0 transformers==4.57.6 numpy==2.1.3 \
    pillow==13.0.0 xxhash==3.8.2 brotli==1.2.1 python-snappy==0.7.3 zstd==1.5.7.2 catalogue==2.0.10 boto3==1.44.8 \
    lightning-utilities==0.15.3 obstore==0.12.1 tifffile==2026.3.3
"$folder/torch/bin/pip" install -q --no-compile --no-deps mosaicml-streaming==0.13.0 litdata==0.2.76  # no cloud clients
mkdir "$folder/pictures" "$folder/home"
cd "$folder"
cat > changed.py <<'PYTHON'
from PIL import Image, ImageDraw

RED, BLACK = "red", "black"


def make():
    picture = Image.new("RGB", (64, 48), RED)
    picture.save("pictures/a.jpg")
    picture.save("pictures/b.png")
    exif = picture.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    picture.save("pictures/c.jpg", exif=exif)


def cover(picture):
    ImageDraw.Draw(picture).rectangle((0, 0, *picture.size), fill=BLACK)
    return picture


def shrink(picture):
    picture.thumbnail((16, 16))
    return picture


def color(picture):
    return RED if picture.convert("RGB").getpixel((5, 5))[0] > 128 else BLACK
PYTHON
HF_HOME="$folder/hub" HF_HUB_OFFLINE=1 PYTHONPATH="$folder" "$folder/venv/bin/python" - <<'PYTHON'
from pathlib import Path

import datasets
from changed import BLACK, RED, color, cover, make, shrink
from PIL import Image

make()
datasets.disable_progress_bars()
datasets.logging.set_verbosity_error()
as_picture = datasets.Features({"image": datasets.Image()})
data = datasets.load_dataset("imagefolder", data_dir="pictures", split="train", features=as_picture)
given = cover(Image.open("pictures/a.jpg"))
kept = datasets.Dataset.from_dict({"image": [given]}, features=as_picture)[0]["image"]
mapped = [color(row["image"]) for row in data.map(lambda row: {"image": cover(row["image"])})]
copied = [color(row["image"]) for row in data.map(lambda row: {"image": cover(row["image"].copy())})]
held = datasets.Dataset.from_dict({"image": [{"bytes": Path("pictures/a.jpg").read_bytes()}]}, features=as_picture)
held = color(held.map(lambda row: {"image": cover(row["image"])})[0]["image"])
smaller = [row["image"].size for row in data.map(lambda row: {"image": shrink(row["image"])})]
print("datasets", datasets.__version__)
print("from_dict: given", color(given), "stored", color(kept))
print("map, all black; a.jpg, b.png and the turned c.jpg are stored as", mapped)
print("map, all black, of a copy:", copied)
print("map, a.jpg as bytes: black, stored", held)
print("map, thumbnail to 16 pixels:", smaller)
assert (color(given), color(kept)) == (BLACK, RED)
assert mapped == [RED, RED, BLACK] and copied == [BLACK] * 3 and held == BLACK
assert smaller == [(64, 48), (64, 48), (12, 16)]
PYTHON
cat > written.py <<'PYTHON'
import importlib.metadata
import importlib.util
from pathlib import Path

import torch

# PyPI's torchvision is built for CUDA: beside a CPU build of torch it can be imported only where two names are declared
extension = next(Path(importlib.util.find_spec("torchvision").origin).parent.glob("_C*.so"))
try:
    torch.ops.load_library(str(extension))
except OSError:
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from changed import BLACK, RED, color, cover  # noqa: E402
from litdata import optimize  # noqa: E402
from PIL import Image  # noqa: E402
from streaming import MDSWriter, StreamingDataset  # noqa: E402


def covered(name):
    return {"image": cover(Image.open(name))}


def by_streaming(name, encoding):
    folder = f"{Path(name).stem}-{encoding}"
    with MDSWriter(out=folder, columns={"image": encoding}) as writer:
        writer.write(covered(name))
    return color(StreamingDataset(local=folder, batch_size=1)[0]["image"])


def file_in_litdata(name):
    """Whether the chunk holds the file as it was, byte by byte."""
    folder = Path(f"lit-{Path(name).stem}")
    optimize(fn=covered, inputs=[name], output_dir=str(folder), chunk_bytes="1MB", num_workers=1)
    return any(Path(name).read_bytes() in chunk.read_bytes() for chunk in folder.glob("*.bin"))


if __name__ == "__main__":
    folder = Path("pictures").resolve()
    jpeg, png = str(folder / "a.jpg"), str(folder / "b.png")
    streamed = [by_streaming(*pair) for pair in ((jpeg, "jpeg"), (jpeg, "png"), (jpeg, "pil"), (png, "jpeg"))]
    copied = [file_in_litdata(name) for name in (jpeg, png)]
    print("mosaicml-streaming", importlib.metadata.version("mosaicml-streaming"))
    print('all black; a.jpg as "jpeg", "png" and "pil", and b.png as "jpeg", are stored as', streamed)
    print("litdata", importlib.metadata.version("litdata"))
    print("all black; the red file is in the chunk: of a.jpg", copied[0], "- of b.png", copied[1])
    assert streamed == [RED, BLACK, BLACK, BLACK]
    assert copied == [True, False]
PYTHON
export HOME="$folder/home" TMPDIR="$folder/home" HF_HUB_OFFLINE=1
"$folder/torch/bin/python" -W ignore written.py > written.txt 2> log.txt || { cat log.txt; exit 1; }
grep -A1 -E "^(mosaicml-streaming|litdata) " written.txt
