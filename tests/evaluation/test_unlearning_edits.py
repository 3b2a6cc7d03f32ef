"""What editing methods and masks do to the weights, on a small random model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from open_clip import ClipLoss

from salmu.data.readers import open_dataset
from salmu.evaluation.unlearning.method import Batch, Work
from salmu.evaluation.unlearning.methods import neg_merge, null_space_editing, rmu, salun, slug, ssd
from salmu.evaluation.unlearning.registry import get
from salmu.evaluation.unlearning.runner import budgeted, pools
from salmu.evaluation.unlearning.training import spend
from salmu.model_training.loading.clip import load_model
from salmu.model_training.loop import reproducible


@pytest.fixture
def work_of(dataset_dir, model_dir):
    """A function that makes a run of a method, not begun yet."""
    dataset = open_dataset(dataset_dir)

    def make(method, **values) -> Work:
        method = get(method) if isinstance(method, str) else method
        settings = method.settings(**{"budget": 1.0, "batch_size": 8, "threads": 1} | values)
        clip = load_model(model_dir)
        return Work(method, settings, clip, pools(method.sees, settings, clip, dataset), budgeted(settings, dataset))

    with reproducible(1):
        yield make


def changed(work: Work) -> dict[str, torch.Tensor]:
    """Name -> which elements differ from the start model, for weights in which any does."""
    differing = {name: weight != work.start[name] for name, weight in work.weights.items()}
    return {name: mask for name, mask in differing.items() if mask.any()}


def squared_gradients(work: Work, stream, sizes: list[int]) -> dict[str, np.ndarray]:
    """Mean squared gradient of open_clip's loss over batches, as SSD should find it."""
    total = {name: np.zeros(weight.shape) for name, weight in work.weights.items()}
    for size in sizes:
        pairs = stream.take(size)
        work.network.zero_grad()
        ClipLoss()(*pairs.through(work.network), work.head.scale).backward()
        for name, weight in work.weights.items():
            total[name] += weight.grad.double().numpy() ** 2
    return {name: value / len(sizes) for name, value in total.items()}


def test_ssd_dampens_what_matters_more_for_forget_pairs(work_of):
    twin = work_of("ssd")
    of_forget, of_retain = (squared_gradients(twin, stream, [8] * 6) for stream in (twin.forget, twin.retain))
    work = work_of("ssd", alpha=3.0, strength=0.5)
    figures = ssd.edit(work, work.settings)
    dampened = 0
    for name, start in work.start.items():
        chosen = of_forget[name] > 3 * of_retain[name]
        share = np.divide(0.5 * of_retain[name], of_forget[name], where=of_forget[name] > 0, out=np.ones(chosen.shape))
        expected = np.where(chosen, np.minimum(1, share), 1) * start.numpy()
        close = np.isclose(work.weights[name].detach().numpy(), expected, rtol=1e-3, atol=1e-6)
        assert close.mean() > 0.999, name  # an element on the very threshold may fall on the other side
        dampened += chosen.sum()
    assert figures["dampened"] == pytest.approx(dampened, rel=0.01) and dampened > 100


def test_salun_moves_salient_weights_only_whatever_the_optimiser_remembers(work_of):
    work = work_of("salun", salient=0.3, looking=0.5, weight_decay=0.5, learning_rate=1e-2, budget=2.0)
    mask = salun.masks(work_of("salun", salient=0.3, looking=0.5, budget=2.0), work.settings)
    share = sum(int(part.sum()) for part in mask.values()) / sum(part.numel() for part in mask.values())
    assert share == pytest.approx(0.3, abs=0.001)
    spend(work)
    moved = changed(work)
    assert moved and all(bool((mask[name] | ~part).all()) for name, part in moved.items())


def test_rmu_changes_the_chosen_blocks_only_and_steers_them(work_of):
    work = work_of("rmu", depth=1.0, changed=1, steering=2.0, retention=3.0)
    batch = Batch(work, 8, 0, 0.0)
    loss = rmu.loss(batch, work.settings).item()
    expected = 0.0  # the retain term is nothing at the start
    for tower, block in (("image", "visual.transformer.resblocks.0"), ("text", "transformer.resblocks.0")):
        kept = []
        hook = work.network.get_submodule(block).register_forward_hook(lambda _, __, out, kept=kept: kept.append(out))
        batch.forget.through(work.network)
        hook.remove()
        states = np.concatenate([out.detach().numpy().reshape(-1, out.shape[-1]) for out in kept])
        direction = rmu._direction(0, tower, torch.zeros(1, states.shape[1])).numpy()
        assert np.linalg.norm(direction) == pytest.approx(1) and (direction >= 0).all()
        target = 2 * np.linalg.norm(states, axis=1).mean() * direction
        expected += ((states - target) ** 2).mean()
    assert loss == pytest.approx(expected, rel=1e-4)
    record = spend(work)
    assert record["curve"][-1]["loss"] < record["curve"][0]["loss"]
    allowed = ("visual.transformer.resblocks.0.", "transformer.resblocks.0.")
    assert changed(work) and all(name.startswith(allowed) for name in changed(work))


def test_slug_tries_what_no_other_weight_beats():
    rng = np.random.default_rng(0)
    names = [f"visual.{number}" for number in range(6)] + [f"transformer.{number}" for number in range(6)]
    weights, forget, retain = (
        {name: torch.tensor(rng.normal(size=(4, 5))) for name in names + ["visual.token_embedding.weight"]}
        for _ in range(3)
    )
    found = slug.pareto(weights, forget, retain)
    score = {
        name: (np.linalg.norm(forget[name]) / np.linalg.norm(weights[name]), -aligned(forget[name], retain[name]))
        for name in names
    }
    towers = [[name for name in names if name.startswith(tower)] for tower in ("visual", "transformer")]
    best = {
        name
        for tower in towers
        for name in tower
        if not any(all(np.array(score[other]) >= score[name]) for other in tower if other != name)
    }
    assert set(found) == best
    assert [score[name][0] for name in found] == sorted((score[name][0] for name in found), reverse=True)


def aligned(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = a.numpy().ravel(), b.numpy().ravel()
    return abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b)


def test_slug_moves_one_weight_along_the_gradient_and_spends_no_more_than_its_budget(work_of):
    work = work_of("slug", budget=3.0, sample=16)
    record = spend(work)
    (name,) = changed(work)
    assert record["edit"]["weight"] == name and all(part["times"] <= 144 for part in record["saw"].values())
    twin = work_of("slug", budget=3.0)
    total = torch.zeros_like(twin.weights[name])
    for _ in range(6):
        pairs = twin.forget.take(8)
        images, texts = pairs.through(twin.network)
        total += torch.autograd.grad(1 - torch.cosine_similarity(images, texts).mean(), twin.weights[name])[0] / 6
    moved = work.weights[name] - work.start[name]
    torch.testing.assert_close(moved, record["edit"]["step"] * total, rtol=1e-3, atol=1e-6)


def test_task_vector_negation_goes_as_far_the_other_way(work_of):
    method = get("task_vector_negation")
    ahead, back = work_of(replace(method, edit=None)), work_of(method, strength=0.5)
    spend(ahead), spend(back)
    for name, weight in back.weights.items():
        torch.testing.assert_close(weight, 1.5 * back.start[name] - 0.5 * ahead.weights[name])
    assert changed(back)


def test_null_space_editing_leaves_nothing_along_the_removed_directions(work_of):
    work = work_of("null_space_editing", directions=4, kept=3, strength=1.0)
    spend(work)
    assert set(changed(work)) == {"visual.proj"}
    twin = work_of("null_space_editing")
    forget, retain = (
        torch.cat([pairs.texts for pairs in stream.batches(48, 8)]).detach() for stream in (twin.forget, twin.retain)
    )
    basis = null_space_editing.removed_directions(forget, retain, 4, 3)
    np.testing.assert_allclose(basis.T @ basis, np.eye(4), atol=1e-5)
    strongest = np.linalg.svd(retain.numpy())[2][:3]
    np.testing.assert_allclose(strongest @ basis.numpy(), 0, atol=1e-5)
    pixels = twin.forget.pool.pixels(np.arange(5))
    with torch.no_grad():
        after, before = (network.encode_image(pixels) @ basis for network in (work.network, twin.network))
    assert after.abs().max() < 1e-5 < before.abs().max()


def test_descent_to_delete_adds_noise_of_the_stated_scale(work_of):
    work = work_of("descent_to_delete", noise=0.01)
    figures = get("descent_to_delete").edit(work, work.settings)
    noise = torch.cat([(weight - work.start[name]).flatten() for name, weight in work.weights.items()]).detach()
    assert noise.std().item() == pytest.approx(0.01, rel=0.02) and abs(noise.mean().item()) < 0.001
    assert figures["noise_length"] == pytest.approx(noise.norm().item(), rel=1e-3)


def test_neg_merge_goes_against_all_models_that_it_trained(work_of, monkeypatch):
    """What it trains is recorded; every element moves against the models' mean, or stays where they disagree."""
    trained, restore = [], Work.restore

    def watched(self):
        trained.append({name: weight.detach() - self.start[name] for name, weight in self.weights.items()})
        restore(self)

    monkeypatch.setattr(Work, "restore", watched)
    work = work_of("neg_merge", models=3, strength=0.5, budget=2.0)
    figures = neg_merge.edit(work, work.settings)
    assert len(trained) == 3 and work.forget.place == 96 and 0 < figures["agreed"] < 1
    for name, weight in work.weights.items():
        vectors = np.stack([vector[name].numpy() for vector in trained])
        agree = (vectors > 0).all(0) | (vectors < 0).all(0)
        expected = work.start[name].numpy() - 0.5 * np.where(agree, vectors.mean(0), 0)
        np.testing.assert_allclose(weight.detach().numpy(), expected, atol=1e-7)
