"""A file that `salmu verify` looked at, and how files are looked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from salmu.data.errors import UserError


class Checked(NamedTuple):
    """A file that was looked at."""

    part: str
    path: Any  # Path, or UPath of a run in an object store
    bytes: int
    problem: str = ""  # empty: the file is as it should be


def visible(folder: Path, pattern: str) -> list[Path]:
    """Files below a folder, without those of work in progress, whose folders begin with a dot."""
    found = sorted(folder.rglob(pattern))
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def or_none(ask: Callable[[], Any]) -> Any:
    """The answer; None where a damaged file, which is named by its own check, stands in the way."""
    try:
        return ask()
    except (UserError, AttributeError, KeyError, TypeError):
        return None
