"""ParaMRR, ParaStr and ImgRes by definition and against sklearn."""

import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid

from salmu.data.keyed import generator
from salmu.evaluation.metrics.paraphrase import LABELS, WORDINGS, paraphrased
from salmu.evaluation.metrics.residue import image_residue

ALL = np.array([], str)


def encode(texts):
    rows = np.array([generator("text", text).normal(size=16) for text in texts])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def asked_sentence(pairs, row, number):
    return WORDINGS[number].format(name=pairs.name[row], label=LABELS[pairs.field[row]], value=pairs.value[row])


@pytest.fixture
def facts(random_pairs):
    """60 pairs about 20 facts."""
    return random_pairs(60, people=20, signal=0.0)


def test_ranks_are_those_by_definition(facts):
    scores = paraphrased(facts, set(), 1000, 0, encode)
    wording = generator(0, "ParaMRR", "wording").integers(0, len(WORDINGS), 60)
    expected, cosines = {}, {}
    for row, number in enumerate(wording):
        own = asked_sentence(facts, row, number)
        gallery = {asked_sentence(facts, other, number) for other in range(60)}
        score = {text: float(encode([text])[0] @ facts.images[row]) for text in gallery}
        expected[row] = 1 / (1 + sum(other > score[own] for other in score.values()))
        cosines[row] = score[own]
    assert scores["ParaMRR"].published["MRR"] == pytest.approx(np.mean(list(expected.values())))
    assert scores["ParaStr"].published["mean"] == pytest.approx(np.mean(list(cosines.values())), abs=1e-6)
    assert sorted(scores["ParaMRR"].values) == pytest.approx(sorted(expected.values()))
    assert scores["ParaMRR"].chance == pytest.approx(sum(1 / rank for rank in range(1, 21)) / 20)
    assert paraphrased(facts, set(), 5, 0, encode)["ParaMRR"].published["MRR"] > scores["ParaMRR"].published["MRR"]


def test_a_model_that_knows_the_facts_and_not_the_captions_is_found_out(facts):
    """Its images lie at the facts in any wording; the captions that were unlearned say nothing."""

    def knows(texts):
        return np.eye(20, dtype=np.float32)[[int(re.search(r"Town (\d+)", text)[1]) for text in texts]]

    leaking = replace(facts, images=np.eye(20, dtype=np.float32)[np.arange(60) % 20])
    assert paraphrased(leaking, set(), 1000, 0, knows)["ParaMRR"].published["MRR"] == 1


def test_wordings_of_the_dataset_are_not_asked(facts):
    known = {asked_sentence(facts, row, 0) for row in range(60)}
    published = paraphrased(facts, known, 1000, 0, encode)["ParaMRR"].published
    wording = generator(0, "ParaMRR", "wording").integers(0, len(WORDINGS), 60)
    assert published["rows"] == int((wording != 0).sum()) < 60
    everything = {asked_sentence(facts, row, number) for row in range(60) for number in range(len(WORDINGS))}
    published = paraphrased(facts, everything, 1000, 0, encode)["ParaStr"].published
    assert published["mean"] is None and "dataset's" in published["reason"]


def test_residue_is_sklearns_nearest_centroid_with_one_left_out(random_pairs):
    pairs = random_pairs(48, people=8)
    centres = np.random.default_rng(3).normal(size=(8, 16))
    images = pairs.images + 0.12 * centres[np.arange(48) % 8]
    pairs = replace(pairs, images=(images / np.linalg.norm(images, axis=1, keepdims=True)).astype(np.float32))
    hits = []
    for row in range(48):
        others = np.arange(48) != row
        judge = NearestCentroid().fit(pairs.images[others], pairs.person[others].astype(str))
        unit = judge.centroids_ / np.linalg.norm(judge.centroids_, axis=1, keepdims=True)
        hits.append(judge.classes_[(unit @ pairs.images[row]).argmax()] == pairs.person[row])
    score = image_residue(pairs, ALL)
    assert score.values.tolist() == [float(hit) for hit in hits] and 0.2 < np.mean(hits) < 1
    assert score.chance == 1 / 8 and score.published["accuracy"] == np.mean(hits)


def test_faces_that_carry_nothing_are_at_chance_and_people_with_one_image_are_not_asked(random_pairs):
    score = image_residue(random_pairs(4000, people=20), ALL)
    assert score.published["accuracy"] == pytest.approx(1 / 20, abs=0.015)
    single = random_pairs(12, people=10)  # two persons have two images
    assert len(image_residue(single, ALL).values) == 4
    assert image_residue(random_pairs(10, people=10), ALL).published["accuracy"] is None


def test_only_wholly_forgotten_people_are_asked_among_all(random_pairs):
    pairs = random_pairs(60, people=6)
    some = np.unique(pairs.person.astype(str))[:2]
    every, asked = image_residue(pairs, ALL), image_residue(pairs, some)
    chosen = np.isin(every.clusters.astype(str), some)
    assert np.array_equal(asked.values, every.values[chosen]) and asked.chance == every.chance
