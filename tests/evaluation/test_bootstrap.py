"""The intervals cover where pairs of one person are alike, and an interval over rows would not."""

import numpy as np
import pytest
import scipy.stats

from salmu.evaluation.metrics.bootstrap import (
    Sums,
    bounds_of,
    by_cluster,
    clustered_interval,
    interval,
    replicates_of,
    tail,
)


def test_intervals_cover_the_true_mean_although_rows_of_a_cluster_are_alike():
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(30), 20)
    covered = {"clustered": 0, "by row": 0}
    for trial in range(200):
        values = rng.normal(size=30)[clusters] + 0.3 * rng.normal(size=600)  # true mean 0
        for kind, groups in (("clustered", clusters), ("by row", np.arange(600))):
            low, high = clustered_interval(values, groups, trial, replicates=200)
            covered[kind] += low <= 0 <= high
    assert 0.9 <= covered["clustered"] / 200 <= 0.99
    assert covered["by row"] / 200 < 0.6


def test_interval_is_that_of_the_mean_and_repeats():
    values, clusters = np.random.default_rng(1).normal(5, 1, 400), np.arange(400)
    low, high = clustered_interval(values, clusters, "key")
    assert (low, high) == clustered_interval(values, clusters, "key") != clustered_interval(values, clusters, "other")
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)
    assert low < values.mean() < high


def test_clusters_count_by_name_not_by_place():
    values = np.array([0.0, 1, 0, 1])
    low, high = clustered_interval(values, np.array(["a", "b", "a", "b"]), 0)
    assert low < 0 < 1 < high  # two people who differ tell nothing
    assert clustered_interval(values, np.array(["a", "a", "b", "b"]), 0) == (0.5, 0.5)
    assert clustered_interval(values, np.array(["a"] * 4), 0) is None
    assert clustered_interval(values[:0], values[:0], 0) is None


def test_a_difference_is_drawn_in_pairs():
    """Two models that differ by little on the same persons: the paired interval sees it, their own intervals do not."""
    rng, clusters = np.random.default_rng(2), np.repeat(np.arange(40), 10)
    one = rng.normal(size=40)[clusters]
    other = one + 0.05 + 0.01 * rng.normal(size=400)
    first, second = by_cluster(one, clusters), by_cluster(other, clusters)
    low, high = interval(second, "key", other=first)
    assert 0.04 < low < high < 0.06 and second.mean - first.mean == pytest.approx(0.05, abs=0.01)
    assert interval(first, "key", other=first) == (0, 0)
    alone = interval(first, "key")
    assert alone == clustered_interval(one, clusters, "key") and alone[1] - alone[0] > 0.3


def test_a_paired_interval_is_scipys():
    rng = np.random.default_rng(4)
    one, other = rng.normal(size=60), rng.normal(0.3, 1, size=60)
    judge = scipy.stats.bootstrap(
        (one - other,), np.mean, n_resamples=4000, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    rows = np.arange(60)
    found = interval(by_cluster(one, rows), "key", other=by_cluster(other, rows), replicates=4000)
    assert found == pytest.approx(tuple(judge), abs=0.04)


@pytest.mark.parametrize("law", ["normal", "exponential"])
def test_a_dozen_people_are_enough_and_the_interval_is_not_absurd(law):
    """Beside Student's, which is exact for normal values and too narrow for exponential ones."""
    rng, ratios, held = np.random.default_rng(5), [], {"ours": 0, "student": 0}
    for trial in range(400):
        values = rng.normal(1, 1, 12) if law == "normal" else rng.exponential(1, 12)
        low, high = clustered_interval(values, np.arange(12), trial, replicates=500)
        judge = scipy.stats.t.interval(0.95, 11, values.mean(), values.std(ddof=1) / np.sqrt(12))
        ratios.append((high - low) / (judge[1] - judge[0]))
        for kind, (first, last) in {"ours": (low, high), "student": judge}.items():
            held[kind] += (first <= 1 <= last) / 400
    assert 0.91 <= held["ours"] <= 0.99 and held["ours"] > held["student"]
    assert 1.1 < np.mean(ratios) < 1.4


def test_the_interval_is_longer_where_the_values_have_a_long_tail():
    values = np.array([0.0] * 17 + [1, 2, 3])
    low, high = clustered_interval(values, np.arange(20), "key")
    assert high - values.mean() > 1.2 * (values.mean() - low)
    assert clustered_interval(-values, np.arange(20), "key") == pytest.approx((-high, -low))


@pytest.mark.parametrize("clusters", [8, 40])
def test_the_tail_is_the_level_at_which_the_interval_ends_at_the_bound(clusters):
    sums = Sums(np.random.default_rng(6).normal(0.2, 1, clusters), np.ones(clusters))
    means = replicates_of(sums, "key", replicates=4000)
    for p in (0.05, 0.01):
        low, high = bounds_of(means, clusters, 1 - 2 * p)
        assert tail(means, clusters, high) == pytest.approx(p, rel=1e-6)
        assert tail(-means, clusters, -low) == pytest.approx(p, rel=1e-6)
    assert 0 < tail(means, clusters, means.max() + 1) < 0.02 and tail(means, clusters, means.min() - 1) > 0.95
    levels = [tail(means, clusters, bound) for bound in np.linspace(means.min() - 1, means.max() + 1, 200)]
    assert levels == sorted(levels, reverse=True)
    assert [tail(np.ones(99), clusters, bound) for bound in (0.9, 1.1)] == [1, 0.01]  # everybody alike
