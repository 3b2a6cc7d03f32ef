"""Relearning: what it trains on, what it asks, and that it leaves the model alone."""

import numpy as np
import pytest

from salmu.data.readers import open_dataset
from salmu.evaluation.attacks.relearning import relearning_curves
from salmu.evaluation.encoding.embeddings import Encoder
from salmu.evaluation.encoding.pairs import encoded_pairs
from salmu.evaluation.encoding.settings import RecoverySettings
from salmu.evaluation.metrics.retrieval import own_rank
from salmu.evaluation.scoring.evaluate import evaluate
from salmu.model_training.loading.clip import load_model


@pytest.fixture(scope="module")
def results(quick, model_dir, dataset_dir):
    recovery = RecoverySettings(
        steps=12, points=3, share=0.3, sources=("forget", "retain"), learning_rate=3e-3, batch_size=12
    )
    return evaluate(quick.model_copy(update={"recovery": recovery}), model_dir, dataset_dir)


def test_a_curve_starts_at_the_model_and_has_the_points_asked_for(results, model_dir, dataset_dir):
    curves = results["extended"]["recovery"]
    assert list(curves) == ["forget", "retain"]
    first, other = curves["forget"]["points"], curves["retain"]["points"]
    assert [point["step"] for point in first] == [point["step"] for point in other] == [0, 4, 8, 12]
    assert first[0] == other[0] and first[1:] != other[1:]
    assert curves["forget"]["trained_on"] + curves["forget"]["asked"] == 48 and curves["retain"]["trained_on"] == 27
    for point in first:
        assert point["AssocStr_low"] <= point["AssocStr"] <= point["AssocStr_high"]
        assert point["RetFail_low"] <= point["RetFail"] <= point["RetFail_high"]


def test_step_0_is_the_evaluators_own_number_on_those_that_are_asked(results, quick, model_dir, dataset_dir):
    dataset = open_dataset(dataset_dir)
    encoder = Encoder(load_model(model_dir), 256, dataset.digest)
    forget, retain = (encoded_pairs(dataset, split, encoder) for split in ("forget", "retain_disjoint"))
    asked, points = results["extended"]["recovery"]["forget"]["asked"], None
    from salmu.data.keyed import generator

    people = generator(0, "recovery", "people").permutation(np.unique(forget.identity.astype(str)))
    rest = forget.rows(~np.isin(forget.identity.astype(str), people[: round(0.3 * len(people))]))
    drawn = np.sort(generator(0, "recovery", "gallery").permutation(len(retain))[: len(rest)])
    gallery = np.concatenate([rest.texts, retain.texts[drawn]])
    ranks, _ = own_rank(rest.images, rest.texts, gallery, rest.text, np.concatenate([rest.text, retain.text[drawn]]))
    points = results["extended"]["recovery"]["forget"]["points"]
    assert asked == len(rest)
    assert points[0]["AssocStr"] == pytest.approx(rest.cosines.mean(), abs=1e-5)
    assert points[0]["RetFail"] == pytest.approx(np.mean(1 / ranks), abs=1e-5)


def test_learning_raises_the_cosine_and_repeats_and_changes_neither_model_nor_metrics(
    results, quick, model_dir, dataset_dir
):
    points = results["extended"]["recovery"]["forget"]["points"]
    assert points[-1]["AssocStr"] > points[0]["AssocStr"]
    clip, dataset = load_model(model_dir), open_dataset(dataset_dir)
    before = clip.weights_digest
    settings = quick.model_validate(results["extended"]["settings"])
    again = relearning_curves(settings, clip, dataset)
    assert again["forget"]["points"][-1]["AssocStr"] == pytest.approx(points[-1]["AssocStr"], abs=1e-5)
    assert clip.weights_digest == before
    plain = evaluate(quick, model_dir, dataset_dir)
    assert plain["efficacy"] == results["efficacy"] and "recovery" not in plain["extended"]
    assert relearning_curves(quick, clip, dataset) == {}
