"""What may stand where others read it: no user names, passwords and queries of URLs."""

import re

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
