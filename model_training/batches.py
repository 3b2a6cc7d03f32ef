"""From the plan to tensors: what each process computes on in each step, read in order by any number of decoders."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from salmu.data.errors import UserError
from salmu.data.keyed import generator
from salmu.data.pictures import PictureError
from salmu.model_training.network import as_tensor
from salmu.model_training.pictures import Bytes, fitted
from salmu.model_training.plan import Plan
from salmu.model_training.sources import Source

TOKENIZER_CAPTIONS = 50_000  # of each source, for a tokenizer of the pair's own


class Pictures(NamedTuple):
    """How pictures become squares."""

    size: int
    resize: str
    crop: float


class Reader:
    """The pairs of a plan by number: retain pairs first, sensitive pairs after them."""

    def __init__(self, plan: Plan, retain: list[Source], sensitive: Source | None, pictures: Pictures):
        self.plan, self.sensitive, self.pictures = plan, sensitive, pictures
        self.places = [(source, shard) for source in retain for shard in range(len(source.shards))]
        self.count = plan.retain + (sensitive.rows if sensitive else 0)
        self._kept: np.ndarray | None = None
        self._texts: list[str] = []
        self._tokens: torch.Tensor | None = None
        self._tokenise: Callable[[list[str]], torch.Tensor] | None = None

    def keep(self, memory_mb: int) -> None:
        """Decode all pairs now and keep them, where they fit and no crops are drawn."""
        size = self.pictures.size
        if self.pictures.crop < 1 or self.count * size * size * 3 > memory_mb * 2**20:
            return
        kept, texts = np.empty((self.count, size, size, 3), np.uint8), []
        for start in range(0, self.count, 1024):
            numbers = np.arange(start, min(start + 1024, self.count))
            for number, (image, text) in zip(numbers, self._encoded(numbers), strict=True):
                kept[number] = self._square(image, int(number), ())
                texts.append(text)
        self._kept, self._texts = kept, texts

    def captions(self) -> Iterator[str]:
        """Retain captions: all that are kept, or the first TOKENIZER_CAPTIONS of each source."""
        if self._kept is not None:
            yield from self._texts[: self.plan.retain]
            return
        taken: dict[str, int] = {}
        for source, shard in self.places:
            name, rows = source.shards[shard].source, source.shards[shard].rows
            rows = min(rows, TOKENIZER_CAPTIONS - taken.get(name, 0))
            taken[name] = taken.get(name, 0) + rows
            for start in range(0, rows, 1024):
                yield from (text for _, text in source.read(shard, np.arange(start, min(start + 1024, rows))))

    def use(self, tokenise: Callable[[list[str]], torch.Tensor]) -> None:
        """Captions become tokens by `tokenise`: at once where they are kept, else when they are read."""
        self._tokenise = tokenise
        if self._kept is not None:
            self._tokens = tokenise(self._texts)

    def pairs(self, numbers: np.ndarray, keys: list[tuple]) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures uint8 [n, size, size, 3] and token ids [n, context]. The keys are those of the crops."""
        if self._kept is not None:
            return as_tensor(self._kept[numbers]), self._tokens[numbers]
        pairs = self._encoded(numbers)
        images = [
            self._square(image, int(number), key) for number, key, (image, _) in zip(numbers, keys, pairs, strict=True)
        ]
        return as_tensor(images), self._tokenise([text for _, text in pairs])

    def _square(self, image: Bytes, number: int, key: tuple) -> np.ndarray:
        size, resize, crop = self.pictures
        try:
            return fitted(image, size, resize, crop, generator(*key) if crop < 1 else None)
        except PictureError as error:
            raise UserError(f"{self._name(number)}: {error}; replace it, or leave it out") from None

    def _encoded(self, numbers: np.ndarray) -> list[tuple[Bytes, str]]:
        """The pairs in the order of the numbers, read shard by shard."""
        found: list = [None] * len(numbers)
        shards, rows = self.plan.locate(np.minimum(numbers, self.plan.retain - 1))
        shards = np.where(numbers < self.plan.retain, shards, -1)
        for shard in np.unique(shards):
            chosen = np.flatnonzero(shards == shard)
            if shard >= 0:
                source, own = self.places[shard]
                pairs = source.read(own, rows[chosen])
            else:
                pairs = [
                    self.sensitive.read(place, np.array([row]))[0]
                    for place, row in map(self._in_sensitive, numbers[chosen] - self.plan.retain)
                ]
            for place, pair in zip(chosen, pairs, strict=True):
                found[place] = pair
        return found

    def _in_sensitive(self, number: int) -> tuple[int, int]:
        ends = np.cumsum([shard.rows for shard in self.sensitive.shards])
        shard = int(np.searchsorted(ends, number, side="right"))
        return shard, int(number - (ends[shard - 1] if shard else 0))

    def _name(self, number: int) -> str:
        if number >= self.plan.retain:
            return f"sensitive pair {number - self.plan.retain}"
        shard, row = self.plan.locate(np.array([number]))
        return f"{self.plan.shards[shard[0]].source} {self.plan.shards[shard[0]].location}, pair {row[0]}"


class Batches(torch.utils.data.Dataset):
    """Item i is part i % accumulate of step i // accumulate, as this process computes it.

    Each process and each part gets an equal share of the retain pairs, first in the batch, and each process an equal
    share of the sensitive pairs."""

    def __init__(self, reader: Reader, shorten: Callable = lambda tokens: tokens, rank=0, ranks=1, accumulate=1):
        plan, parts = reader.plan, ranks * accumulate
        if plan.batch_size % parts:
            raise UserError(
                f"pair.batch_size: {plan.batch_size} does not divide by {ranks} processes x {accumulate} parts"
            )
        if plan.given and plan.group % ranks:
            raise UserError(f"pair.sensitive_group: {plan.group} does not divide by {ranks} processes; take {ranks}")
        self.reader, self.shorten, self.accumulate = reader, shorten, accumulate
        self.rank, self.ranks = rank, ranks

    def __len__(self) -> int:
        return self.reader.plan.steps * self.accumulate

    def numbers(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The pairs of an item as the reader numbers them, and their places in the step."""
        plan, (step, part) = self.reader.plan, divmod(index, self.accumulate)
        retain, sensitive = plan.step(step)
        sensitive = plan.retain + sensitive if self.reader.sensitive else sensitive[:0]
        chosen = [
            (pairs[mine := self._share(len(pairs), part)], first + mine)
            for pairs, first in ((retain, 0), (sensitive, plan.batch_size))
        ]
        return tuple(np.concatenate(parts) for parts in zip(*chosen, strict=True))

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor] | UserError:
        """Pictures uint8 [n, size, size, 3] and token ids. An error comes as the item: a decoder's traceback would
        bury its line."""
        key = (*self.reader.plan.draws, "pair", "crops", index // self.accumulate)
        numbers, places = self.numbers(index)
        try:
            images, tokens = self.reader.pairs(numbers, [(*key, int(place)) for place in places])
        except UserError as error:
            return error
        return images, self.shorten(tokens)

    def _share(self, count: int, part: int) -> np.ndarray:
        return np.arange(count)[self.rank :: self.ranks][part :: self.accumulate]

    def from_step(self, step: int, workers: int, pinned: bool) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All items from a step on, made ahead by that many decoders, in order."""
        items = torch.utils.data.DataLoader(
            self,
            batch_size=None,
            sampler=range(step * self.accumulate, len(self)),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            pin_memory=pinned,
        )
        for item in items:
            if isinstance(item, UserError):
                raise item
            yield item
