"""What may stand where others read it: no user names, passwords and queries of URLs, and no private folders."""

import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

# settings that hold folders, never hub ids
PLACES = {"attributes", "images", "methods_from", "reference", "root", "urls", "zero_shot"}
PUBLIC = "url"  # setting with an address that the card shows to everybody
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")  # OWNER/NAME, and OWNER/NAME@REVISION
_URL = re.compile(
    r"""(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<user>[^\s/?#'"<>]*@)?(?P<place>[^\s?#'"<>]*)"""
    r"""(?P<query>\?[^\s'"<>]*=[^\s'"<>]*[^\s'"<>:,;.)])?"""
)


def has_credentials(text: str) -> bool:
    """Whether a URL in a text names a user, or has a query with values (a signed URL has)."""
    return any(found["user"] or found["query"] for found in _URL.finditer(text))


def without_credentials(text: str) -> str:
    """The text, its URLs without user, password and query."""
    return _URL.sub(lambda found: found["scheme"] + found["place"] + ("?…" if found["query"] else ""), text)


def without_folders(value: Any, place: bool = False) -> Any:
    """Settings with every path cut down to its last part: where files are kept is nobody else's business. A URL keeps
    its host. `place`: the value is a path whatever it looks like."""
    if isinstance(value, dict):
        return {
            key: inner if key == PUBLIC else without_folders(inner, place or key in PLACES)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_folders(inner, place) for inner in value]
    if not isinstance(value, str):
        return value
    if "://" in value:
        scheme, _, rest = without_credentials(value).partition("://")
        host, *folders = rest.split("/")
        return f"{scheme}://" + "/".join([host, *(["…"] if len(folders) > 1 else []), *folders[-1:]])
    if value.startswith("local-dir:"):
        return "local-dir:" + without_folders(value.removeprefix("local-dir:"), True)
    if "\\" in value:
        return PureWindowsPath(value).name
    if "/" in value and (place or not _HUB_ID.fullmatch(value) or Path(value).exists()):
        return PurePosixPath(value).name
    return value
