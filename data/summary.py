"""What a stage shows of itself: text, tables and pictures, kept beside its manifest for the UI and the report."""

import json
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, Field

from salmu.data.documents import MIB, parsed, read_bounded
from salmu.data.errors import UserError
from salmu.data.files import size, write_atomic
from salmu.data.sealed import is_intact, sealed
from salmu.data.suggestions import salmu_command

FILE = "summary.json"


class Kept(BaseModel):
    """summary.json; `figures`: title -> name of a file beside it; `of`: what it was made from."""

    of: str = ""
    text: str
    tables: dict[str, list[dict[str, Any]]]
    figures: dict[str, Annotated[str, Field(pattern=r"^summary-\d{1,4}\.png$")]]


class Summary(NamedTuple):
    text: str  # markdown, a few lines
    tables: dict[str, list[dict[str, Any]]] = {}  # title -> rows of equal keys
    figures: dict[str, bytes] = {}  # title -> PNG file, under 100 KB
    of: str = ""  # what it was made from


def write_summary(folder: Path, summary: Summary) -> None:
    """Keep a summary in a stage's folder: summary.json and one PNG a figure."""
    files = {title: f"summary-{number}.png" for number, title in enumerate(summary.figures)}
    for title, name in files.items():
        write_atomic(folder / name, summary.figures[title])
    document = sealed({"of": summary.of, "text": summary.text, "tables": summary.tables, "figures": files})
    write_atomic(folder / FILE, json.dumps(document, indent=1, ensure_ascii=False).encode())


def read_summary(folder: Path) -> Summary | None:
    """The summary kept in a stage's folder, or None. Raises UserError if it is damaged."""
    if size(folder / FILE) is None:
        return None
    try:
        document = parsed(read_bounded(folder / FILE, 64 * MIB), constants=True)
    except (ValueError, RecursionError):
        raise _damaged(folder, "not JSON") from None
    try:
        kept = Kept.model_validate(document)
        figures = {title: read_bounded(folder / name, 64 * MIB) for title, name in kept.figures.items()}
    except (ValueError, UserError):
        raise _damaged(folder, "not a summary, or a figure is missing") from None
    if not is_intact(document):
        raise _damaged(folder, "its digest is another")
    return Summary(kept.text, kept.tables, figures, kept.of)


def summary_of(folder: Path, of: str) -> Summary | None:
    """The summary kept in a stage's folder if it was made from just this and is whole; else None."""
    try:
        kept = read_summary(folder)
        return kept if kept and kept.of == of else None
    except UserError:
        return None


def _damaged(folder: Path, how: str) -> UserError:
    again = salmu_command(f"stage {folder.name}", folder.parent)
    return UserError(f"{folder / FILE}: damaged, {how}; run {again} to write it again")
