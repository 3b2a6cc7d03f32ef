"""Wrong partners for pairs: at random, or of a person as alike as the metadata can tell."""

from collections.abc import Iterator

import numpy as np

from salmu.data.keyed import generator
from salmu.evaluation.encoding.pairs import Pairs

LEVELS = ("gender and country", "gender", "country", "anyone")


def derangement(count: int, *key) -> np.ndarray:
    """A permutation of `count` >= 2 items that leaves none in place: one random cycle, drawn by `key`."""
    order = generator(*key).permutation(count)
    partner = np.empty(count, np.int64)
    partner[order] = np.roll(order, -1)
    return partner


def matched_partner(pairs: Pairs, *key) -> tuple[np.ndarray, dict[str, int]]:
    """A permutation that gives each pair the caption of another person of the same gender and country, as far as there
    are any.

    Groups in which one person has more than half of the rows are matched with those of the next of LEVELS. Returns the
    row of each pair's new caption [n], and the number of rows matched at each level. A model that reads gender and
    origin out of a name gains nothing on such partners."""
    partner = np.full(len(pairs), -1)
    levels = dict.fromkeys(LEVELS, 0)
    person, gender, country = (_numbered(column) for column in (pairs.person, pairs.gender, pairs.country))
    for level, columns in zip(LEVELS, ((gender, country), (gender,), (country,), ()), strict=True):
        for name, rows in _groups(np.flatnonzero(partner < 0), columns):
            found = _cycle(rows, person[1], *key, level, *name)
            if found is None and level == LEVELS[-1]:  # one person has most of what is left
                found = rows[derangement(len(rows), *key, level)] if len(rows) > 1 else rows
            if found is not None:
                partner[rows] = found
                levels[level] += len(rows)
    return partner, levels


def _numbered(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different values of a column of strings, in order, and for each row which it has."""
    return np.unique(column.astype(str), return_inverse=True)


def _groups(
    rows: np.ndarray, columns: tuple[tuple[np.ndarray, np.ndarray], ...]
) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    """The rows that are alike in all columns (as of `_numbered`), by their values; both in order."""
    group = np.zeros(len(rows), np.int64)
    for values, number in columns:
        group = group * len(values) + number[rows]
    order = np.argsort(group, kind="stable")
    for part in np.split(rows[order], np.flatnonzero(np.diff(group[order])) + 1):
        if len(part):
            yield tuple(str(values[number[part[0]]]) for values, number in columns), part


def _cycle(rows: np.ndarray, person: np.ndarray, *key) -> np.ndarray | None:
    """The rows, each replaced by one of another person, as a permutation; None if one person has more than half.

    With the rows of each person side by side, those that lie as far on as the largest person has rows are others'."""
    names, member, counts = np.unique(person[rows], return_inverse=True, return_counts=True)
    largest = counts.max()
    if len(names) < 2 or 2 * largest > len(rows):
        return None
    rng = generator(*key)
    order = np.lexsort((rng.random(len(rows)), rng.permutation(len(names))[member]))
    partner = np.empty(len(rows), np.int64)
    partner[order] = rows[np.roll(order, -largest)]
    return partner
