"""What a stage shows of itself: text, tables and pictures, kept beside its manifest for the UI and the report."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from salmu.data.files import read_bytes, write_atomic


class Summary(NamedTuple):
    text: str  # markdown, a few lines
    tables: dict[str, list[dict[str, Any]]] = {}  # title -> rows of equal keys
    figures: dict[str, bytes] = {}  # title -> PNG file, under 100 KB


def write_summary(folder: Path, summary: Summary) -> None:
    """Keep a summary in a stage's folder: summary.json and one PNG a figure."""
    files = {title: f"summary-{number}.png" for number, title in enumerate(summary.figures)}
    for title, name in files.items():
        write_atomic(folder / name, summary.figures[title])
    document = {"text": summary.text, "tables": summary.tables, "figures": files}
    write_atomic(folder / "summary.json", json.dumps(document, indent=1, ensure_ascii=False).encode())


def read_summary(folder: Path) -> Summary | None:
    """The summary kept in a stage's folder, or None."""
    try:
        document = json.loads(read_bytes(folder / "summary.json"))
    except FileNotFoundError:
        return None
    return Summary(
        document["text"],
        document["tables"],
        {title: read_bytes(folder / name) for title, name in document["figures"].items()},
    )
