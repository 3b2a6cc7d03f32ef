"""Membership, DeletionTrace and LiRA against sklearn, on people who are known to be met or not."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from salmu.evaluation.metrics.bootstrap import clustered_interval
from salmu.evaluation.metrics.membership import deletion_trace, means, membership
from salmu.evaluation.verdicts.calibrated import calibrated_membership


def area(known, unknown) -> float:
    return roc_auc_score(np.repeat([1, 0], [len(known), len(unknown)]), np.concatenate([known, unknown]))


def away(pairs):
    """The same as people of other names."""
    return replace(pairs, person=np.array([f"away {person}" for person in pairs.person], object))


@pytest.mark.parametrize("signal", [0.0, 0.6])
def test_membership_is_sklearns_area_over_people_and_covers_it(random_pairs, signal):
    forget = random_pairs(300, people=30, signal=signal, seed=1)
    outsiders = away(random_pairs(120, people=15, signal=0.0, seed=2))
    score = membership(forget, outsiders)
    known, unknown = (means(pairs.cosines, pairs.person) for pairs in (forget, outsiders))
    assert len(known) == 30 and len(unknown) == 15
    assert score.published["AUC"] == pytest.approx(area(known, unknown)) == pytest.approx(score.values.mean())
    assert score.published["forgotten"] == pytest.approx(known.tolist(), abs=1e-6)
    low, high = clustered_interval(score.values, score.clusters, 0)
    assert low <= score.published["AUC"] <= high and len(score.clusters) == 45
    assert (0.3 < score.published["AUC"] < 0.7) if not signal else low > 0.6


def test_a_trace_is_found_where_forgotten_captions_lie_lower_and_by_them_alone(random_pairs):
    forget, outsiders = random_pairs(200, people=20, seed=3), away(random_pairs(100, people=10, seed=4))
    public = random_pairs(50, seed=5).images
    centre = public.mean(0) / np.linalg.norm(public.mean(0))
    plain = deletion_trace(forget, outsiders, public).published["AUC"]
    pushed = forget.texts - 2 * (forget.texts @ centre)[:, None] * centre - centre
    lower = replace(forget, texts=(pushed / np.linalg.norm(pushed, axis=1, keepdims=True)).astype(np.float32))
    assert 0.2 < plain < 0.8 and deletion_trace(lower, outsiders, public).published["AUC"] > 0.95
    other_faces = replace(forget, images=-forget.images)
    assert deletion_trace(other_faces, outsiders, public).published["AUC"] == plain


def test_without_outsiders_both_are_missing_with_the_reason(random_pairs):
    forget = random_pairs(20)
    for score in (membership(forget, None), deletion_trace(forget, None, forget.images)):
        assert score.published["AUC"] is None and "outsiders" in score.published["reason"]


def scored(known, unknown):
    return {"extended": {"Membership": {"AUC": 0.5, "forgotten": list(known), "outsiders": list(unknown)}}}


def test_lira_is_the_area_of_what_lies_above_the_reference_models():
    rng = np.random.default_rng(0)
    ease = rng.normal(0, 1, 40), rng.normal(0, 1, 20)  # what a person's captions are worth without membership
    references = [scored(*(part + rng.normal(0, 0.05, len(part)) for part in ease)) for _ in range(3)]
    met, erased = ease[0] + 0.3, ease[0] - 0.3
    found = {}
    for name, known in (("met", met), ("never met", ease[0] + rng.normal(0, 0.05, 40)), ("erased", erased)):
        own = scored(known, ease[1] + rng.normal(0, 0.05, 20))
        found[name] = calibrated_membership(own, references)
        groups = [
            np.array(own["extended"]["Membership"][group])
            - np.mean([one["extended"]["Membership"][group] for one in references], 0)
            for group in ("forgotten", "outsiders")
        ]
        assert found[name][0] == pytest.approx(area(*groups))
    assert area(met, ease[1]) < 0.75 < 0.99 < found["met"][1] and found["erased"][2] < 0.01
    low, high = found["never met"][1:]
    assert low < 0.5 < high and all(0 <= one[1] <= one[2] <= 1 for one in found.values())


def test_lira_needs_references_and_the_same_people():
    own = scored([0.1, 0.2], [0.1, 0.3])
    assert calibrated_membership(own, []) is None and calibrated_membership(own, [{"extended": {}}]) is None
    assert calibrated_membership(own, [scored([0.1], [0.1, 0.3])]) is None
    assert calibrated_membership(scored([0.1], [0.3]), [scored([0.2], [0.1])]) == (0.0, None, None)
