"""The pair plan: which pair is in which batch, for each model, from the first step to the last.

One small file fixes it, whatever the number of pairs: the shards with their digests in order, the seed, and the rules.

- Retain: epoch after epoch, the shards are put in an order of their own, cut into windows of at least WINDOW pairs,
  and the pairs of a window are shuffled. Batch after batch takes the next `batch_size` of that stream. What is left
  after the last whole batch, less than one batch, is not trained on.
- Sensitive (Compromised only): all pairs once an epoch, shuffled anew each time. They come in groups of
  `sensitive_group`, spread evenly over all steps, and are added to the retain batch. The last group is filled up with
  the next pairs of the stream.
- Retrained: Compromised's stream of sensitive pairs without those of the forget split. A pair comes in the step in
  which Compromised sees it; where groups are larger than one, it waits until its group is full.
- Retrained 2: the same with another order of the sensitive pairs. Retrained 3 and so on: also other first weights and
  other retain orders.

All streams are a matter of arithmetic on (seed, step): any step can be had without those before it, and neither the
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
    """The plan of one pair, as one of its models follows it. `key` keys every draw: (run seed, number of the pair).

    `forget`: numbers of the pairs within the sensitive split that are to be forgotten. `retrained`: None for the plan
    of Clean and Compromised, k for the k-th Retrained."""

    def __init__(
        self,
        key: tuple[int, int],
        shards: list[Shard],
        sensitive: list[Shard],
        epochs: int,
        batch_size: int,
        sensitive_group: int,
        window: int = WINDOW,
        forget: np.ndarray | None = None,
        retrained: int | None = None,
    ):
        self.key, self.shards, self.sensitive_shards = key, shards, sensitive
        self.draws = (*key, "retrained", retrained) if retrained and retrained > 2 else key
        self.retrained, self.forget = retrained, np.zeros(0, np.int64) if forget is None else np.asarray(forget)
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
        self.given = self.sensitive - (len(self.forget) if retrained else 0)  # sensitive pairs that this model sees
        self.groups = -(-epochs * self.sensitive // sensitive_group)
        self._layout = lru_cache(maxsize=2)(self._windows)
        self._shuffled = lru_cache(maxsize=3)(self._shuffle)
        self._order = lru_cache(maxsize=3)(self._sensitive_order)

    @property
    def names(self) -> list[str]:
        """The retain sources, in order."""
        return list(dict.fromkeys(shard.source for shard in self.shards))

    def step(self, number: int) -> Step:
        """The pairs of a step, counted from 0."""
        first = number * self.batch_size
        places = range(self._given(number), self._given(number + 1))
        return Step(
            self._stream(first, first + self.batch_size),
            np.array([self._sensitive(place) for place in places], np.int64),
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
            "sensitive": _times(self._given(self.steps), self.given),
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
            "forget_pairs": len(self.forget),
            "forget_digest": digest("forget", self.forget.tolist()),
        }
        return content | {"digest": digest("pair plan", content)}

    def write(self, folder: Path) -> None:
        """pair_plan.json in a folder. All trainings of a pair have the same bytes; a file that holds them stays."""
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
        order = generator(*self.draws, "pair", "shard order", epoch).permutation(len(self.shards))
        ends = np.cumsum(self.rows[order])
        cuts = [int(np.searchsorted(ends, bound)) + 1 for bound in range(self.window, self.retain, self.window)]
        cuts = sorted({cut for cut in cuts if cut < len(order)})
        windows = np.split(order, cuts)
        return windows, ends[[*(cut - 1 for cut in cuts), len(order) - 1]]

    def _shuffle(self, epoch: int, window: int) -> np.ndarray:
        shards = self._layout(epoch)[0][window]
        pairs = np.concatenate([np.arange(self.starts[shard], self.starts[shard + 1]) for shard in shards])
        return generator(*self.draws, "pair", "window order", epoch, window).permutation(pairs)

    def _given(self, step: int) -> int:
        """How many places of the sensitive stream lie before a step."""
        if not self.given:
            return 0
        epoch, place = divmod(step * self.groups // self.steps * self.group, self.sensitive)
        _, before = self._order(epoch)
        kept = epoch * self.given + int(before[place])
        return (-(-kept // self.group) if step == self.steps else kept // self.group) * self.group

    def _sensitive(self, place: int) -> int:
        epoch, place = divmod(place, self.given)
        return self._order(epoch)[0][place]

    def _sensitive_order(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The sensitive pairs of an epoch that this model sees, in order, and how many of them lie before each place
        of the order of all."""
        own = ("retrained", self.retrained) if self.retrained and self.retrained > 1 else ()
        order = generator(*self.key, "pair", "sensitive order", epoch, *own).permutation(self.sensitive)
        seen = np.isin(order, self.forget, invert=True) if self.retrained else np.ones(len(order), bool)
        return order[seen], np.concatenate([[0], np.cumsum(seen)])


def _times(places: int, pairs: int) -> dict[str, int]:
    if not pairs:
        return {}
    times, more = divmod(places, pairs)
    return {str(count): number for count, number in ((times, pairs - more), (times + 1, more)) if number}
