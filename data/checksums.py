"""Files against the SHA-256 that was recorded when they were written: each is compared once a process.

A file of a disk is compared again when it has changed since. Of a large object in an object store single columns are
read without a comparison, since it would fetch the whole object; the store keeps checksums of its own, and
`salmu verify` compares everything.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from salmu.data.errors import UserError
from salmu.data.files import file_sha256, size

FETCHED_WHOLE = 2_000_000  # bytes of an object that is compared whichever columns are read
LARGE_COLUMNS = {"image"}  # those that make up most of a file
_compared: dict[tuple[str, str], tuple | None] = {}  # path and SHA-256 -> state of the file when it was compared


class Recorded(NamedTuple):
    """What is known of a file: `by` names the document that says so, `again` the command that makes the file again."""

    bytes: int
    sha256: str
    by: str
    again: str


def require_intact(path: Path, known: Recorded, columns: Sequence[str] | None = None) -> Path:
    """The path, if the file is as it was written. `columns`: of a Parquet file, those that are about to be read.

    Raises UserError, which says how to make the file again, if it is missing or differs."""
    if not isinstance(path, Path):
        if known.bytes > FETCHED_WHOLE and columns is not None and not LARGE_COLUMNS & set(columns):
            return path
    key, state = (str(path), known.sha256), _state(path)
    if key in _compared and _compared[key] == state:
        return path
    there = size(path)
    if there is None:
        raise UserError(f"{path}: missing, though {known.by} names it; {known.again}")
    if there != known.bytes or file_sha256(path) != known.sha256:
        raise damaged(path, known)
    _compared[key] = state
    return path


def require_same(path: Path, content: bytes, known: Recorded) -> bytes:
    """The content of a file, if it is as it was written. Raises UserError as `require_intact` does."""
    if hashlib.sha256(content).hexdigest() != known.sha256:
        raise damaged(path, known)
    return content


def damaged(path: Path, known: Recorded) -> UserError:
    return UserError(f"{path}: damaged, its bytes are not those that {known.by} records; {known.again}")


def forget_comparisons() -> None:
    """As in a new process."""
    _compared.clear()


def _state(path: Path) -> tuple | None:
    """What changes when a file of a disk does; None for an object."""
    if not isinstance(path, Path):
        return None
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
