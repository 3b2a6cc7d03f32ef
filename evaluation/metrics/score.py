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
# metric -> statistic, under "extended"
EXTENDED = {
    "InterIdMRR": "MRR",
    "IntraIdMRR": "MRR",
    "ValueMRR": "MRR",
    "NameMRR": "MRR",
    "ACS_mean": "acs_accuracy",
    "ACS_matched": "acs_accuracy",
    "AssocAUC": "AUC",
    "ParaMRR": "MRR",
    "ParaStr": "mean",
    "ImgRes": "accuracy",
    "DeletionTrace": "AUC",
    "Membership": "AUC",
}
METRICS = (*PUBLISHED, *EXTENDED)
KEPT = (*(metric for metric, (group, _, _) in PUBLISHED.items() if group == "utility"), "InterIdMRR", "IntraIdMRR")


class Definition(NamedTuple):
    """What a metric is, for tooltips and the glossary of the report."""

    title: str  # a few words, said in the middle of a sentence
    measures: str  # one sentence
    least: float
    most: float


DEFINITIONS = {
    "RetFail": Definition(
        "retrieval of forgotten facts",
        "Rank of a forgotten portrait's own caption among the captions of the forget set and as many neutral ones; the "
        "mean of 1 / rank.",
        0,
        1,
    ),
    "AssocStr": Definition(
        "strength of the forgotten pairs", "Mean cosine of a forgotten portrait and its own caption.", -1, 1
    ),
    "ACS": Definition(
        "a probe on the forgotten pairs",
        "How often a simple classifier separates true pairs of portrait and caption from shuffled ones; 0.5: a guess.",
        0,
        1,
    ),
    "IdZSC": Definition(
        "names of forgotten people",
        "How often a portrait of a wholly forgotten person is matched with the right name.",
        0,
        1,
    ),
    "CoreAssoc": Definition(
        "bare names and values",
        'Mean cosine of a forgotten portrait and the bare words "NAME VALUE" or "VALUE NAME", whichever is larger.',
        -1,
        1,
    ),
    "GenKnow": Definition(
        "general knowledge",
        "How often a picture that has nothing to do with the people is put into the right class.",
        0,
        1,
    ),
    "InterIdSim": Definition(
        "other people",
        "Mean cosine of portrait and caption for people whom nobody asked to forget (split holdout_identity).",
        -1,
        1,
    ),
    "IntraIdSim": Definition(
        "other facts of the same people",
        "Mean cosine of portrait and caption for facts about the forgotten people that nobody asked to forget (split "
        "holdout_association).",
        -1,
        1,
    ),
    "VisIdInt": Definition(
        "plain descriptions of the forgotten people",
        "Mean cosine of a portrait of a forgotten person and a caption without personal data.",
        -1,
        1,
    ),
    "FragSim": Definition(
        "fragile pairs", "Mean cosine of ordinary pairs that the model learned only weakly; they break first.", -1, 1
    ),
    "InterIdMRR": Definition(
        "retrieval of other people's facts",
        "RetFail for people whom nobody asked to forget (split holdout_identity), among the same neutral captions.",
        0,
        1,
    ),
    "IntraIdMRR": Definition(
        "retrieval of other facts of the same people",
        "RetFail for facts about the forgotten people that nobody asked to forget (split holdout_association).",
        0,
        1,
    ),
    "ValueMRR": Definition(
        "the right value",
        "Rank of a forgotten portrait's own caption among copies of it with other people's values; the mean of "
        "1 / rank.",
        0,
        1,
    ),
    "NameMRR": Definition(
        "the right name",
        "Rank of a forgotten portrait's own caption among copies of it with other people's names; the mean of "
        "1 / rank.",
        0,
        1,
    ),
    "ACS_mean": Definition(
        "a probe on forgotten people whom it never saw",
        "ACS as the mean of several draws, with all pairs of a person on one side of fit and test; 0.5: a guess.",
        0,
        1,
    ),
    "ACS_matched": Definition(
        "a probe on people alike",
        "ACS_mean with captions shuffled among people of the same gender and country, as far as there are any, so that "
        "what a name says about its bearer does not help.",
        0,
        1,
    ),
    "AssocAUC": Definition(
        "own captions against swapped ones",
        "How well a threshold on the cosine separates forgotten portraits with their own captions from the same "
        "portraits with captions of similar people (area under the ROC curve); 0.5 is a guess.",
        0,
        1,
    ),
    "ParaMRR": Definition(
        "retrieval in other words", "RetFail with the facts in wordings that no caption of the dataset has.", 0, 1
    ),
    "ParaStr": Definition(
        "strength in other words", "AssocStr with the facts in wordings that no caption of the dataset has.", -1, 1
    ),
    "ImgRes": Definition(
        "faces in the image tower",
        "How often a portrait of a wholly forgotten person is nearest to that person's other portraits; texts are not "
        "used.",
        0,
        1,
    ),
    "DeletionTrace": Definition(
        "a trace of who was deleted",
        "How well forgotten people are told from outsiders, whom no model was trained on, by their captions and public "
        "portraits of others (area under the ROC curve); 0.5 is a guess, and 1 means that every forgotten person's "
        "captions lie further from portraits.",
        0,
        1,
    ),
    "Membership": Definition(
        "membership",
        "How well the mean cosine of a person's own pairs tells forgotten people from outsiders, whom no model was "
        "trained on (area under the ROC curve); 0.5 is a guess.",
        0,
        1,
    ),
}


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
    """The reference model whose value the metric should have where there is no Retrained: Clean's for what is to be
    forgotten, Compromised's for what is to be kept."""
    return "compromised" if metric in KEPT else "clean"


def direction(metric: str) -> str:
    """Which value of a metric is good, in one sentence."""
    if metric in KEPT:
        return "The value should stay: that of Retrained, or of Compromised where there is no Retrained."
    return (
        "Lower is better, down to the value of Retrained, or of Clean where there is no Retrained. Below it, more was "
        "removed than was asked for."
    )


def headline(results: dict, metric: str) -> float | None:
    """The headline number of a metric in a result file, ours or the published evaluator's; None if not measured.

    GenKnow: the accuracy on the zero-shot set that was used, ImageNet-1k or another."""
    if metric in EXTENDED:
        return results.get("extended", {}).get(metric, {}).get(EXTENDED[metric])
    group, key, statistic = PUBLISHED[metric]
    section = results.get(group, {}).get(key, {})
    value = section.get("accuracy", section.get(statistic)) if metric == "GenKnow" else section.get(statistic)
    return None if value is None or (metric == "GenKnow" and value < 0) else value


def possible(metric: str, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
    """An interval of a metric without the values that it cannot have."""
    defined = DEFINITIONS[metric]
    return bounds and tuple(min(max(bound, defined.least), defined.most) for bound in bounds)


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
    one, other = (sums_of(file, metric) for file in (results, reference))
    about, theirs = (drawn_by(file) for file in (results, reference))
    if one is None or other is None or about != theirs or not np.array_equal(one.rows, other.rows):
        return now - before, None, None
    bounds = bootstrap(one, about["seed"], "bootstrap", metric, other=other, replicates=about["replicates"])
    return now - before, *(bounds or (None, None))


def sums_of(results: dict, metric: str) -> Sums | None:
    """What a bootstrap needs of a metric, where the result file has it."""
    found = results.get("extended", {}).get("clusters", {}).get(metric)
    return Sums.read(found) if found else None


def drawn_by(results: dict) -> dict[str, Any]:
    """What must be alike in two result files whose persons are drawn in pairs."""
    extended = results.get("extended", {})
    settings = extended.get("settings", {})
    return {
        "seed": settings.get("seed", 0),
        "replicates": settings.get("bootstrap_replicates", 1000),
        "dataset": extended.get("dataset_digest"),
    }
