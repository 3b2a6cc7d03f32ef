"""An identifying value with the reason why it belongs to nobody."""

from typing import NamedTuple

CLAIM = ("level", "rule", "source")  # what the proof of a value tells


class Value(NamedTuple):
    """level: G3 reserved by a standard or regulator, G2 impossible by a dated public registry, G1 only absent from
    lists."""

    text: str
    level: str
    rule: str
    source: str

    def claim(self) -> tuple[str, str, str]:
        """What CLAIM names."""
        return self.level, self.rule, self.source


class NoValue(Exception):
    """There is no value for this identity: its number is beyond the capacity of the space, or a judge refuses the
    value."""
