"""The order of selection: balanced over gender, age group and region, and within each cell whoever is least like all
who were chosen before, so that the first n of a longer selection are the selection of n.

Farthest-point traversal (Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from salmu.tasks.anchors.duplicates import on_device, similarities
from salmu.tasks.balance import rarest_cell

if TYPE_CHECKING:
    import torch

BLOCK = 512  # candidates compared at a time
DOUBT = 1e-5  # a product in single precision is nearer to the truth than this


class Choice(NamedTuple):
    place: int
    nearest: float | None  # cosine to the most similar of those chosen before


class Cell:
    """The candidates of one cell that are still to be had. Of each, `nearest` is the greatest cosine to the first
    `compared` of those chosen so far, in single precision: it can only grow, so that few need to be compared with all.
    `like`: the places of the chosen whose cosine may be the greatest; their cosines are computed again."""

    def __init__(self, places: list[int]):
        self.places = np.array(places)
        self.nearest = np.full(len(places), -2.0, np.float32)
        self.compared = np.zeros(len(places), np.int32)
        self.like: list[list[int]] = [[] for _ in places]

    def take(self, embeddings: np.ndarray, chosen: list[int], device: torch.device) -> Choice:
        """Remove whoever is least like the chosen; of equals, the first."""
        least, exact = 0, None
        if chosen:
            self._compare(embeddings, chosen, device)
            close = np.flatnonzero(self.nearest <= self._least(chosen) + 2 * DOUBT)
            cosines = [similarities(embeddings, self.places[one], self.like[one]).max() for one in close]
            best = int(np.argmin(np.round(cosines, 9)))
            least, exact = close[best], float(cosines[best])
        choice = Choice(int(self.places[least]), exact)
        self.places, self.nearest, self.compared = (
            np.delete(values, least) for values in (self.places, self.nearest, self.compared)
        )
        del self.like[least]
        return choice

    def _least(self, chosen: list[int]) -> float:
        """The least of those that were compared with all who were chosen."""
        return self.nearest[self.compared == len(chosen)].min(initial=np.inf)

    def _compare(self, embeddings: np.ndarray, chosen: list[int], device: torch.device) -> None:
        """Compare with all who were chosen, the most promising first, until no other can be the least."""
        while True:
            promising = np.flatnonzero(
                (self.compared < len(chosen)) & (self.nearest <= self._least(chosen) + 2 * DOUBT)
            )
            if not len(promising):
                return
            some = promising[np.argsort(self.nearest[promising], kind="stable")[:BLOCK]]
            new = chosen[self.compared[some].min() :]
            cosines = on_device(embeddings[self.places[some]], device, "float32")
            cosines = (cosines @ on_device(embeddings[new], device, "float32").T).cpu().numpy()
            before, self.nearest[some] = self.nearest[some], np.maximum(self.nearest[some], cosines.max(axis=1))
            limits = self.nearest[some] - 2 * DOUBT
            for one in some[before < limits]:
                self.like[one] = []
            for row, column in np.argwhere(cosines >= limits[:, None]).tolist():
                self.like[some[row]].append(new[column])
            self.compared[some] = len(chosen)


def select(
    embeddings: np.ndarray, cells: dict[tuple, list[int]], count: int | None, device: torch.device
) -> list[Choice]:
    """Up to `count` choices, all for None, in order.

    embeddings: unit vectors [n, d] in half precision; cells: (gender, age group, region) -> places of its candidates,
    the best first, who comes first of all, and where two are equally unlike the rest."""
    waiting = {cell: Cell(places) for cell, places in cells.items()}
    taken: Counter = Counter()
    chosen: list[int] = []
    choices: list[Choice] = []
    while waiting and (count is None or len(choices) < count):
        cell = rarest_cell(waiting, taken)
        choices.append(waiting[cell].take(embeddings, chosen, device))
        chosen.append(choices[-1].place)
        taken.update([*enumerate(cell), cell])
        if not len(waiting[cell].places):
            del waiting[cell]
    return choices
