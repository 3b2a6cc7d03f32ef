"""Portraits for the published files: read from the store in batches, made smaller where they are too large."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from PIL import Image

from salmu.data.errors import UserError
from salmu.data.store import StageView

BATCH = 200  # rows held in memory at a time, and rows of a Parquet row group


def with_images(rows: list[dict], portraits: StageView, longest_side: int | None, quality: int) -> Iterator[list[dict]]:
    """Batches of rows, each with the bytes of its file as `image` and the size that it has there.

    Raises UserError when a portrait is no longer in the store."""
    with ThreadPoolExecutor() as pool:  # Pillow works outside the interpreter's lock
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            names = [row["file_name"] for row in batch]
            images = {row["file_name"]: row["image"] for row in portraits.rows_of(names, columns=["image"])}
            missing = [name for name in names if name not in images]
            if missing:
                raise UserError(f"publish: portrait {missing[0]} is not in the store: run the stage assembly again")
            samples = [row | {"image": images[row["file_name"]]} for row in batch]
            yield list(pool.map(partial(fitted, longest_side=longest_side, quality=quality), samples))


def fitted(sample: dict, longest_side: int | None, quality: int) -> dict:
    """The sample as it is if its longest side is at most `longest_side` (or that is None), else with a smaller JPEG."""
    if longest_side is None or max(sample["width"], sample["height"]) <= longest_side:
        return sample
    with Image.open(io.BytesIO(sample["image"])) as picture:
        smaller = picture.convert("RGB")
        smaller.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    sink = io.BytesIO()
    smaller.save(sink, "JPEG", quality=quality)
    return sample | {"image": sink.getvalue(), "width": smaller.width, "height": smaller.height}
