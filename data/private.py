"""What may stand where others read it: no user names, passwords and queries of URLs, and no private folders."""

import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

# settings that hold folders, never hub ids
PLACES = {"attributes", "images", "methods_from", "reference", "root", "urls", "zero_shot"}
# settings that hold words, or an address that the card shows to everybody, and never a path
PUBLIC = {"caption_key", "creator", "gated_prompt", "licence", "licence_link", "licence_name", "name", "url"}
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")  # OWNER/NAME, and OWNER/NAME@REVISION
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]{0,30}://"  # bounded, or a long word would be searched again from each letter
# a password may hold anything, a slash and quotes too; digits and a slash after the colon are a port
_USER = re.compile(rf"({_SCHEME})((?:[^\s/?#]*|(?!\[)[^\s/?#:@]*:(?!\d*/)\S*)@)")
# `?` alone is a wildcard in the path of an object, never in a web address
_QUERY = re.compile(rf"((?:https?://[^\s?]*|{_SCHEME}[^\s?]*(?=\?\S*=))\?)(\S*[^\s'\"<>:,;.)\]}}])", re.IGNORECASE)


def has_user(text: str) -> bool:
    """Whether a URL in a text names a user."""
    return "@" in text and _USER.search(text) is not None


def has_credentials(text: str) -> bool:
    """Whether a URL in a text names a user, or has a query with values (a signed URL has)."""
    return has_user(text) or "?" in text and _QUERY.search(text) is not None


def without_credentials(text: str) -> str:
    """The text, its URLs without user, password and query."""
    text = _USER.sub(r"\1", text) if "@" in text else text
    return _QUERY.sub(r"\1…", text) if "?" in text else text


def told_of(address: str, error: Exception | str) -> str:
    """What somebody else's library says of an address, without the user, the password and the query in it."""
    text = without_credentials(" ".join(str(error).split()))
    for secret in [found[2] for pattern in (_USER, _QUERY) for found in pattern.finditer(address)]:
        text = text.replace(secret, "" if secret.endswith("@") else "…")
        for part in re.split("[:@&]", secret):  # a library may take them apart
            value = part.rpartition("=")[2]
            text = text.replace(value, "…") if len(value) > 3 else text
    return text or type(error).__name__


def without_folders(value: Any, place: bool = False) -> Any:
    """Settings with every path cut down to its last part: where files are kept is nobody else's business. A URL keeps
    its host, and what is published as words stays whole. `place`: the value is a path whatever it looks like."""
    if isinstance(value, dict):
        return {
            key: inner if key in PUBLIC else without_folders(inner, place or key in PLACES)
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
