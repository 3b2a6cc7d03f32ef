"""Intervals that know that pairs of one person are not independent: whole persons are drawn, not rows."""

import numpy as np

from data.keyed import generator

DRAWS_AT_ONCE = 2**22  # 32 MB of indices


def clustered_interval(
    values: np.ndarray, clusters: np.ndarray, *key, replicates: int = 1000, level: float = 0.95
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of the mean of `values` [n], drawing clusters with replacement (Davison and Hinkley
    1997, 3.8).

    `clusters` [n] names each value's cluster. The draws depend on `key` and the number of clusters only, so that two
    models scored on the same rows are drawn alike and can be compared in pairs. None with fewer than two clusters."""
    _, member = np.unique(np.asarray(clusters, str), return_inverse=True)
    count = int(member.max()) + 1 if len(member) else 0
    if count < 2:
        return None
    sums = np.bincount(member, np.asarray(values, np.float64), count)
    sizes = np.bincount(member, minlength=count)
    rng = generator(*key)
    means = np.empty(replicates)
    step = max(1, DRAWS_AT_ONCE // count)
    for start in range(0, replicates, step):
        drawn = rng.integers(0, count, (min(step, replicates - start), count))
        means[start : start + step] = sums[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
