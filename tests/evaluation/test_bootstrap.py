"""The intervals cover where pairs of one person are alike, and an interval over rows would not."""

import numpy as np
import pytest

from evaluation.metrics.bootstrap import clustered_interval


def test_intervals_cover_the_true_mean_although_rows_of_a_cluster_are_alike():
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(30), 20)
    covered = {"clustered": 0, "by row": 0}
    for trial in range(200):
        values = rng.normal(size=30)[clusters] + 0.3 * rng.normal(size=600)  # true mean 0
        for kind, groups in (("clustered", clusters), ("by row", np.arange(600))):
            low, high = clustered_interval(values, groups, trial, replicates=200)
            covered[kind] += low <= 0 <= high
    assert 0.88 <= covered["clustered"] / 200 <= 0.99
    assert covered["by row"] / 200 < 0.6


def test_interval_is_that_of_the_mean_and_repeats():
    values, clusters = np.random.default_rng(1).normal(5, 1, 400), np.arange(400)
    low, high = clustered_interval(values, clusters, "key")
    assert (low, high) == clustered_interval(values, clusters, "key") != clustered_interval(values, clusters, "other")
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)
    assert low < values.mean() < high


def test_clusters_count_by_name_not_by_place():
    values = np.array([0.0, 1, 0, 1])
    assert clustered_interval(values, np.array(["a", "b", "a", "b"]), 0) == (0.0, 1.0)
    assert clustered_interval(values, np.array(["a", "a", "b", "b"]), 0) == (0.5, 0.5)
    assert clustered_interval(values, np.array(["a"] * 4), 0) is None
    assert clustered_interval(values[:0], values[:0], 0) is None
