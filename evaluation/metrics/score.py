"""What every metric returns, and where the ten headline numbers stand in a result file."""

from typing import Any, NamedTuple

import numpy as np

# metric -> (group, key, statistic) in the published JSON layout
PUBLISHED = {
    "RetFail": ("efficacy", "1.1_RetFail", "MRR"),
    "AssocStr": ("efficacy", "1.2_AssocStr", "mean"),
    "ACS": ("efficacy", "1.3_ACS", "acs_accuracy"),
    "IdZSC": ("efficacy", "1.4_IdZSC", "identity_classification_accuracy"),
    "CoreAssoc": ("efficacy", "1.5_CoreAssoc", "mean"),
    "GenKnow": ("utility", "2.1_GenKnow", "ImageNet1k_Accuracy"),
    "InterIdSim": ("utility", "2.2_InterIdSim", "mean"),
    "IntraIdSim": ("utility", "2.3_IntraIdSim", "mean"),
    "VisIdInt": ("utility", "2.4_VisIdInt", "mean"),
    "FragSim": ("utility", "2.5_FragSim", "mean"),
}


class Score(NamedTuple):
    """A metric of one model. The headline number is the mean of `values`, from which its interval is drawn."""

    published: dict[str, Any]  # as it stands in the result file
    values: np.ndarray  # one a row that was measured
    clusters: np.ndarray  # the person, or the class, that each row belongs to
    chance: float | None = None  # expected headline number of a model that knows nothing


def missing(metric: str, reason: str) -> Score:
    """The score where there is nothing to measure: null, with the reason."""
    return Score({PUBLISHED[metric][2]: None, "reason": reason}, np.zeros(0), np.zeros(0))


def rounded(values: np.ndarray) -> list[float]:
    """For the result file: six decimals, which is what float32 cosines are good for."""
    return [round(float(value), 6) for value in values]


def headline(results: dict, metric: str) -> float | None:
    """The headline number of a metric in a result file, ours or the published evaluator's; None if not measured.

    GenKnow: the accuracy on the zero-shot set that was used, ImageNet-1k or another."""
    group, key, statistic = PUBLISHED[metric]
    section = results.get(group, {}).get(key, {})
    value = section.get("accuracy", section.get(statistic)) if metric == "GenKnow" else section.get(statistic)
    return None if value is None or (metric == "GenKnow" and value < 0) else value


def interval(results: dict, metric: str) -> tuple[float, float] | None:
    """The 95 % interval of a metric's headline number, where the result file has one."""
    bounds = results.get("extended", {}).get("intervals", {}).get(metric)
    return tuple(bounds) if bounds else None
