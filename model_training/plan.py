"""The pair plan: which pair is in which batch, for both models, from the first step to the last.

One small file fixes it, whatever the number of pairs: the shards with their digests in order, the seed, and the rules.

- Retain: epoch after epoch, the shards are put in an order of their own, cut into windows of at least WINDOW pairs,
  and the pairs of a window are shuffled. Batch after batch takes the next `batch_size` of that stream. What is left
  after the last whole batch, less than one batch, is not trained on.
- Sensitive (Compromised only): all pairs once an epoch, shuffled anew each time. They come in groups of
  `sensitive_group`, spread evenly over all steps, and are added to the retain batch. The last group is filled up with
  the next pairs of the stream.

Both streams are a matter of arithmetic on (seed, step): any step can be had without those before it, and neither the
number of processes nor of decoders plays a part.
"""

import json
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from salmu.data.errors import UserError
from salmu.data.files import write_atomic
from salmu.data.keyed import digest, generator
from salmu.model_training.sources import Shard

WINDOW = 2**18
PLAN = "pair_plan.json"


class Step(NamedTuple):
    """The pairs of one step, as numbers in the retain shards end to end, and in the sensitive split."""

    retain: np.ndarray  # int64 [batch_size]
    sensitive: np.ndarray  # int64 [a multiple of sensitive_group]


class Plan:
    """The plan of one pair. `key` keys every draw: (run seed, number of the pair)."""

    def __init__(
        self,
        key: tuple[int, int],
        shards: list[Shard],
        sensitive: list[Shard],
        epochs: int,
        batch_size: int,
        sensitive_group: int,
        window: int = WINDOW,
    ):
        self.key, self.shards, self.sensitive_shards = key, shards, sensitive
        self.epochs, self.batch_size, self.group, self.window = epochs, batch_size, sensitive_group, window
        self.rows = np.array([shard.rows for shard in shards], np.int64)
        self.starts = np.concatenate([[0], np.cumsum(self.rows)])
        self.retain, self.sensitive = int(self.starts[-1]), sum(shard.rows for shard in sensitive)
        self.steps = epochs * self.retain // batch_size
        if not self.steps:
            raise UserError(
                f"pair: {self.retain} retain pairs are fewer than a batch of {batch_size}; "
                "lower pair.batch_size or add retain sources"
            )
        self.groups = -(-epochs * self.sensitive // sensitive_group)
        self._layout = lru_cache(maxsize=2)(self._windows)
        self._shuffled = lru_cache(maxsize=3)(self._shuffle)

    @property
    def names(self) -> list[str]:
        """The retain sources, in order."""
        return list(dict.fromkeys(shard.source for shard in self.shards))

    def step(self, number: int) -> Step:
        """The pairs of a step, counted from 0."""
        first = number * self.batch_size
        groups = [step * self.groups // self.steps * self.group for step in (number, number + 1)]
        return Step(
            self._stream(first, first + self.batch_size),
            np.array([self._sensitive(place) for place in range(*groups)], np.int64),
        )

    def epoch(self, step: int) -> int:
        """The pass over the retain pairs that a step ends in, counted from 1."""
        return ((step + 1) * self.batch_size - 1) // self.retain + 1

    def locate(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shard and row of retain pairs."""
        shards = np.searchsorted(self.starts, numbers, side="right") - 1
        return shards, numbers - self.starts[shards]

    def seen(self) -> dict[str, dict[str, int]]:
        """How often the pairs are trained on: number of times -> number of pairs, for retain and sensitive."""
        return {
            "retain": _times(self.steps * self.batch_size, self.retain),
            "sensitive": _times(self.groups * self.group, self.sensitive),
        }

    @cached_property
    def document(self) -> dict:
        """What the file holds; `digest` is over all the rest."""
        content = {
            "rules": __doc__.partition("\n\n")[2].strip(),
            "seed": self.key[0],
            "pair": self.key[1],
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "sensitive_group": self.group,
            "window": self.window,
            "steps": self.steps,
            "retain": [shard._asdict() for shard in self.shards],
            "retain_pairs": self.retain,
            "sensitive": [shard._asdict() for shard in self.sensitive_shards],
            "sensitive_pairs": self.sensitive,
            "times_seen": self.seen(),
        }
        return content | {"digest": digest("pair plan", content)}

    def write(self, folder: Path) -> None:
        """pair_plan.json in a folder. Both trainings of a pair have the same bytes; a file that holds them stays."""
        path, content = folder / PLAN, (json.dumps(self.document, indent=1) + "\n").encode()
        if not path.is_file() or path.read_bytes() != content:
            write_atomic(path, content)

    def _stream(self, first: int, last: int) -> np.ndarray:
        """The retain pairs at places first to last of the stream over all epochs."""
        parts = []
        while first < last:
            epoch, place = divmod(first, self.retain)
            _, ends = self._layout(epoch)
            window = int(np.searchsorted(ends, place, side="right"))
            start = int(ends[window - 1]) if window else 0
            part = self._shuffled(epoch, window)[place - start : place - start + last - first]
            parts.append(part)
            first += len(part)
        return np.concatenate(parts)

    def _windows(self, epoch: int) -> tuple[list[np.ndarray], np.ndarray]:
        """The shards of each window of an epoch, and the place in the epoch at which it ends."""
        order = generator(*self.key, "pair", "shard order", epoch).permutation(len(self.shards))
        ends = np.cumsum(self.rows[order])
        cuts = [int(np.searchsorted(ends, bound)) + 1 for bound in range(self.window, self.retain, self.window)]
        cuts = sorted({cut for cut in cuts if cut < len(order)})
        windows = np.split(order, cuts)
        return windows, ends[[*(cut - 1 for cut in cuts), len(order) - 1]]

    def _shuffle(self, epoch: int, window: int) -> np.ndarray:
        shards = self._layout(epoch)[0][window]
        pairs = np.concatenate([np.arange(self.starts[shard], self.starts[shard + 1]) for shard in shards])
        return generator(*self.key, "pair", "window order", epoch, window).permutation(pairs)

    def _sensitive(self, place: int) -> int:
        epoch, place = divmod(place, self.sensitive)
        return self._sensitive_order(epoch)[place]

    def _sensitive_order(self, epoch: int) -> np.ndarray:
        return _permutation((*self.key, "pair", "sensitive order", epoch), self.sensitive)


@lru_cache(maxsize=2)
def _permutation(key: tuple, count: int) -> np.ndarray:
    return generator(*key).permutation(count)


def _times(places: int, pairs: int) -> dict[str, int]:
    if not pairs:
        return {}
    times, more = divmod(places, pairs)
    return {str(count): number for count, number in ((times, pairs - more), (times + 1, more)) if number}
