"""Losses by their formulas, in numpy, on random embeddings."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from open_clip import ClipLoss
from random_batches import SCALE, batch_of, pairs

from salmu.evaluation.metrics.matching import derangement
from salmu.evaluation.unlearning.losses import (
    Head,
    contrastive_loss,
    embedding_drift,
    matching_drift,
    mean_cosine,
    pair_losses,
)
from salmu.evaluation.unlearning.methods import (
    alignment_calibration,
    cliperase,
    delete,
    grad_diff,
    munba,
    neg_merge,
    npo,
    salmubench_cliperase,
    salmubench_delete,
    scrub,
    simnpo,
    vlunlearn,
)
from salmu.evaluation.unlearning.registry import get

HEAD = Head(torch.tensor(SCALE, dtype=torch.float64))


def log_softmax(logits: np.ndarray, axis: int) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(axis, keepdims=True))


def contrastive(images, texts) -> np.ndarray:
    logits = SCALE * images @ texts.T
    return -(np.diag(log_softmax(logits, 0)) + np.diag(log_softmax(logits, 1))) / 2


def matching(p) -> float:
    before, now = SCALE * p.images_before @ p.texts_before.T, SCALE * p.images @ p.texts.T
    total = 0.0
    for axis in (0, 1):
        old, new = log_softmax(before, axis), log_softmax(now, axis)
        total += (np.exp(old) * (old - new)).sum(axis).mean() / 2
    return total


def cosine(p) -> float:
    return (p.images * p.texts).sum(1).mean()


def same(loss: torch.Tensor, expected: float) -> None:
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_contrastive_loss_is_open_clips_loss_and_the_mean_over_pairs():
    forget, tensors = pairs(0)
    expected = ClipLoss()(tensors.images, tensors.texts, torch.tensor(SCALE, dtype=torch.float64)).item()
    same(contrastive_loss(tensors, HEAD), expected)
    np.testing.assert_allclose(
        pair_losses(tensors.images, tensors.texts, HEAD), contrastive(forget.images, forget.texts)
    )


def test_drifts_and_cosine():
    forget, tensors = pairs(0)
    same(mean_cosine(tensors), cosine(forget))
    same(matching_drift(tensors, HEAD), matching(forget))
    moved = ((forget.images - forget.images_before) ** 2).sum(1) + ((forget.texts - forget.texts_before) ** 2).sum(1)
    same(embedding_drift(tensors), moved.mean())


@pytest.mark.parametrize("sign, name", [(1, "finetuning"), (-1, "negative_gradient"), (1, "generic_captions")])
def test_contrastive_baselines(sign, name):
    forget, retain, batch = batch_of()
    seen = retain if name == "finetuning" else forget
    same(get(name).loss(batch, None), sign * contrastive(seen.images, seen.texts).mean())


def test_direct_similarity_minimisation():
    forget, _, batch = batch_of()
    same(get("direct_similarity_minimisation").loss(batch, None), cosine(forget))


def test_cliperase():
    forget, retain, batch = batch_of()
    kept = contrastive(retain.images, retain.texts).mean() + 3 * matching(retain)
    same(cliperase.loss(batch, cliperase.Settings()), kept + 3 * cosine(forget))
    other = cliperase.Settings(forget="neg_ce", forgetting=2)
    same(cliperase.loss(batch, other), kept - 2 * contrastive(forget.images, forget.texts).mean())


def test_delete_takes_out_every_caption_of_the_same_fact():
    forget, _, batch = batch_of()
    masked = forget.facts[:, None] == forget.facts[None, :]
    assert masked[0, 3] and masked.sum() == 8
    expected = 0.0
    for ours, theirs in (("images", "texts"), ("texts", "images")):
        before = SCALE * getattr(forget, f"{ours}_before") @ getattr(forget, f"{theirs}_before").T
        old = log_softmax(np.where(masked, -1e10, before), 1)
        new = log_softmax(SCALE * getattr(forget, ours) @ getattr(forget, theirs).T, 1)
        expected += (np.exp(old) * (old - new)).sum(1).mean() / 2
    same(delete.loss(batch, delete.Settings(classes="batch", factor=None)), expected)


def test_delete_against_retain_pairs_takes_out_the_own_caption_alone():
    forget, retain, batch = batch_of()
    expected = 0.0
    for ours, theirs in (("images", "texts"), ("texts", "images")):
        logits = []
        for now in ("_before", ""):
            own = (getattr(forget, f"images{now}") * getattr(forget, f"texts{now}")).sum(1, keepdims=True)
            bank = getattr(forget, f"{ours}{now}") @ getattr(retain, f"{theirs}_before").T
            logits.append(SCALE * np.concatenate([own, bank], 1))
        old, new = log_softmax(logits[0][:, 1:], 1), log_softmax(logits[1], 1)[:, 1:]
        expected += (np.exp(old) * (old - new)).sum(1).mean() / 2
    same(delete.loss(batch, delete.Settings(factor=None)), expected)


def test_deletes_factor_stands_for_the_models_scale():
    _, _, batch = batch_of()
    at_scale = delete.loss(batch, delete.Settings(factor=SCALE)).item()
    same(delete.loss(batch, delete.Settings(factor=None)), at_scale)
    assert delete.loss(batch, delete.Settings(factor=1.0)).item() != pytest.approx(at_scale, rel=0.1)


def test_delete_says_nothing_where_all_captions_are_the_same_fact():
    logits = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    loss = delete.masked_kl(torch.zeros(2, 3), logits, torch.tensor([[True] * 3, [True, False, False]]))
    loss.backward()
    assert torch.isfinite(loss) and torch.equal(logits.grad[0], torch.zeros(3)) and logits.grad[1].any()


def both_directions(p, wanted) -> float:
    """Mean squared error of the cosines of a batch, images to captions and captions to images, one entry at a time."""
    total = 0.0
    for i, image in enumerate(p.images):
        for j, text in enumerate(p.texts):
            total += 2 * (image @ text - wanted[i, j]) ** 2 / 36
    return total


def entries(now, before) -> float:
    return ((now - before) ** 2).sum() / 48


def test_the_forms_of_the_published_table():
    forget, retain, batch = batch_of()
    before = retain.images_before @ retain.texts_before.T
    gone, kept = both_directions(forget, np.zeros((6, 6))), both_directions(retain, before)
    same(salmubench_delete.loss(batch, salmubench_delete.Settings(forgetting=1, retention=1)), gone + kept)
    still = entries(retain.images, retain.images_before) + entries(retain.texts, retain.texts_before)
    ones = salmubench_cliperase.Settings(forgetting=1, retention=1, consistency=1)
    same(salmubench_cliperase.loss(batch, ones), gone + kept + still)
    weighted = salmubench_cliperase.Settings(forgetting=2, retention=3, consistency=0.5)
    same(salmubench_cliperase.loss(batch, weighted), 2 * gone + 3 * kept + 0.5 * still)


def test_vlunlearn():
    forget, retain, batch = batch_of()
    partner = derangement(6, 0, "losses")
    target = forget.images_before @ forget.texts_before[partner].T
    block = both_directions(forget, target)
    diagonal = (np.diag(forget.images @ forget.texts.T - target) ** 2).mean()
    fused = [
        (one + two) / 2 for one, two in ((retain.images, retain.texts), (retain.images_before, retain.texts_before))
    ]
    multimodal = entries(*(mean / np.linalg.norm(mean, axis=1, keepdims=True) for mean in fused))
    unimodal = entries(retain.images, retain.images_before) + entries(retain.texts, retain.texts_before)
    same(vlunlearn.loss(batch, vlunlearn.Settings()), block + multimodal + unimodal)
    weighted = vlunlearn.Settings(decoupling=3, diagonal=2, multimodal=0.5, unimodal=0.1)
    same(vlunlearn.loss(batch, weighted), 3 * (block + 2 * diagonal) + 0.5 * multimodal + 0.1 * unimodal)


def test_grad_diff():
    forget, retain, batch = batch_of()
    gone, kept = (contrastive(part.images, part.texts).mean() for part in (forget, retain))
    same(grad_diff.loss(batch, grad_diff.Settings(forgetting=0.3, retention=2)), 2 * kept - 0.3 * gone)


def test_alignment_calibration():
    forget, retain, batch = batch_of()
    cosines, off = forget.images @ forget.texts.T, ~np.eye(6, dtype=bool)
    apart = [np.log(np.exp(SCALE * rows[off].reshape(6, 5)).mean(1)).mean() for rows in (cosines, cosines.T)]
    expected = contrastive(retain.images, retain.texts).mean() + 1.5 * cosine(forget)
    expected += -0.5 * cosines[off].mean() + 0.7 * np.mean(apart)
    settings = alignment_calibration.Settings(alignment=1.5, mismatches=0.5, uniformity=0.7)
    same(alignment_calibration.loss(batch, settings), expected)


def test_munba_gives_each_player_the_gain_of_nashs_bargain():
    """Two losses of one vector w with known gradients: the step solves G'G a = 1 / a."""
    gradients = [np.array([3.0, 0.0, 1.0]), np.array([-1.0, 2.0, 0.5])]
    shares = munba.bargain(*map(torch.tensor, gradients), 1e-12)
    a, products = np.array([share.item() for share in shares]), np.array(gradients) @ np.array(gradients).T
    np.testing.assert_allclose(products @ a, 1 / a, rtol=1e-6)
    (_, _, batch), settings = batch_of(), munba.Settings(damping=0.01)
    weight = torch.ones(8, dtype=torch.float64, requires_grad=True)
    for part in (batch.forget, batch.retain):
        part.images = part.images * weight
    batch.work = SimpleNamespace(weights={"w": weight})
    players = [-contrastive_loss(batch.forget, batch.head), contrastive_loss(batch.retain, batch.head)]
    one, two = (torch.autograd.grad(player, weight, retain_graph=True)[0].numpy() for player in players)
    lengths, c = [np.linalg.norm(one), np.linalg.norm(two)], one @ two / np.linalg.norm(one) / np.linalg.norm(two)
    shared = np.sqrt((1 - c) / (1 - c**2 + 0.01))
    (found,) = torch.autograd.grad(munba.loss(batch, settings), weight)
    np.testing.assert_allclose(found.numpy(), shared * (one / lengths[0] + two / lengths[1]))


def test_neg_merge_keeps_what_all_agree_on():
    vectors = torch.tensor([[1.0, 2.0, -3.0, 0.0], [3.0, -2.0, -1.0, 0.0], [2.0, 1.0, -2.0, 1.0]])
    assert neg_merge.consensus(vectors).tolist() == [2.0, 0.0, -2.0, 0.0]


def test_npo_and_simnpo():
    forget, retain, batch = batch_of()
    kept = contrastive(retain.images, retain.texts).mean()
    now = contrastive(forget.images, forget.texts)
    before = contrastive(forget.images_before, forget.texts_before)
    ratio = np.exp(-now) / np.exp(-before)  # of the likelihoods, now and before
    same(npo.loss(batch, npo.Settings(beta=0.1)), (2 / 0.1 * np.log(1 + ratio**0.1)).mean() + kept)
    sigmoid = 1 / (1 + np.exp(-(4.5 * now - 4.5 * 2)))
    settings = simnpo.Settings(margin=2, forgetting=0.125)
    same(simnpo.loss(batch, settings), 0.125 * (-2 / 4.5 * np.log(sigmoid)).mean() + kept)


def test_scrub_contradicts_first_and_obeys_always():
    forget, retain, batch = batch_of(progress=0.2)
    settings = scrub.Settings(obedience=0.5, retention=2, contradiction=0.4)
    kept = 0.5 * matching(retain) + 2 * contrastive(retain.images, retain.texts).mean()
    same(scrub.loss(batch, settings), kept - matching(forget))
    _, _, later = batch_of(progress=0.4)
    same(scrub.loss(later, settings), kept)
