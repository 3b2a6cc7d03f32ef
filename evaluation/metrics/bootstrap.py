"""Intervals that know that pairs of one person are not independent: whole persons are drawn, not rows."""

import math
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from salmu.data.keyed import generator

DRAWS_AT_ONCE = 2**22  # 32 MB of indices
Interval = tuple[float, float]


class Sums(NamedTuple):
    """What a bootstrap needs of a metric: sum of its values and number of rows of each cluster, clusters by name."""

    sums: np.ndarray
    rows: np.ndarray

    @classmethod
    def read(cls, clusters: dict[str, list]) -> "Sums":
        """From a result file, which keeps the names to itself."""
        return cls(np.array(clusters["sums"], float), np.array(clusters["rows"]))

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
    """Bootstrap interval of a metric's mean, or of its difference from that of another model; see `replicates_of` and
    `bounds_of`. Returns (low, high), or None with fewer than two clusters."""
    means = replicates_of(metric, *key, other=other, replicates=replicates)
    return None if means is None else bounds_of(means, len(metric.rows), level)


def bounds_of(means: np.ndarray, clusters: int, level: float) -> Interval:
    """The central interval from bootstrap replicates of so many clusters: Student's, longer on the side to which the
    replicates are skewed (Johnson 1978, Hall 1992). benchmarks/coverage.py says how often it holds the true value.

    Quantiles of the replicates are too narrow for few clusters: they are the normal's, where Student's belong. The
    correction for skewness is made outwards only, because clusters that a sample lacks are most often those of the long
    tail. Student's law has half of the usual degrees of freedom, as if people's values had an excess kurtosis of 2,
    which makes their variance half as certain as that of normal values: a dozen people do not tell their kurtosis."""
    shape, quantile = _shape(means, clusters), ndtri((1 + level) / 2)
    below, above = (shape.error * _reach(quantile, shape.freedom, skew) for skew in (-shape.skewness, shape.skewness))
    return float(shape.centre - below), float(shape.centre + above)


def tail(means: np.ndarray, clusters: int, bound: float) -> float:
    """The p-value of the one-sided test that the mean is at least `bound`, from bootstrap replicates: the least level
    at which the interval of `bounds_of` ends below it. From one half on it says only that the bound is too near to rule
    out; it is never less than one in so many replicates."""
    shape, least = _shape(means, clusters), 1 / (1 + len(means))
    if shape.error == 0:
        return 1.0 if shape.centre >= bound else least
    away = (bound - shape.centre) / shape.error

    def beyond(quantile: float) -> float:
        return _reach(quantile, shape.freedom, shape.skewness) - away

    if beyond(0) >= 0:
        return float(stdtr(shape.freedom, beyond(0)))
    furthest = -float(ndtri(least))
    return float(ndtr(-brentq(beyond, 0, furthest))) if beyond(furthest) > 0 else least


class _Shape(NamedTuple):
    """What replicates tell of a mean."""

    centre: float
    error: float  # its standard error
    skewness: float
    freedom: float  # degrees of freedom of Student's law


def _shape(means: np.ndarray, clusters: int) -> _Shape:
    centre, spread = float(means.mean()), float(means.std())
    if spread < 1e-12:  # all clusters are alike
        return _Shape(centre, 0.0, 0.0, 1.0)
    skewness = float((((means - centre) / spread) ** 3).mean())
    return _Shape(centre, spread * math.sqrt(clusters / (clusters - 1)), skewness, max((clusters - 1) / 2, 1.0))


def _reach(quantile: float, freedom: float, skewness: float) -> float:
    """How many standard errors an interval reaches on the side of this skewness, at a quantile of the normal law."""
    return float(stdtrit(freedom, ndtr(quantile))) + max(skewness, 0.0) * (2 * quantile**2 + 1) / 6


def clustered_interval(
    values: np.ndarray, clusters: np.ndarray, *key, replicates: int = 1000, level: float = 0.95
) -> Interval | None:
    """The interval of the mean of `values` [n]; see `by_cluster` and `interval`."""
    return interval(by_cluster(values, clusters), *key, replicates=replicates, level=level)
