"""Shows items of any stage, in the terminal or as an HTML page that opens offline: `salmu inspect`."""

import base64
import html
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from salmu.data.errors import UserError
from salmu.data.files import parquet_file, write_atomic
from salmu.data.store import ROW_DIGEST, Store
from salmu.data.suggestions import salmu_command
from salmu.data.text import printable
from salmu.flows.running.stages import STAGES

LONGEST = 300  # characters of a value in the terminal
NUMBERS_SHOWN = 4  # of a long list of numbers
THUMBNAIL = 256  # pixels, longer side
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
:root{{color-scheme:light dark}}body{{font:14px system-ui,sans-serif;margin:1.5rem;max-width:75rem}}
article{{display:flex;flex-wrap:wrap;align-items:start;gap:1rem;padding:1rem 0;border-top:1px solid #8884}}
img{{max-width:16rem;height:auto}}dt{{opacity:.65}}dd{{margin:0;overflow-wrap:anywhere}}
dl{{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:0;flex:1;min-width:18rem}}</style>
<h1>{title}</h1><p>{found}</p>{items}</html>
"""


def select(
    store: Store, stage: str, item: str | None, where: dict[str, str], rejects: bool
) -> Iterator[dict[str, Any]]:
    """The rows of a stage in order; of one item; or of those whose columns hold these values. Or its rejects.

    Raises UserError for a stage with nothing in it and for an unknown column."""
    view = store.view(stage, STAGES[stage].KEY)
    if not view.manifest.shards:
        raise UserError(
            f"{store.folder}: nothing in stage {stage} yet; run {salmu_command(f'stage {stage}', store.folder)}"
        )
    where = dict(where) | ({("item" if rejects else view.key): item} if item else {})
    for path in view.paths(rejects):
        file = parquet_file(path)
        columns = [name for name in file.schema_arrow.names if name != ROW_DIGEST]
        if unknown := set(where) - set(columns):
            raise UserError(f"stage {stage} has no column {sorted(unknown)[0]!r}; it has: {', '.join(columns)}")
        for batch in file.iter_batches(batch_size=256, columns=columns):
            for row in batch.to_pylist():
                if all(str(row[name]) == value for name, value in where.items()):
                    yield row


def as_text(rows: list[dict[str, Any]]) -> str:
    """Rows as blocks of 'column  value'; pictures as their size, long lists cut short."""
    blocks = []
    for row in rows:
        width = max(map(len, row))
        blocks.append("\n".join(f"{name:<{width}}  {_short(value)}" for name, value in row.items()))
    return "\n\n".join(blocks)


def as_plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row for JSON: a picture is told by its size."""
    return {name: {"bytes": len(value)} if isinstance(value, bytes) else value for name, value in row.items()}


def as_page(rows: list[dict[str, Any]], title: str, found: str) -> str:
    """Rows as one HTML page with their pictures in it."""
    items = []
    for row in rows:
        pictures = "".join(
            f'<img alt="" src="{_thumbnail(value)}">' for value in row.values() if isinstance(value, bytes)
        )
        entries = "".join(
            f"<dt>{html.escape(name)}</dt><dd>{html.escape(_short(value, 2000))}</dd>"
            for name, value in row.items()
            if not isinstance(value, bytes)
        )
        items.append(f"<article>{pictures}<dl>{entries}</dl></article>")
    return PAGE.format(title=html.escape(title), found=html.escape(found), items="".join(items))


def write_page(path: Path, page: str) -> None:
    write_atomic(path, page.encode())


def _short(value: Any, longest: int = LONGEST) -> str:
    if isinstance(value, bytes):
        try:
            with Image.open(io.BytesIO(value)) as picture:
                return f"{picture.format} of {picture.width} x {picture.height} pixels, {len(value):,} bytes"
        except OSError:
            return f"{len(value):,} bytes"
    if isinstance(value, list) and len(value) > NUMBERS_SHOWN and isinstance(value[0], float):
        head = ", ".join(f"{number:.3f}" for number in value[:NUMBERS_SHOWN])
        return f"[{head}, …] {len(value)} numbers"
    text = printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _thumbnail(content: bytes) -> str:
    with Image.open(io.BytesIO(content)) as picture:
        small = picture.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    sink = io.BytesIO()
    small.save(sink, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(sink.getvalue()).decode()
