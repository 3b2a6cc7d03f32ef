"""JSON documents that hold a digest of their own content, so that damage to them shows.

>>> record = sealed({"steps": 3})
>>> is_intact(record), is_intact(record | {"steps": 4})
(True, False)
"""

import json
from typing import Any

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


def _content(document: dict[str, Any], under: str | None) -> dict[str, Any]:
    """The document without a digest, as JSON gives it back: tuples are lists, keys are texts."""
    content = json.loads(json.dumps(document))
    (content[under] if under else content).pop(KEY, None)
    return content
