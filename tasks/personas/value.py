"""An identifying value with the reason why it belongs to nobody."""

from typing import NamedTuple


class Value(NamedTuple):
    """The text, then its proof. level: G3 reserved by a standard or regulator, G2 impossible by a dated public
    registry, G1 only absent from lists."""

    text: str
    level: str
    rule: str
    source: str


class NoValue(Exception):
    """There is no value for this identity: its number is beyond the capacity of the space, or a judge refuses the
    value."""
