"""Thresholds from a run's own scores, and the error rates at any threshold.

A score of identity is a mixture: the right person's portraits, and some of strangers, whom a generator makes now and
then and whom the rule is there to find. How strangers score is known, since every portrait can be held against other
identities. Hardly any of the right person's portraits score where most strangers do, so the share of scores there tells
how many strangers there are (as in Storey, "A direct approach to false discovery rates", JRSS B 2002), and
taking them out of the distribution of all scores leaves that of the right person:

    genuine(t) = (all(t) - share * strangers(t)) / (1 - share),  share = all(q) / strangers(q), q: their upper quartile

A score without such strangers has no distribution of its faults. There, the share of all portraits below the threshold
bounds the share of good ones."""

import numpy as np


def stranger_share(scores: np.ndarray, impostors: np.ndarray) -> float:
    """The share of scores [n] that are strangers', judged by how impostors [m] score; 0 to 1."""
    if not len(scores):
        return 0.0
    quartile = np.quantile(impostors, 0.75)
    return float(min(1, (scores < quartile).mean() / max((impostors < quartile).mean(), 1e-9)))


def false_reject_rate(
    thresholds: np.ndarray | float, scores: np.ndarray, impostors: np.ndarray | None = None
) -> np.ndarray:
    """Estimated share of good portraits whose score is below each threshold, from the scores [n] of all and, if there
    are any, those of impostors [m]; without impostors an upper bound."""
    scores = np.sort(scores).astype(float)
    grid = np.union1d(scores, thresholds)
    share = _below(grid, scores)
    if impostors is not None and len(impostors):
        strangers = stranger_share(scores, impostors)
        share = (share - strangers * _below(grid, np.sort(impostors))) / max(1 - strangers, 1e-9)
        share = np.maximum.accumulate(np.clip(share, 0, 1))
    return share[np.searchsorted(grid, thresholds)]


def false_accept_rate(threshold: float, impostors: np.ndarray) -> float:
    """Share of impostors' scores that are not below the threshold."""
    return float((impostors >= threshold).mean())


def threshold_at(rate: float, scores: np.ndarray, impostors: np.ndarray | None = None) -> float:
    """The highest score below which at most this share of good portraits lies, by `false_reject_rate`."""
    candidates = np.unique(scores)
    fit = false_reject_rate(candidates, scores, impostors) <= rate
    return float(candidates[np.flatnonzero(fit)[-1]])


def _below(thresholds: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    return np.searchsorted(ordered, thresholds, side="left") / max(len(ordered), 1)
