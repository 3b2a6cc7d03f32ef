"""Retain pairs from everywhere: what training reads is a list of sources, each a list of shards of numbered pairs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from salmu.model_training.pictures import Bytes

SHARD_ROWS = 8192  # of sources that lie in memory or are drawn


class Shard(NamedTuple):
    """What the plan knows of a shard."""

    source: str
    location: str
    rows: int
    digest: str


@dataclass(frozen=True)
class Source:
    """`read(shard number, rows)` gives the pairs of a shard, pictures encoded or, where they are drawn, finished."""

    shards: list[Shard]
    read: Callable[[int, np.ndarray], list[tuple[Bytes, str]]]
    rejects: list[tuple[str, str, str]] = field(default_factory=list)  # shard, key, reason
    filtered: int = 0  # pairs that a list of uids left out

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.shards)


def numbered(name: str, rows: int, digest: str, pair: Callable[[int], tuple[Bytes, str]]) -> Source:
    """A source whose pairs are had by their number."""
    starts = range(0, rows, SHARD_ROWS)
    shards = [Shard(name, f"{start}-", min(SHARD_ROWS, rows - start), digest) for start in starts]
    return Source(shards, lambda shard, chosen: [pair(starts[shard] + int(row)) for row in chosen])
