"""What a check found, line by line."""

from collections import Counter
from typing import NamedTuple

OK, NOTE, NOT_CHECKED, FAILED = "ok", "note", "not checked", "failed"


class Finding(NamedTuple):
    part: str  # machine, packages, settings, weights, or what runs an engine
    what: str
    state: str  # OK, NOTE, NOT_CHECKED or FAILED
    detail: str


def counted(findings: list[Finding]) -> str:
    """How many lines there are of each state, the worst last."""
    counts = Counter(finding.state for finding in findings)
    return ", ".join(f"{counts[state]} {state}" for state in (OK, NOTE, NOT_CHECKED, FAILED) if counts[state])
