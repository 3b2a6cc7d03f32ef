"""RetFail, ValueMRR and NameMRR against sklearn, numpy by definition, and theory."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import label_ranking_average_precision_score

from salmu.evaluation.metrics.retrieval import chance, own_rank, retrieval_failure, swapped_captions, swapped_rank

PEOPLE = {
    f"{number:08d}": {
        "name": f"Name {number}",
        "city": f"Town {number}",
        "emails": [f"a{number}@x.org", f"b{number}@x.org"],
    }
    for number in range(10)
}


def by_definition(images, own, pool, own_text, pool_text):
    ranks = []
    for image, caption, text in zip(images, own, own_text, strict=True):
        others = [image @ other for other, other_text in zip(pool, pool_text, strict=True) if other_text != text]
        ranks.append(1 + sum(score > image @ caption for score in others))
    return np.array(ranks)


def test_own_rank_is_the_rank_by_definition(random_pairs):
    pairs, pool = random_pairs(60, signal=0.3), random_pairs(40, seed=1)
    pool_text = pool.text.copy()
    pool_text[:20] = [f"other {row}" for row in range(20)]  # 20 .. 39 equal the captions of rows 20 .. 39
    ranks, sizes = own_rank(pairs.images, pairs.texts, pool.texts, pairs.text, pool_text)
    assert ranks.tolist() == by_definition(pairs.images, pairs.texts, pool.texts, pairs.text, pool_text).tolist()
    assert sizes.tolist() == [40 if 20 <= row < 40 else 41 for row in range(60)]


def test_retrieval_failure_agrees_with_sklearn(random_pairs):
    forget, retain = random_pairs(50, signal=0.5), random_pairs(30, seed=1)
    retain = replace(retain, text=np.array([f"generic {row}" for row in range(30)], object))
    score = retrieval_failure(forget, retain, pool_size=1000, seed=0)
    cosines = forget.images @ np.concatenate([forget.texts, retain.texts]).T
    relevant = np.eye(50, 80, dtype=int)
    assert score.published["MRR"] == pytest.approx(label_ranking_average_precision_score(relevant, cosines), abs=1e-6)
    assert score.published["R@1"] == pytest.approx(np.mean(cosines.argmax(1) == np.arange(50)))
    assert score.published["outcomes"] == [1 + int((row > row[number]).sum()) for number, row in enumerate(cosines)]


def test_pools_have_the_size_asked_for_and_depend_on_the_seed_only(random_pairs):
    forget, retain = random_pairs(50, signal=0.2), random_pairs(30, seed=1)
    one, again, other = (retrieval_failure(forget, retain, pool_size=10, seed=seed) for seed in (0, 0, 1))
    assert one.published == again.published != other.published
    assert max(one.published["outcomes"]) <= 21


def test_a_model_that_knows_nothing_scores_chance(random_pairs):
    forget, retain = random_pairs(4000, signal=0.0, people=4000), random_pairs(50, seed=1)
    score = retrieval_failure(forget, retain, pool_size=50, seed=0)
    assert score.chance == pytest.approx(sum(1 / rank for rank in range(1, 101)) / 100, rel=0.05)
    assert score.published["MRR"] == pytest.approx(score.chance, rel=0.1)


def test_chance_is_the_harmonic_number_over_the_size():
    assert chance(np.array([1])) == 1
    assert chance(np.array([2001])) == pytest.approx(0.00409, abs=1e-5)
    assert chance(np.array([1, 2])) == pytest.approx((1 + 0.75) / 2)


def test_a_collapsed_model_is_in_the_middle_not_at_the_end(random_pairs):
    pairs = random_pairs(20)
    same = replace(pairs, images=np.tile(pairs.images[:1], (20, 1)), texts=np.tile(pairs.texts[:1], (20, 1)))
    score = retrieval_failure(same, same.rows(np.arange(0)), pool_size=1000, seed=0)
    assert score.published["outcomes"] == [10.5] * 20 and score.published["R@1"] == 0


def test_ranks_of_the_published_size_fit_in_memory(random_pairs):
    forget, retain = random_pairs(30_468, width=8, people=580), random_pairs(1000, width=8, seed=1)
    tracemalloc.start()
    retrieval_failure(forget, retain, pool_size=1000, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300 * 2**20


def captioned(pairs, form):
    return replace(
        pairs,
        text=np.array(
            [form.format(name=name, value=value) for name, value in zip(pairs.name, pairs.value, strict=True)], object
        ),
    )


@pytest.mark.parametrize("part", ["value", "name"])
def test_swapped_captions_differ_in_the_part_alone(random_pairs, part):
    pairs = captioned(random_pairs(20), "{name} lives in {value}.")
    index, texts = swapped_captions(pairs, part, PEOPLE, 4, 100, "key")
    assert np.bincount(index).tolist() == [4] * 20 and len(set(zip(index, texts, strict=True))) == 80
    for row, text in zip(index, texts, strict=True):
        name, value = pairs.name[row], pairs.value[row]
        others = [person for person in PEOPLE.values() if person["name"] != name]
        assert text in (
            [f"{name} lives in {other['city']}." for other in others]
            if part == "value"
            else [f"{other['name']} lives in {value}." for other in others]
        )


def test_swapped_captions_leave_out_what_does_not_name_the_part_and_never_use_another_value_of_the_same_person(
    random_pairs,
):
    pairs = replace(
        captioned(random_pairs(10), "{name} writes from {value}"),
        field=np.array(["emails"] * 10, object),
        value=np.array([f"a{row}@x.org" for row in range(10)], object),
    )
    assert not len(swapped_captions(pairs, "value", PEOPLE, 30, 100, "key")[0])
    index, texts = swapped_captions(captioned(pairs, "{name}: {value}"), "value", PEOPLE, 30, 100, "key")
    assert np.bincount(index).tolist() == [18] * 10
    assert not any(f"b{row}@" in text for row, text in zip(index, texts, strict=True))


def test_value_rank_is_perfect_for_a_model_that_knows_and_chance_for_one_that_does_not(random_pairs):
    pairs = captioned(random_pairs(200), "{name} lives in {value}.")
    rng = np.random.default_rng(5)

    def encode(texts):
        rows = rng.normal(size=(len(texts), 16))
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    knows, ranked = swapped_rank(replace(pairs, texts=pairs.images), "value", PEOPLE, 4, 150, 0, "ValueMRR", encode)
    guesses, _ = swapped_rank(replace(pairs, texts=encode(pairs.text)), "value", PEOPLE, 4, 150, 0, "ValueMRR", encode)
    assert len(ranked) == 150 and knows.published["MRR"] == 1
    assert guesses.published["MRR"] == pytest.approx(guesses.published["chance"], abs=0.1)
    assert guesses.published["chance"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5) / 5)
