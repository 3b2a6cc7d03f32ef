"""A few pairs of a run to look at: pictures with their captions, one of each attribute and some generic ones."""

import base64
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from salmu.data.keyed import digest
from salmu.data.schemas import DATA_FIELDS
from salmu.data.store import Store

SIDE = 192  # pixels of the longer side
GENERIC = 4  # captions without personal data that are shown


def sample_pairs(folder: Path) -> list[dict[str, Any]]:
    """Pairs of the stage assembly, with a small picture as data URI in `image`; empty before that stage."""
    store = Store(folder)
    rows = store.view("assembly", "file_name").rows(["file_name", "text", "data_field", "value", "kind", "split"])
    chosen = _chosen(rows, "file_name")
    found = store.view("portraits", "file_name").rows_of([row["file_name"] for row in chosen], ["image"])
    images = {row["file_name"]: thumbnail(row["image"]) for row in found}
    return [row | {"image": images[row["file_name"]]} for row in chosen]


def sample_captions(folder: Path) -> list[dict[str, Any]]:
    """Captions of the stage captions, for a run that has no pairs yet."""
    rows = Store(folder).view("captions", "caption_id").rows(["caption_id", "data_field", "value", "style", "text"])
    return _chosen(rows, "caption_id")


def _chosen(rows: Iterable[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """One row of each attribute and GENERIC without one: those with the smallest digests of their keys. Of the rows no
    more than these are held in memory."""
    drawn: dict[str, list[tuple[str, Any, dict]]] = {}
    for row in rows:
        field = row["data_field"] if row["data_field"] in DATA_FIELDS else ""
        kept = drawn.setdefault(field, [])
        kept.append((digest("report", row[key]), row[key], row))
        kept.sort(key=lambda entry: entry[:2])
        del kept[1 if field else GENERIC :]
    return [row for field in (*DATA_FIELDS, "") for _, _, row in drawn.get(field, ())]


def thumbnail(image: bytes) -> str:
    """An encoded image made small, as data URI."""
    with Image.open(io.BytesIO(image)) as picture:
        picture.thumbnail((SIDE, SIDE))
        sink = io.BytesIO()
        picture.convert("RGB").save(sink, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(sink.getvalue()).decode()
