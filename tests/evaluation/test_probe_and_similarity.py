"""ACS and the mean cosines."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.model_selection import train_test_split

from salmu.data.errors import UserError
from salmu.data.keyed import generator, integer
from salmu.evaluation.metrics.matching import matched_partner
from salmu.evaluation.metrics.probe import association_classification, derangement, mean_association
from salmu.evaluation.metrics.similarity import core_association, mean_similarity


@given(st.integers(2, 300), st.integers(0, 5))
def test_derangement_moves_everyone(count, key):
    order = derangement(count, key)
    assert sorted(order) == list(range(count)) and not (order == np.arange(count)).any()
    assert (order == derangement(count, key)).all()


def test_probe_finds_associations_where_there_are_any(random_pairs):
    assert association_classification(random_pairs(600, signal=3.0), 0).published["acs_accuracy"] > 0.95
    assert association_classification(random_pairs(600, signal=0.0), 0).published["acs_accuracy"] == pytest.approx(
        0.5, abs=0.08
    )


def test_probe_gives_the_same_number_again_and_tests_on_half_of_the_pairs(random_pairs):
    pairs = random_pairs(101, signal=0.5)
    one, again, other = (association_classification(pairs, seed) for seed in (3, 3, 4))
    assert one.published == again.published and (one.values == again.values).all()
    assert len(one.values) == 101 and (one.values != other.values).any()


def minimised(features, sign):
    """The published formula, minimised by scipy: log loss + |w|^2 / 2 on standardised features."""

    def loss(w):
        return np.logaddexp(0, -sign * (features @ w[1:] + w[0])).sum() + w[1:] @ w[1:] / 2

    return minimize(loss, np.zeros(features.shape[1] + 1), tol=1e-8).x


def test_probe_is_the_penalised_logistic_regression_by_its_formula(random_pairs):
    pairs = random_pairs(200, width=8, people=20, signal=0.8)
    partner = derangement(200, 5, "ACS", "shuffle")
    features = np.concatenate([pairs.images * pairs.texts, pairs.images * pairs.texts[partner]]).astype(float)
    sign = np.repeat([1, -1], 200)
    halves = integer(5, "ACS", "halves", bits=32)
    fit, test = train_test_split(np.arange(400), test_size=0.5, stratify=sign, random_state=halves)
    features = (features - features[fit].mean(0)) / features[fit].std(0)
    w = minimised(features[fit], sign[fit])
    right = np.sign(features[test] @ w[1:] + w[0]) == sign[test]
    score = association_classification(pairs, 5)
    assert (score.values == right).mean() > 0.985 and 0.6 < right.mean() < 1
    assert (score.clusters == np.tile(pairs.person, 2)[test]).all()


@pytest.mark.parametrize("matched", [False, True])
def test_the_mean_of_draws_has_each_person_on_one_side(random_pairs, matched):
    """One draw by the formula: people, not rows, are halved, and captions are shuffled within each half."""
    pairs, metric = random_pairs(200, width=8, people=20, signal=0.8), "ACS_matched" if matched else "ACS_mean"
    people = np.unique(pairs.person.astype(str))
    known = np.isin(pairs.person.astype(str), people[generator(5, metric, "people", 0).permutation(20)[:10]])
    halves = []
    for half, chosen in enumerate((known, ~known)):
        part, key = pairs.rows(np.flatnonzero(chosen)), (5, metric, "shuffle", 0, half)
        partner = matched_partner(part, *key)[0] if matched else derangement(len(part), *key)
        halves.append(np.concatenate([part.images * part.texts, part.images * part.texts[partner]]).astype(float))
    (fit, test), signs = halves, [np.repeat([1, -1], len(part) // 2) for part in halves]
    w = minimised((fit - fit.mean(0)) / fit.std(0), signs[0])
    right = np.sign((test - fit.mean(0)) / fit.std(0) @ w[1:] + w[0]) == signs[1]
    score = mean_association(pairs, 5, 1, matched)
    assert (score.values == right).mean() > 0.985 and set(score.clusters) == set(pairs.person[~known])


def test_the_mean_of_draws_tells_nothing_where_there_is_nothing(random_pairs):
    """The single draw is biased below one half, since an image lies in both classes; people apart are not."""
    found = [mean_association(random_pairs(400, people=40, signal=0.0, seed=seed), seed, 5) for seed in range(6)]
    assert np.mean([one.published["acs_accuracy"] for one in found]) == pytest.approx(0.5, abs=0.02)
    assert found[0].published["draws"] == 5 and found[0].values.mean() == found[0].published["acs_accuracy"]
    assert mean_association(random_pairs(6, people=3), 0, 5).published["reason"] == "fewer than 4 people"


def test_mean_similarity_is_the_mean_of_sklearns_cosines(random_pairs):
    pairs = random_pairs(40)
    expected = np.diag(cosine_similarity(pairs.images, pairs.texts))
    score = mean_similarity("AssocStr", pairs, with_scores=True)
    assert score.published["mean"] == pytest.approx(expected.mean(), abs=1e-6)
    assert score.published["scores"] == pytest.approx(expected.tolist(), abs=2e-6)


def test_core_association_takes_the_better_order_of_name_and_value(random_pairs):
    pairs = random_pairs(30)
    rng = np.random.default_rng(2)
    known = {
        text: rng.normal(size=16)
        for name, value in zip(pairs.name, pairs.value, strict=True)
        for text in (f"{name} {value}", f"{value} {name}")
    }
    known = {text: row / np.linalg.norm(row) for text, row in known.items()}
    expected = [
        max(image @ known[f"{name} {value}"], image @ known[f"{value} {name}"])
        for image, name, value in zip(pairs.images, pairs.name, pairs.value, strict=True)
    ]
    score = core_association(pairs, lambda texts: np.array([known[text] for text in texts]))
    assert score.values == pytest.approx(expected, abs=1e-6)
    with pytest.raises(UserError, match="1 forget pairs have no value, 00000000_000_ar-1.00.jpg"):
        core_association(replace(pairs, value=np.array([None, *pairs.value[1:]], object)), None)


@pytest.mark.parametrize(
    "measure",
    [
        lambda pairs: mean_similarity("InterIdSim", pairs),
        lambda pairs: core_association(pairs, None),
        lambda pairs: association_classification(pairs, 0),
    ],
)
def test_no_rows_give_null_with_a_reason(random_pairs, measure):
    published = measure(random_pairs(3).rows(np.arange(0))).published
    assert [value for key, value in published.items() if key != "reason"] == [None] and published["reason"]
