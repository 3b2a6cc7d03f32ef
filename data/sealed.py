"""JSON documents that hold a digest of their own content, so that damage to them shows.

>>> record = sealed({"steps": 3})
>>> is_intact(record), is_intact(record | {"steps": 4})
(True, False)
"""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from salmu.data.documents import read_checked
from salmu.data.errors import UserError
from salmu.data.files import size, write_atomic
from salmu.data.keyed import digest

KEY = "content_digest"


def sealed(document: dict[str, Any], under: str | None = None) -> dict[str, Any]:
    """The document with the digest of everything else in it: at its top, or at the top of the object `under`."""
    content = _content(document, under)
    seal = {KEY: digest("sealed", content)}
    return content | ({under: content[under] | seal} if under else seal)


def is_intact(document: dict[str, Any], under: str | None = None) -> bool:
    """Whether the content is what was sealed. A document without a digest, as older versions wrote it, passes."""
    seal = (document.get(under, {}) if under else document).get(KEY)
    return seal is None or seal == digest("sealed", _content(document, under))


def read_sealed(path: Path, model: type[BaseModel], remedy: str) -> dict[str, Any] | None:
    """The sealed document in a file, as `model` says; None if there is no such file. Raises UserError of one line, with
    the remedy at its end, if it is damaged."""
    if size(path) is None:
        return None
    try:
        document = read_checked(path, model)
    except UserError as error:
        raise UserError(f"{error}; {remedy}") from None
    if not is_intact(document):
        raise UserError(f"{path}: damaged: its content is not that of its content_digest; {remedy}")
    return document


def write_sealed(path: Path, document: dict[str, Any]) -> None:
    """Write a document with the digest of its content. Raises UserError when the disk refuses."""
    content = json.dumps(sealed(document), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomic(path, content.encode())


def _content(document: dict[str, Any], under: str | None) -> dict[str, Any]:
    """The document without a digest, as JSON gives it back: tuples are lists, keys are texts."""
    content = json.loads(json.dumps(document))
    (content[under] if under else content).pop(KEY, None)
    return content
