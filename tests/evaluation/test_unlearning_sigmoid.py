"""Unlearning on a model that was trained with SigLIP's sigmoid loss: every softmax gives way to its sigmoid form."""

import numpy as np
import pytest
import torch
from open_clip.loss import SigLipLoss
from published import write_model
from random_batches import SCALE, batch_of

from salmu.data.readers import open_dataset
from salmu.evaluation.unlearning.losses import FROZEN, Head, contrastive_loss, head_of, matching_drift, pair_losses
from salmu.evaluation.unlearning.method import Work
from salmu.evaluation.unlearning.methods import alignment_calibration, delete, npo, scrub
from salmu.evaluation.unlearning.pair_streams import Pool
from salmu.evaluation.unlearning.registry import get, methods
from salmu.evaluation.unlearning.runner import pairs_of
from salmu.evaluation.unlearning.training import spend
from salmu.model_training.loading.clip import load_model

BIAS = -6.0
COUNTS = ("strangers", "others", "looks", "made_portraits", "made_scenes")


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def logits(images: np.ndarray, texts: np.ndarray) -> np.ndarray:
    return SCALE * images @ texts.T + BIAS


def answers_apart(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """KL divergence of two answers, yes or no, for each entry."""
    old, new = sigmoid(before), sigmoid(now)
    return old * np.log(old / new) + (1 - old) * np.log((1 - old) / (1 - new))


def siglip(pairs) -> float:
    """SigLIP's loss by its formula, one answer at a time."""
    found = logits(pairs.images, pairs.texts)
    return -sum(np.log(sigmoid(found[i, j] if i == j else -found[i, j])) for i in range(6) for j in range(6)) / 6


def same(loss: torch.Tensor, expected: float) -> None:
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_the_contrastive_loss_is_open_clips_and_the_mean_over_pairs():
    forget, _, batch = batch_of(bias=BIAS)
    judge = SigLipLoss()(batch.forget.images, batch.forget.texts, batch.head.scale, batch.head.bias)
    same(contrastive_loss(batch.forget, batch.head), judge.item())
    same(judge, siglip(forget))
    shares = pair_losses(batch.forget.images, batch.forget.texts, batch.head)
    assert shares.shape == (6,) and shares.mean().item() == pytest.approx(judge.item())


@pytest.mark.parametrize("sign, name", [(1, "finetuning"), (-1, "negative_gradient"), (1, "shuffled_captions")])
def test_contrastive_baselines(sign, name):
    forget, retain, batch = batch_of(bias=BIAS)
    same(get(name).loss(batch, None), sign * siglip(retain if name == "finetuning" else forget))


def test_the_drift_of_a_row_is_that_of_all_its_answers():
    forget, retain, batch = batch_of(bias=BIAS)
    drifts = []
    for part in (forget, retain):
        before, now = logits(part.images_before, part.texts_before), logits(part.images, part.texts)
        drifts.append(answers_apart(before, now).sum() / 6)
    same(matching_drift(batch.forget, batch.head), drifts[0])
    settings = scrub.Settings(obedience=0.5, retention=2, contradiction=1)
    same(scrub.loss(batch, settings), 0.5 * drifts[1] + 2 * siglip(retain) - drifts[0])


def test_npo_compares_the_pairs_own_answers():
    forget, retain, batch = batch_of(bias=BIAS)

    def shares(images, texts):
        found = -np.log(sigmoid(np.where(np.eye(6, dtype=bool), 1, -1) * logits(images, texts)))
        return (found.sum(0) + found.sum(1)) / 2

    apart = shares(forget.images_before, forget.texts_before) - shares(forget.images, forget.texts)
    expected = (2 / 0.1 * np.log(1 + np.exp(0.1 * apart))).mean() + siglip(retain)
    same(npo.loss(batch, npo.Settings(beta=0.1)), expected)


def test_delete_turns_the_own_answer_into_a_no_and_keeps_the_others():
    forget, _, batch = batch_of(bias=BIAS)
    own = forget.facts[:, None] == forget.facts[None, :]
    before, now = logits(forget.images_before, forget.texts_before), logits(forget.images, forget.texts)
    expected = np.where(own, -np.log(1 - sigmoid(now)), answers_apart(before, now)).sum() / 6
    same(delete.loss(batch, delete.Settings(classes="batch", factor=None)), expected)


def test_another_factor_keeps_the_cosine_of_an_even_answer():
    head = Head(torch.tensor(20.0), torch.tensor(-8.0))
    assert head.scaled(None) is head and head.scaled(1.0).of(torch.tensor(0.4)).item() == pytest.approx(0, abs=1e-6)
    assert Head(torch.tensor(20.0)).scaled(2.0) == Head(torch.tensor(2.0))


def test_alignment_calibration_takes_the_mismatches_share_for_uniformity():
    forget, retain, batch = batch_of(bias=BIAS)
    apart = np.log(1 + np.exp(logits(forget.images, forget.texts)))[~np.eye(6, dtype=bool)].sum() / 6
    cosine = (forget.images * forget.texts).sum(1).mean()
    settings = alignment_calibration.Settings(alignment=1.5, mismatches=0, uniformity=0.7)
    same(alignment_calibration.loss(batch, settings), siglip(retain) + 1.5 * cosine + 0.7 * apart)


@pytest.fixture(scope="module")
def loaded(dataset_dir, tmp_path_factory):
    """A small random model with a bias of the logits, its dataset, and the retain pairs, decoded once."""
    clip = load_model(write_model(tmp_path_factory.mktemp("models") / "sigmoid", init_logit_bias=-3.0))
    dataset = open_dataset(dataset_dir)
    return clip, dataset, Pool(clip, dataset, "retain")


@pytest.mark.parametrize("name", sorted(methods()))
def test_a_method_works_and_leaves_factor_and_bias_alone(name, loaded):
    (clip, dataset, retain), method = loaded, get(name)
    assert head_of(clip.network).bias.item() == -3
    pools = {part: Pool(clip, dataset, part) if part == "forget" else retain for part in method.sees}
    few = {field: 6 for field in COUNTS if field in method.settings.model_fields}
    settings = method.settings(budget=0.5, batch_size=8, threads=1, **few)
    work = Work(method, settings, clip, pools, pairs_of(settings, 48))
    frozen = {key: weight.clone() for key, weight in clip.network.state_dict().items() if key in FROZEN}
    try:
        record = spend(work)
        assert any(not torch.equal(weight, work.start[key]) for key, weight in work.weights.items())
        assert all(weight.isfinite().all() for weight in work.weights.values())
    finally:
        work.restore()
    assert all(np.isfinite(point["loss"]) for point in record.get("curve", []))
    assert len(frozen) == 2 and all(torch.equal(clip.network.state_dict()[key], was) for key, was in frozen.items())
