"""JSON documents that others wrote: bounded in size, checked by a pydantic model, refused in one line."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from salmu.data.errors import UserError
from salmu.data.files import reaching, read_bytes, size
from salmu.data.settings import validate

if TYPE_CHECKING:
    from upath import UPath

MIB = 2**20
SURROGATE = re.compile(rb"\\u[dD][89abAB]")  # half of a character that JSON writes as two
Document = TypeVar("Document", bound=BaseModel)


def loaded(path: "Path | UPath", model: type[Document], limit: int = 64 * MIB) -> Document:
    """The JSON document in a file, as `model`.

    Raises UserError of one line if there is no such file, if it has more than `limit` bytes, is not JSON (NaN, nesting
    without end and halves of characters included), or is not what `model` says."""
    return validate(model, read_json(path, limit), str(path))


def read_json(path: "Path | UPath", limit: int = 64 * MIB) -> Any:
    """The JSON document in a file, bounded but not checked. Raises UserError as `loaded` does."""
    bytes_there = size(path)
    if bytes_there is None:
        raise UserError(f"{path}: no such file")
    if bytes_there > limit:
        raise UserError(f"{path}: {bytes_there:,} bytes are more than such a file has (at most {limit:,})")
    try:
        with reaching(path):
            return parsed(read_bytes(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)[:120]
        raise UserError(f"{path}: damaged, or not JSON: {reason}") from None


def parsed(content: bytes) -> Any:
    """The document in bytes of JSON. Raises ValueError, and RecursionError where it is nested without end."""
    document = json.loads(content.decode("utf-8-sig"), parse_constant=_no_constant)
    if SURROGATE.search(content):
        json.dumps(document, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError
    return document


def _no_constant(name: str):
    raise ValueError(f"{name} is not a number that JSON has")
