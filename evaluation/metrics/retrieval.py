"""Rank of a pair's own caption among others: RetFail, and its stricter forms ValueMRR and NameMRR."""

from collections.abc import Callable, Mapping

import numpy as np

from salmu.data.keyed import generator
from salmu.data.schemas import DATA_FIELDS
from salmu.evaluation.encoding.pairs import Pairs
from salmu.evaluation.metrics.score import Score, missing, rounded

TIE = 1e-6  # cosines nearer than this are equal: below what float32 holds through a change of batch, thread or machine
BLOCK = 2048  # rows at once


def own_rank(
    images: np.ndarray, own: np.ndarray, pool: np.ndarray, own_text: np.ndarray, pool_text: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rank of each image's own caption among itself and a pool of others, and the number of captions that were ranked.

    images, own: [n, d]; pool: [m, d]; own_text [n] and pool_text [m] are the captions. A caption in the pool that
    equals the row's own is no distractor and does not count. Rank 1 is best; ties count half (the mean rank over all
    orders of the tied)."""
    _, ids = np.unique(np.concatenate([own_text, pool_text]).astype(str), return_inverse=True)
    own_ids, pool_ids = ids[: len(own_text)], ids[len(own_text) :]
    ranks, sizes = np.empty(len(images)), np.empty(len(images), np.int64)
    for start in range(0, len(images), BLOCK):
        rows = slice(start, start + BLOCK)
        margin = images[rows] @ pool.T
        margin -= np.einsum("nd,nd->n", images[rows], own[rows])[:, None]
        same = own_ids[rows, None] == pool_ids
        margin[same] = -np.inf  # no distractors
        above, as_near = np.count_nonzero(margin > TIE, 1), np.count_nonzero(margin >= -TIE, 1)
        ranks[rows] = 1 + (above + as_near) / 2
        sizes[rows] = 1 + len(pool) - np.count_nonzero(same, 1)
    return ranks, sizes


def rank_among(
    images: np.ndarray, own: np.ndarray, row: np.ndarray, wrong: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rank of each image's own caption among itself and wrong captions made for it, and the number that were ranked.

    images: [n, d]; own [n]: the cosines of image and own caption; wrong [m, d], each made for the image `row` [m].
    Ranks are as in `own_rank`."""
    margin, count = np.einsum("nd,nd->n", images[row], wrong) - own[row], len(images)
    above, tied = np.bincount(row, margin > TIE, count), np.bincount(row, np.abs(margin) <= TIE, count)
    return 1 + above + tied / 2, 1 + np.bincount(row, minlength=count)


def chance(sizes: np.ndarray) -> float:
    """Mean reciprocal rank of a uniformly random rank: H(n)/n, averaged over galleries of the given sizes."""
    distinct, counts = np.unique(sizes, return_counts=True)
    expected = [np.sum(1 / np.arange(1, size + 1)) / size for size in distinct]
    return float(np.average(expected, weights=counts))


def retrieval_failure(
    forget: Pairs, retain_disjoint: Pairs, pool_size: int, seed: int, metric: str = "RetFail"
) -> Score:
    """RetFail: mean reciprocal rank of the own caption among itself, `pool_size` captions of the forget set and
    `pool_size` of retain_disjoint (all, where there are fewer), drawn once for all rows and models, without
    replacement.

    InterIdMRR and IntraIdMRR: the same of a holdout in the place of the forget set, among the same captions of
    retain_disjoint."""
    if not len(forget):
        return missing(metric, "no rows")
    pools = []
    for part, key, pairs in (("forget", metric, forget), ("retain_disjoint", "RetFail", retain_disjoint)):
        rng = generator(seed, key, part)
        pools.append(pairs.rows(rng.choice(len(pairs), min(pool_size, len(pairs)), replace=False)))
    used = [pool for pool in pools if len(pool)]
    ranks, sizes = own_rank(
        forget.images,
        forget.texts,
        np.concatenate([pool.texts for pool in used]),
        forget.text,
        np.concatenate([pool.text for pool in used]),
    )
    published = {"MRR": float(np.mean(1 / ranks)), "R@1": float(np.mean(ranks == 1)), "outcomes": rounded(ranks)}
    return Score(published, 1 / ranks, forget.person, chance(sizes))


def swapped_captions(
    pairs: Pairs, part: str, identities: Mapping[str, dict], per_row: int, rows: int, *key
) -> tuple[np.ndarray, list[str]]:
    """Captions that differ from a pair's own in one part only: `value` (same name, other persona's value of that
    attribute) or `name`.

    At most `rows` pairs, and `per_row` captions for each, are drawn by `key`. A pair whose caption does not hold the
    part word for word is left out. Returns the pair's index and the text of each caption made."""
    alternatives = {
        field: sorted({value for person in identities.values() for value in _values(person.get(field))})
        for field in ("name", *DATA_FIELDS)
    }
    owned = np.array(
        [own is not None and own in text for own, text in zip(getattr(pairs, part), pairs.text, strict=True)], bool
    )
    usable = np.flatnonzero(owned)
    usable = np.sort(generator(*key).choice(usable, min(rows, len(usable)), replace=False))
    index, texts = [], []
    for row in usable:
        field, own = ("name" if part == "name" else pairs.field[row]), getattr(pairs, part)[row]
        theirs = set(_values(identities[pairs.identity[row]].get(field))) | {own}
        others = [value for value in alternatives.get(field, []) if value not in theirs]
        for chosen in generator(*key, pairs.file_name[row]).permutation(len(others))[:per_row]:
            index.append(row)
            texts.append(pairs.text[row].replace(own, others[chosen]))
    return np.array(index, np.int64), texts


def swapped_rank(
    pairs: Pairs,
    part: str,
    identities: Mapping[str, dict],
    per_row: int,
    rows: int,
    seed: int,
    metric: str,
    encode: Callable[[list[str]], np.ndarray],
) -> tuple[Score, np.ndarray]:
    """ValueMRR (part "value") or NameMRR ("name"): mean reciprocal rank of the own caption among its swapped forms.

    It asks whether the model tells the true value from another, where RetFail is content to know the name. Returns the
    score and the indices of the pairs that were ranked."""
    index, texts = swapped_captions(pairs, part, identities, per_row, rows, seed, metric)
    if not len(index):
        return missing(metric, f"no caption holds its {part} word for word"), index
    ranks, sizes = rank_among(pairs.images, pairs.cosines, index, encode(texts))
    ranked = np.flatnonzero(sizes > 1)
    reciprocal = 1 / ranks[ranked]
    level = chance(sizes[ranked])
    published = {"MRR": float(np.mean(reciprocal)), "chance": level, "rows": len(ranked), "captions": len(texts)}
    return Score(published, reciprocal, pairs.person[ranked], level), ranked


def _values(value: str | list[str] | None) -> list[str]:
    return value if isinstance(value, list) else [] if value is None else [value]
