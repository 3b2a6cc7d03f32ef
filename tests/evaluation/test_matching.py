"""Wrong partners, and the metrics that need them: ACS_matched and AssocAUC against sklearn."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from salmu.evaluation.metrics.areas import share_below
from salmu.evaluation.metrics.association import association_auc
from salmu.evaluation.metrics.bootstrap import clustered_interval
from salmu.evaluation.metrics.matching import matched_partner
from salmu.evaluation.metrics.probe import association_classification, mean_association


def test_a_partner_is_another_person_of_the_same_gender_and_country(random_pairs):
    pairs = random_pairs(240, people=24)  # four groups of six persons
    partner, levels = matched_partner(pairs, "key")
    assert sorted(partner) == list(range(240)) and levels["gender and country"] == 240
    assert not (pairs.person == pairs.person[partner]).any()
    assert (pairs.gender == pairs.gender[partner]).all() and (pairs.country == pairs.country[partner]).all()
    assert (partner == matched_partner(pairs, "key")[0]).all() and (partner != matched_partner(pairs, "other")[0]).any()


@given(st.lists(st.integers(0, 5), min_size=4, max_size=60))
def test_everyone_gets_a_partner_however_uneven_the_groups(people):
    from salmu.evaluation.encoding.pairs import Pairs

    count, number = len(people), np.array(people)
    strings = {name: np.array(["x"] * count, object) for name in ("file_name", "text", "identity", "name", "field")}
    strings |= {name: np.array(["x"] * count, object) for name in ("value", "age_group")}
    pairs = Pairs(
        **strings,
        person=number.astype(str).astype(object),
        gender=(number % 2).astype(str).astype(object),
        country=(number % 3).astype(str).astype(object),
        images=np.zeros((count, 2)),
        texts=np.zeros((count, 2)),
    )
    partner, levels = matched_partner(pairs, "key")
    assert sorted(partner) == list(range(count)) and sum(levels.values()) == count
    if 2 * np.bincount(number).max() <= count and levels["anyone"] == count:
        assert not (pairs.person == pairs.person[partner]).any()


def test_area_and_rate_are_sklearns(random_pairs):
    pairs = random_pairs(400, people=24, signal=0.4)
    score = association_auc(pairs, seed=0)
    strangers = np.einsum("nd,nd->n", pairs.images, pairs.texts[matched_partner(pairs, 0, "AssocAUC")[0]])
    labels, cosines = np.repeat([1, 0], 400), np.concatenate([pairs.cosines, strangers])
    assert score.published["AUC"] == pytest.approx(roc_auc_score(labels, cosines), abs=1e-6)
    assert score.values.mean() == pytest.approx(score.published["AUC"])
    false, true, _ = roc_curve(labels, cosines, drop_intermediate=False)
    assert score.published["TPR@1%FPR"] == pytest.approx(true[false <= 0.01].max())


def test_ties_count_half():
    assert share_below(np.array([1.0, 2.0]), np.array([0.0, 1.0, 1.0, 3.0])).tolist() == [0.5, 0.75]


def test_a_model_that_knows_nothing_is_at_chance_within_an_interval_that_covers(random_pairs):
    covered = 0
    for seed in range(60):
        score = association_auc(random_pairs(120, people=40, signal=0.0, seed=seed), seed)
        low, high = clustered_interval(score.values, score.clusters, seed, replicates=200)
        covered += low <= 0.5 <= high
    assert covered >= 50


def test_matching_takes_away_what_a_name_tells_of_gender(random_pairs):
    """Images and texts share a direction by gender and nothing else: ACS sees it, ACS_matched and AssocAUC do not."""
    pairs = random_pairs(1200, width=8, people=60, signal=0.0)
    side = np.where(pairs.gender == "male", 1.0, -1.0)[:, None] * np.eye(8)[:1] * 2

    def toward(rows):
        rows = rows + side
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    pairs = replace(pairs, images=toward(pairs.images), texts=toward(pairs.texts))
    assert association_classification(pairs, 0).published["acs_accuracy"] > 0.65
    assert mean_association(pairs, 0, 3).published["acs_accuracy"] > 0.65
    matched = mean_association(pairs, 0, 3, matched=True).published
    assert matched["acs_accuracy"] == pytest.approx(0.5, abs=0.06) and sum(matched["matched_by"].values()) == 3 * 1200
    assert association_auc(pairs, 0).published["AUC"] == pytest.approx(0.5, abs=0.05)
