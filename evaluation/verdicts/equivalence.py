"""Is a model as it should be? Tests for equivalence, in pairs and clustered by person.

That a test finds no difference proves nothing. So the question is turned round (two one-sided tests, Schuirmann 1987):
a model counts as equal to its reference in a metric only if the data rule out a difference of more than a margin, above
as well as below. The margins are settings; they come from how far two exact answers differ (see `Margins`)."""

from typing import Any, NamedTuple

import numpy as np

from salmu.evaluation.metrics.bootstrap import Sums, bounds_of, replicates_of, tail
from salmu.evaluation.metrics.score import drawn_by, headline, sums_of

ALPHA = 0.05  # of each one-sided test, over all methods together (Holm 1979)


class Comparison(NamedTuple):
    """A metric of a model minus that of its reference."""

    difference: float
    low: float | None  # 90 % interval, which is what two one-sided tests at 5 % look at; None: no sums by person
    high: float | None
    p: float | None  # that the true difference is as large as the margin, above or below


def compare(results: dict[str, Any], references: list[dict[str, Any]], metric: str, margin: float) -> Comparison | None:
    """A result file against the mean of one or several reference models. None where one was not measured."""
    values = [headline(file, metric) for file in (results, *references)]
    if not references or None in values:
        return None
    difference = values[0] - float(np.mean(values[1:]))
    files = [results, *references]
    sums, about = [sums_of(file, metric) for file in files], drawn_by(results)
    mean, own = mean_in_pairs(sums, files), sums[0]
    found = mean and replicates_of(own, about["seed"], "bootstrap", metric, other=mean, replicates=about["replicates"])
    if found is None:
        return Comparison(difference, None, None, None)
    people = len(own.rows)
    p = max(tail(found, people, margin), tail(-found, people, margin))
    return Comparison(difference, *bounds_of(found, people, 1 - 2 * ALPHA), p)


def mean_in_pairs(sums: list[Sums | None], files: list[dict[str, Any]]) -> Sums | None:
    """The mean of the references' sums by person, for a model and its references in this order. None where their people
    cannot be drawn in pairs: sums are missing, or the result files are of other data or settings."""
    own, *theirs = sums
    if any(one is None or own is None or not np.array_equal(own.rows, one.rows) for one in theirs):
        return None
    if any(drawn_by(file) != drawn_by(files[0]) for file in files):
        return None
    return Sums(np.mean([one.sums for one in theirs], 0), own.rows)


def holm(p_values: list[float]) -> list[float]:
    """p-values adjusted for their number, so that the chance of one wrong finding among them stays below ALPHA."""
    order = np.argsort(p_values, kind="stable")
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, number in enumerate(order.tolist()):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[number]))
        adjusted[number] = largest
    return adjusted
