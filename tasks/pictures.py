"""Pictures as files, and many of them on one sheet for a summary."""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LARGEST_FIGURE = 100_000  # bytes
CELL_SIDES = (96, 80, 72, 64, 56, 48, 40, 32, 24)


def jpeg_file(image: np.ndarray | Image.Image, quality: int) -> bytes:
    """An RGB image (uint8 [h, w, 3], or a picture) as a JPEG file without colour subsampling, its pixels alone."""
    picture, sink = image if isinstance(image, Image.Image) else Image.fromarray(image), io.BytesIO()
    picture.save(sink, "JPEG", quality=quality, subsampling=0, comment=b"")  # not the source's
    return sink.getvalue()


def contact_sheet(rows: list[list[bytes]]) -> bytes:
    """A PNG under 100 KB with one picture file a cell, as large as fits."""
    pictures = [[Image.open(io.BytesIO(content)).convert("RGB") for content in row] for row in rows]
    side = CELL_SIDES[0]
    while len(sheet := _sheet(pictures, side)) >= LARGEST_FIGURE and side > CELL_SIDES[-1]:
        fitting = side * (LARGEST_FIGURE / len(sheet)) ** 0.5  # a file grows as the number of its pixels
        side = max((one for one in CELL_SIDES if one <= min(fitting, side - 1)), default=CELL_SIDES[-1])
    return sheet


def labelled_sheet(pictures: list[tuple[bytes, str]], columns: int) -> bytes:
    """A PNG under 100 KB of picture files with a text of two lines above each, so many side by side."""
    font, side, text = ImageFont.load_default(10), 104, 28
    sheet = Image.new("RGB", (side * columns, (side + text) * -(-len(pictures) // columns)), "white")
    draw = ImageDraw.Draw(sheet)
    for place, (content, words) in enumerate(pictures):
        x, y = place % columns * side, place // columns * (side + text)
        with Image.open(io.BytesIO(content)) as picture:
            small = picture.convert("RGB")
        small.thumbnail((side - 8, side - 8))
        sheet.paste(small, (x + (side - small.width) // 2, y + text))
        draw.text((x + side / 2, y + 2), words, "black", font, anchor="ma", align="center", spacing=1)
    for colours in (96, 48, 24, 12):
        file = _png(sheet, colours)
        if len(file) < LARGEST_FIGURE:
            break
    return file


def _sheet(pictures: list[list[Image.Image]], side: int) -> bytes:
    sheet = Image.new("RGB", (side * max(map(len, pictures)), side * len(pictures)), "white")
    for row, line in enumerate(pictures):
        for column, picture in enumerate(line):
            small = picture.copy()
            small.thumbnail((side - 2, side - 2))
            sheet.paste(small, (column * side + (side - small.width) // 2, row * side + (side - small.height) // 2))
    return _png(sheet, 96)


def _png(sheet: Image.Image, colours: int) -> bytes:
    sink = io.BytesIO()
    sheet.quantize(colours, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(sink, "PNG")
    return sink.getvalue()
