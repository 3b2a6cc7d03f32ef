"""Intervals that know that pairs of one person are not independent: whole persons are drawn, not rows."""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from salmu.data.keyed import generator

DRAWS_AT_ONCE = 2**22  # 32 MB of indices
Interval = tuple[float, float]


class Sums(NamedTuple):
    """What a bootstrap needs of a metric: sum of its values and number of rows of each cluster, clusters by name."""

    sums: np.ndarray
    rows: np.ndarray

    @property
    def mean(self) -> float:
        return float(np.sum(self.sums) / np.sum(self.rows))


def by_cluster(values: np.ndarray, clusters: np.ndarray) -> Sums:
    """`values` [n] added up over `clusters` [n], the name of each value's cluster."""
    names = np.asarray(clusters)
    if names.dtype == object:
        names = names.astype(str)
    distinct, member = np.unique(names, return_inverse=True)
    return Sums(
        np.bincount(member, np.asarray(values, np.float64), len(distinct)), np.bincount(member, minlength=len(distinct))
    )


def replicates_of(metric: Sums, *key, other: Sums | None = None, replicates: int = 1000) -> np.ndarray | None:
    """The metric's mean in each bootstrap replicate [replicates], drawing clusters with replacement; with `other`, its
    difference from that of another model on the same rows.

    The draws depend on `key` and the number of clusters only, so that two models are drawn alike, in pairs. None with
    fewer than two clusters."""
    count = len(metric.rows)
    if count < 2:
        return None
    rng = generator(*key)
    means = np.empty(replicates)
    step = max(1, DRAWS_AT_ONCE // count)
    for start in range(0, replicates, step):
        drawn = rng.integers(0, count, (min(step, replicates - start), count))
        found = metric.sums[drawn].sum(1) / metric.rows[drawn].sum(1)
        if other is not None:
            found -= other.sums[drawn].sum(1) / other.rows[drawn].sum(1)
        means[start : start + step] = found
    return means


def interval(metric: Sums, *key, other: Sums | None = None, replicates: int = 1000, level: float = 0.95):
    """Expanded percentile bootstrap interval of a metric's mean, or of its difference from that of another model; see
    `replicates_of` and `bounds_of`. Returns (low, high), or None with fewer than two clusters."""
    means = replicates_of(metric, *key, other=other, replicates=replicates)
    return None if means is None else bounds_of(means, len(metric.rows), level)


def bounds_of(means: np.ndarray, clusters: int, level: float) -> Interval:
    """The central interval of bootstrap replicates of so many clusters, expanded (Hesterberg 2015, section 5.1).

    The percentile interval is too narrow for few clusters: it takes the normal's quantiles where Student's belong, and
    the variance of a sample where that of the population belongs. Both are made good in the level of the quantiles.
    benchmarks/coverage.py says how often intervals of both kinds hold the true value."""
    outside = ndtr(math.sqrt(clusters / (clusters - 1)) * stdtrit(clusters - 1, (1 - level) / 2))
    low, high = np.quantile(means, [outside, 1 - outside])
    return float(low), float(high)


def tail(means: np.ndarray, clusters: int, bound: float) -> float:
    """The p-value of the one-sided test that the mean is at least `bound`, from bootstrap replicates: the least level
    at which the interval of `bounds_of` ends below it."""
    share = (1 + int((means >= bound).sum())) / (1 + len(means))
    return float(stdtr(clusters - 1, ndtri(share) * math.sqrt((clusters - 1) / clusters)))


def clustered_interval(
    values: np.ndarray, clusters: np.ndarray, *key, replicates: int = 1000, level: float = 0.95
) -> Interval | None:
    """The interval of the mean of `values` [n]; see `by_cluster` and `interval`."""
    return interval(by_cluster(values, clusters), *key, replicates=replicates, level=level)
