"""LiRA: membership by scores that are set against those of reference models.

A person's mean cosine says more about the person than about membership: some captions fit any portrait. A model that
never saw the person's forget pairs tells how much (Carlini et al., "Membership Inference Attacks From First
Principles", IEEE S&P 2022, section VI: offline attack, one variance for all). Where a run has Retrained models, they
are such models, and a person's score is what lies above their mean."""

from typing import Any

import numpy as np

from salmu.data.keyed import generator
from salmu.evaluation.metrics.bootstrap import bounds_of
from salmu.evaluation.metrics.score import drawn_by, possible


def calibrated_membership(
    results: dict[str, Any], references: list[dict[str, Any]]
) -> tuple[float, float | None, float | None] | None:
    """Area under the ROC curve by which scores against the reference models tell forgotten people from outsiders, with
    its 95 % interval (people of both kinds drawn with replacement). 0.5 is what an exact answer has; 1: all forgotten
    people score higher than expected, 0: lower.

    Takes result files. None where there is no reference, or one of the files has no scores of the same people."""
    own, *theirs = (file.get("extended", {}).get("Membership", {}) for file in (results, *references))
    if not references or not all(part.get("forgotten") and part.get("outsiders") for part in (own, *theirs)):
        return None
    groups = []
    for group in ("forgotten", "outsiders"):
        if len({len(part[group]) for part in (own, *theirs)}) > 1:
            return None
        groups.append(np.array(own[group]) - np.mean([part[group] for part in theirs], 0))
    if any(drawn_by(file) != drawn_by(results) for file in references):
        return None
    known, unknown = groups
    beaten = (known[:, None] > unknown[None, :]) + (known[:, None] == unknown[None, :]) / 2
    area = float(beaten.mean())
    if min(len(known), len(unknown)) < 2:
        return area, None, None
    about = drawn_by(results)
    rng = generator(about["seed"], "bootstrap", "LiRA")
    areas = np.empty(about["replicates"])
    for number in range(len(areas)):
        one, other = (rng.integers(0, len(group), len(group)) for group in groups)
        areas[number] = beaten[np.ix_(one, other)].mean()
    return area, *possible("Membership", bounds_of(areas, min(len(known), len(unknown)), 0.95))
