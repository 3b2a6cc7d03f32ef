"""What every metric returns, and where the headline numbers stand in a result file."""

from typing import Any, NamedTuple

import numpy as np

from salmu.evaluation.metrics.bootstrap import Sums
from salmu.evaluation.metrics.bootstrap import interval as bootstrap

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
# metric -> statistic, under "extended"; all of them should reach Clean's value
EXTENDED = {
    "ValueMRR": "MRR",
    "NameMRR": "MRR",
    "ACS_matched": "acs_accuracy",
    "MIA": "AUC",
    "ParaMRR": "MRR",
    "ParaStr": "mean",
    "ImgRes": "accuracy",
}
METRICS = (*PUBLISHED, *EXTENDED)


class Score(NamedTuple):
    """A metric of one model. The headline number is the mean of `values`, from which its interval is drawn."""

    published: dict[str, Any]  # as it stands in the result file
    values: np.ndarray  # one a row that was measured
    clusters: np.ndarray  # the person, or the image, that each row belongs to
    chance: float | None = None  # expected headline number of a model that knows nothing


def missing(metric: str, reason: str) -> Score:
    """The score where there is nothing to measure: null, with the reason."""
    statistic = EXTENDED[metric] if metric in EXTENDED else PUBLISHED[metric][2]
    return Score({statistic: None, "reason": reason}, np.zeros(0), np.zeros(0))


def rounded(values: np.ndarray) -> list[float]:
    """For the result file: six decimals, which is what float32 cosines are good for."""
    return np.round(np.asarray(values, np.float64), 6).tolist()


def target(metric: str) -> str:
    """The reference model whose value the metric should have: Clean's for what is to be forgotten, Compromised's for
    what is to be kept."""
    return "compromised" if metric in PUBLISHED and PUBLISHED[metric][0] == "utility" else "clean"


def headline(results: dict, metric: str) -> float | None:
    """The headline number of a metric in a result file, ours or the published evaluator's; None if not measured.

    GenKnow: the accuracy on the zero-shot set that was used, ImageNet-1k or another."""
    if metric in EXTENDED:
        return results.get("extended", {}).get(metric, {}).get(EXTENDED[metric])
    group, key, statistic = PUBLISHED[metric]
    section = results.get(group, {}).get(key, {})
    value = section.get("accuracy", section.get(statistic)) if metric == "GenKnow" else section.get(statistic)
    return None if value is None or (metric == "GenKnow" and value < 0) else value


def interval(results: dict, metric: str) -> tuple[float, float] | None:
    """The 95 % interval of a metric's headline number, where the result file has one."""
    bounds = results.get("extended", {}).get("intervals", {}).get(metric)
    return tuple(bounds) if bounds else None


def difference(results: dict, reference: dict, metric: str) -> tuple[float, float | None, float | None] | None:
    """A metric's headline number minus that of a reference model, and its paired 95 % interval: the same persons are
    drawn for both.

    The interval is (None, None) where a result file lacks the sums by person, or they are of other data or settings;
    None if one of the models was not measured."""
    now, before = headline(results, metric), headline(reference, metric)
    if now is None or before is None:
        return None
    one, other = (_sums(file, metric) for file in (results, reference))
    about, theirs = (_drawn_by(file) for file in (results, reference))
    if one is None or other is None or about != theirs or not np.array_equal(one.rows, other.rows):
        return now - before, None, None
    bounds = bootstrap(one, about["seed"], "bootstrap", metric, other=other, replicates=about["replicates"])
    return now - before, *(bounds or (None, None))


def _sums(results: dict, metric: str) -> Sums | None:
    found = results.get("extended", {}).get("clusters", {}).get(metric)
    return Sums(np.array(found["sums"], float), np.array(found["rows"])) if found else None


def _drawn_by(results: dict) -> dict[str, Any]:
    extended = results.get("extended", {})
    settings = extended.get("settings", {})
    return {
        "seed": settings.get("seed", 0),
        "replicates": settings.get("bootstrap_replicates", 1000),
        "dataset": extended.get("dataset_digest"),
    }
