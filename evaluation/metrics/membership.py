"""Membership and DeletionTrace: can forgotten people be told from outsiders, whom no model was trained on?

Both compare person with person, so that a person with many portraits counts no more than another. After exact
forgetting there is little to tell: an area far from that of Retrained, on either side, says who is on the list of those
who were deleted, and such a list is personal data too."""

import numpy as np

from salmu.evaluation.encoding.pairs import Pairs
from salmu.evaluation.metrics.areas import share_below
from salmu.evaluation.metrics.bootstrap import by_cluster
from salmu.evaluation.metrics.score import Score, missing, rounded

NO_OUTSIDERS = "the dataset has no split outsiders"


def membership(forget: Pairs, outsiders: Pairs | None) -> Score:
    """Membership: area under the ROC curve by which the mean cosine of a person's pairs tells a forgotten person from
    an outsider. 0.5: nothing to tell; 1: all forgotten people score higher.

    The attacker has portraits and captions of both. The people are of one kind, and only the forgotten ones were
    trained on. `published` holds each person's mean, from which scores against reference models are made (verdicts)."""
    if outsiders is None:
        return missing("Membership", NO_OUTSIDERS)
    return person_area("Membership", forget, forget.cosines, outsiders, outsiders.cosines)


def deletion_trace(forget: Pairs, outsiders: Pairs | None, public: np.ndarray) -> Score:
    """DeletionTrace: how well forgotten people are told from outsiders by their captions and public portraits of others
    alone: the area for the mean cosine of a person's captions with all of `public` [n, d], where a forgotten person is
    expected to lie lower. 0.5: nothing to tell; 1: every forgotten person lies lower."""
    if outsiders is None or not len(public):
        return missing("DeletionTrace", "no public portraits" if outsiders else NO_OUTSIDERS)
    centre = public.mean(0)
    return person_area("DeletionTrace", forget, -(forget.texts @ centre), outsiders, -(outsiders.texts @ centre))


def person_area(metric: str, forget: Pairs, scores: np.ndarray, outsiders: Pairs, others: np.ndarray) -> Score:
    """The area for person against person. `values` of the score are each person's influence on it (DeLong et al. 1988),
    scaled so that their mean is the area."""
    if len(forget) < 1 or len(outsiders) < 1:
        return missing(metric, "no people to compare")
    known, unknown = means(scores, forget.person), means(others, outsiders.person)
    above, below = share_below(known, unknown), 1 - share_below(unknown, known)
    area, people = float(above.mean()), len(known) + len(unknown)
    values = np.concatenate(
        [area + people / len(part) * (found - area) for part, found in ((known, above), (unknown, below))]
    )
    names = np.concatenate([np.unique(pairs.person.astype(str)) for pairs in (forget, outsiders)])
    published = {"AUC": area, "forgotten": rounded(known), "outsiders": rounded(unknown)}
    return Score(published, values, names, 0.5)


def means(values: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Mean of the values of each person, people in the order of their names."""
    found = by_cluster(values, people)
    return found.sums / found.rows
