"""Pictures as files, and many of them on one sheet for a summary."""

import io

import numpy as np
from PIL import Image

LARGEST_FIGURE = 100_000  # bytes
CELL_SIDES = (96, 80, 72, 64, 56, 48, 40, 32, 24)


def jpeg_file(image: np.ndarray, quality: int) -> bytes:
    """An RGB image (uint8 [h, w, 3]) as a JPEG file without colour subsampling."""
    sink = io.BytesIO()
    Image.fromarray(image).save(sink, "JPEG", quality=quality, subsampling=0)
    return sink.getvalue()


def contact_sheet(rows: list[list[bytes]]) -> bytes:
    """A PNG under 100 KB with one picture file a cell, as large as fits."""
    pictures = [[Image.open(io.BytesIO(content)).convert("RGB") for content in row] for row in rows]
    for side in CELL_SIDES:
        sheet = _sheet(pictures, side)
        if len(sheet) < LARGEST_FIGURE:
            break
    return sheet


def _sheet(pictures: list[list[Image.Image]], side: int) -> bytes:
    sheet = Image.new("RGB", (side * max(map(len, pictures)), side * len(pictures)), "white")
    for row, line in enumerate(pictures):
        for column, picture in enumerate(line):
            small = picture.copy()
            small.thumbnail((side - 2, side - 2))
            sheet.paste(small, (column * side + (side - small.width) // 2, row * side + (side - small.height) // 2))
    sink = io.BytesIO()
    sheet.quantize(96, dither=Image.Dither.NONE).save(sink, "PNG", optimize=True)
    return sink.getvalue()
