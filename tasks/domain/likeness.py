"""Do the portraits look like the reference? Two-sample Kolmogorov-Smirnov tests, corrected for their number.

A test needs independent values, but portraits of one person are a cluster. So one portrait, drawn by key, stands for
each person, and similarities are taken of disjoint pairs of people: no value shares a person with another. What is left
to assume is that the reference portraits show as many different people as there are pictures.

Embeddings are compared along principal directions, fitted on both samples together. The pooled sample knows nothing of
which portrait is whose, so under the null hypothesis the labels are still exchangeable given the directions, and the
tests stay exact; directions fitted on the reference alone would favour it, since a small sample varies most along
directions of its own."""

from typing import Any, NamedTuple

import numpy as np

from salmu.data.keyed import generator
from salmu.tasks.domain.sample import SCALARS, Sample

Row = dict[str, Any]


class Test(NamedTuple):
    """One measure in both samples."""

    group: str
    name: str
    ours: np.ndarray  # [n]
    reference: np.ndarray  # [m]


def measures(ours: Sample, reference: Sample, directions: int, most: int, seed: int) -> list[Test]:
    """Everything that is tested: embeddings along their principal directions, similarities between different people,
    and what is a number by itself. At most `most` of our people are looked at."""
    rows = ours.one_each
    if len(rows) > most:
        rows = np.sort(generator(seed, "domain", "people").choice(rows, most, replace=False))
    tests = []
    for group, mine, theirs in (
        ("face embedding", ours.faces[rows], reference.faces),
        ("CLIP embedding", ours.pictures[rows], reference.pictures),
    ):
        pooled = principal(np.concatenate([mine, theirs]).astype(np.float64), directions)
        tests += [
            Test(f"{group}, direction", f"{group}, direction {number + 1}", column[: len(mine)], column[len(mine) :])
            for number, column in enumerate(pooled.T)
        ]
        kinds = (pair_similarities(sample, seed, group) for sample in (mine, theirs))
        tests.append(Test("similarity of two people", f"{group}, similarity of two people", *kinds))
    return tests + [Test("number", name, ours.scalars[name][rows], reference.scalars[name]) for name in SCALARS]


def principal(values: np.ndarray, directions: int) -> np.ndarray:
    """Coordinates [n, k] along the up to `directions` principal directions of values [n, d] that vary at all."""
    left, size, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    vary = size > 1e-6 * max(size[0], 1e-12)
    return (left * size)[:, vary][:, :directions]


def pair_similarities(embeddings: np.ndarray, *key) -> np.ndarray:
    """Cosines [n // 2] of unit embeddings [n, d] in disjoint pairs, drawn by key."""
    order = generator(*key, "domain", "pairs").permutation(len(embeddings))
    half = len(order) // 2
    return (embeddings[order[:half]] * embeddings[order[half : 2 * half]]).sum(axis=1).astype(np.float64)


def compare(tests: list[Test], alpha: float, correction: str) -> list[Row]:
    """For each test its KS statistic (0 to 1, the effect size), the mean difference in standard deviations (ours minus
    reference), the corrected p-value over all tests, and whether it is below alpha."""
    from scipy.stats import ks_2samp

    tests = [test for test in tests if len(test.ours) and len(test.reference)]
    found = [ks_2samp(test.ours, test.reference) for test in tests]
    corrected = correct(np.array([result.pvalue for result in found]), correction)
    return [
        {
            "group": test.group,
            "measure": test.name,
            "KS": round(float(result.statistic), 4),
            "mean difference": round(mean_difference(test.ours, test.reference), 3),
            "p, corrected": float(f"{p:.3g}"),
            "differs": bool(p < alpha),
        }
        for test, result, p in zip(tests, found, corrected, strict=True)
    ]


def correct(p_values: np.ndarray, correction: str) -> np.ndarray:
    """p-values corrected for their number: "holm" (no false alarm in all tests but with probability alpha) or
    "benjamini-hochberg" (at most a share of alpha of the alarms are false)."""
    if correction == "benjamini-hochberg":
        from scipy.stats import false_discovery_control

        return false_discovery_control(p_values) if len(p_values) else p_values
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate(p_values[order] * (len(p_values) - np.arange(len(p_values))))
    return np.minimum(1, stepped)[np.argsort(order)]


def mean_difference(ours: np.ndarray, reference: np.ndarray) -> float:
    """Difference of the means in units of the pooled standard deviation (Cohen's d); 0 where nothing varies."""
    if len(ours) + len(reference) < 3:
        return 0.0
    squares = ((ours - ours.mean()) ** 2).sum() + ((reference - reference.mean()) ** 2).sum()
    deviation = np.sqrt(squares / (len(ours) + len(reference) - 2))
    return float((ours.mean() - reference.mean()) / deviation) if deviation > 0 else 0.0


def smallest_seen(ours: int, reference: int, tests: int, alpha: float) -> float:
    """The KS statistic from which on one of so many tests would be significant (asymptotic, Bonferroni)."""
    return float(min(1, np.sqrt(-np.log(alpha / tests / 2) / 2 * (ours + reference) / (ours * reference))))


def by_group(results: list[Row]) -> list[Row]:
    """How many measures of each group differ, and by how much."""
    table = []
    for group in dict.fromkeys(row["group"] for row in results):
        rows = [row for row in results if row["group"] == group]
        table.append(
            {
                "group": group,
                "tests": len(rows),
                "differ": sum(row["differs"] for row in rows),
                "share": round(float(np.mean([row["differs"] for row in rows])), 3),
                "median KS": round(float(np.median([row["KS"] for row in rows])), 3),
                "largest KS": max(row["KS"] for row in rows),
                "median size of mean difference": round(
                    float(np.median([abs(row["mean difference"]) for row in rows])), 3
                ),
            }
        )
    return table
