"""The runner owns order, budget, schedule, stop, resume and the folder."""

import json
import shutil

import numpy as np
import open_clip
import pytest
import torch
from published import write_splits
from safetensors.torch import load_file

from salmu.data.errors import UserError
from salmu.data.readers import open_dataset
from salmu.evaluation.unlearning import runner, training
from salmu.evaluation.unlearning.method import Work
from salmu.evaluation.unlearning.pair_streams import Pool, Stream, shares
from salmu.evaluation.unlearning.registry import get
from salmu.evaluation.unlearning.retain_scenes import scene_source
from salmu.evaluation.unlearning.runner import unlearn
from salmu.model_training.loading.clip import load_model
from salmu.model_training.loop import reproducible
from salmu.model_training.network import input_side
from salmu.model_training.retain import everyday_pair, scene_pair, scene_pairs

WEIGHTS = "open_clip_model.safetensors"


FEW = {"strangers": 6, "others": 6, "scenes": 6, "made_portraits": 2, "made_scenes": 2, "altered": 1}


def settings(method, **values):
    return get(method).settings(**{"budget": 0.5, "batch_size": 8, "threads": 1} | values)


def record_of(folder) -> dict:
    return json.loads((folder / "unlearning.json").read_text())


@pytest.fixture
def work(dataset_dir, model_dir):
    clip, dataset = load_model(model_dir), open_dataset(dataset_dir)
    pools = {part: Pool(clip, dataset, part) for part in ("forget", "retain")}
    return Work(get("cliperase"), settings("cliperase"), clip, pools, 120)


def test_every_pass_sees_every_pair_once_in_an_order_of_its_own(work):
    order, pool = work.retain.order, work.retain.pool
    assert len(order) == 120 and sorted(order[:27]) == sorted(order[27:54]) == list(range(27))
    assert order[:27].tolist() != order[27:54].tolist()
    again = Stream(pool, 30, work, 0, "unlearning", "retain")
    assert again.order.tolist() == order[:30].tolist()


def test_nothing_comes_when_the_budget_is_spent(work):
    assert [len(batch) for batch in work.forget.batches(100, 32)] == [25] * 4 and work.forget.left == 20
    assert len(work.forget.take(64)) == 20 and len(work.forget.take(64)) == 0 == work.forget.left
    assert shares(10, 4) == [4, 3, 3] and shares(0, 4) == []


def test_no_batch_holds_a_pair_twice_and_every_pass_holds_all(work):
    """The forget set has 48 pairs, the retain set 27; batches of 20 reach from one pass into the next."""
    for stream, number in ((work.forget, 48), (work.retain, 27)):
        seen = [stream.take(20).indices.tolist() for _ in range(6)]
        assert all(len(set(batch)) == 20 for batch in seen) and not stream.left
        order = sum(seen, [])
        assert all(
            sorted(order[start : start + number]) == list(range(number)) for start in (0, number)[: 120 // number]
        )
        assert order == stream.order.tolist()


def test_a_budget_of_no_pair_is_refused(dataset_dir, model_dir, tmp_path):
    for values in ({"budget": 0.01}, {"budget": 1.0, "keep_at": (0.01,)}):
        with pytest.raises(
            UserError, match="a budget of 0.01 on a forget set of 48 rounds to no pair; give at least 0.03"
        ):
            unlearn("npo", settings("npo", **values), model_dir, dataset_dir, tmp_path / "out")
    with pytest.raises(UserError, match="keep_at 0.95 equals the model of budget 1, as all 6 steps are few"):
        unlearn("npo", settings("npo", budget=1.0, keep_at=(0.95,)), model_dir, dataset_dir, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_shuffled_captions_are_never_the_own_ones_and_differ_from_pass_to_pass(work):
    count = len(work.forget.pool)
    passes = [work.forget.take(count, "shuffled") for _ in range(2)]
    partners = []
    for batch in passes:
        assert not (batch._captions == batch.indices).any()
        assert sorted(batch._captions) == sorted(batch.indices) == list(range(count))
        partners.append(dict(zip(batch.indices.tolist(), batch._captions.tolist(), strict=True)))
    assert partners[0] != partners[1]


def test_a_batch_holds_what_the_model_sees_now_and_what_the_start_model_saw(work, model_dir):
    with reproducible(1):
        batch = work.forget.take(5)
        tokens = work.forget.pool.tokens[batch.indices]
        other = load_model(model_dir).network
        with torch.no_grad():
            for weight in work.weights.values():
                weight.mul_(1.1)
        assert not batch.images_before.requires_grad and batch.images.requires_grad
        pixels = work.forget.pool.pixels(batch.indices)
        with torch.no_grad():
            for network, images, texts in (
                (work.network, batch.images, batch.texts),
                (other, batch.images_before, batch.texts_before),
            ):
                torch.testing.assert_close(images, network.encode_image(pixels, normalize=True), atol=1e-5, rtol=1e-4)
                torch.testing.assert_close(texts, network.encode_text(tokens, normalize=True), atol=1e-5, rtol=1e-4)
        assert batch.own_cosine == pytest.approx((batch.images * batch.texts).sum(1).mean().item(), abs=1e-6)


def test_facts_are_persons_and_attributes(work, dataset_dir):
    dataset = open_dataset(dataset_dir)
    table = dataset.table("forget", ["identity_id", "data_field"]).to_pylist()
    facts = work.forget.pool.facts.tolist()
    keys = [(row["identity_id"], row["data_field"]) for row in table]
    for first in range(len(keys)):
        for second in range(len(keys)):
            assert (facts[first] == facts[second]) == (keys[first] == keys[second])
    assert len(set(work.retain.pool.facts.tolist())) == 27


def test_the_budget_counts_passes_over_the_forget_set(dataset_dir, model_dir, tmp_path):
    unlearn("finetuning", settings("finetuning", budget=1.25), model_dir, dataset_dir, tmp_path / "out")
    record = record_of(tmp_path / "out")
    assert record["pairs_seen"] == 60 and record["steps"] == 8
    assert record["saw"] == {"retain": {"split": "retain_synth", "scenes": 0, "pairs": 27, "times": 60}}
    scenes = settings("cliperase", budget=1.25, retain_scenes=10)
    unlearn("cliperase", scenes, model_dir, dataset_dir, tmp_path / "scenes")
    record = record_of(tmp_path / "scenes")
    saw = {"split": "retain_synth", "scenes": 10, "pairs": 37, "times": 60}
    assert record["saw"]["retain"] == saw | {"scenes_from": "the method's seed: the start model has no training.json"}
    assert record["saw"]["forget"]["times"] == 60 and record["pairs_seen"] == 120


def test_the_scenes_of_a_method_are_those_that_the_pair_was_trained_on(dataset_dir, model_dir, tmp_path):
    """Byte for byte, whatever the method's seed; in the pair's shares, and no more than the pair had."""
    pair = {"seed": 5, "scenes": 12, "everyday": 4, "model": "any"}
    shutil.copytree(model_dir, tmp_path / "start")
    (tmp_path / "start" / "training.json").write_text(json.dumps({"settings": pair}))
    clip, dataset = load_model(tmp_path / "start"), open_dataset(dataset_dir)
    side = input_side(clip.network)
    trained_on = [scene_pair(5, side, index) for index in range(12)] + [everyday_pair(5, side, i) for i in range(4)]
    known = {(image.tobytes(), text) for image, text in trained_on}
    for asked, scenes, portraits in ((8, 6, 2), (100, 12, 4)):
        chosen = settings("finetuning", retain_scenes=asked, seed=1)
        source = scene_source(clip, chosen.seed)
        given = source.pairs(asked, side)
        found = {(image.tobytes(), text) for image, text in zip(given.images, given.texts, strict=True)}
        assert len(found) == len(given) == scenes + portraits and found <= known
        pool = runner.pools({"retain"}, chosen, clip, dataset)["retain"]
        assert np.array_equal(pool.scenes, given.images)
        assert pool.tokens[len(pool.file_names) :].tolist() == clip.tokenizer(given.texts).tolist()
    unlearn("finetuning", chosen, tmp_path / "start", dataset_dir, tmp_path / "out")
    saw = record_of(tmp_path / "out")["saw"]["retain"]
    assert (saw["scenes"], saw["scenes_from"]) == (16, "the start model's training.json")


def test_scenes_that_no_record_tells_of_are_keyed_by_the_method_and_the_record_says_so(model_dir, tmp_path):
    source = scene_source(load_model(model_dir), 7)
    assert source.told_by == "the method's seed: the start model has no training.json"
    assert np.array_equal(source.pairs(3, 32).images, scene_pairs(7, 3, 32).images)
    shutil.copytree(model_dir, tmp_path / "start")
    for content in ({}, {"settings": {"seed": -1, "scenes": 3}}, {"settings": {"seed": 1}}):
        (tmp_path / "start" / "training.json").write_text(json.dumps(content))
        source = scene_source(load_model(tmp_path / "start"), 7)
        assert source.seed == 7 and source.told_by.endswith("tells of no scenes")
    (tmp_path / "start" / "training.json").write_text("{")
    with pytest.raises(UserError, match="training.json: damaged"):
        scene_source(load_model(tmp_path / "start"), 7)


def test_learning_rate_rises_then_falls_to_nothing():
    rates = [training.schedule(step, 100, 0.1) for step in range(100)]
    assert np.argmax(rates) == 10 and rates[10] == 1 and 0 < rates[0] < 0.2 and 0 < rates[-1] < 0.001
    assert (np.diff(rates[:11]) > 0).all() and (np.diff(rates[10:]) < 0).all()
    assert training.schedule(0, 1, 0.0) == 1


def test_the_stop_ends_a_run_before_its_budget_is_spent(dataset_dir, model_dir, tmp_path):
    now = settings("negative_gradient", stop_at_cosine=1.0)
    with pytest.raises(UserError, match="it changed nothing: stop_at_cosine 1 is reached before the first step"):
        unlearn("negative_gradient", now, model_dir, dataset_dir, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    later = settings("direct_similarity_minimisation", stop_at_cosine=-0.5, budget=10, learning_rate=1e-2)
    unlearn("direct_similarity_minimisation", later, model_dir, dataset_dir, tmp_path / "later")
    record = record_of(tmp_path / "later")
    assert record["stopped_early"] and 0 < record["steps"] < 60
    assert all(point["forget_cosine"] > -0.5 for point in record["curve"])


def test_models_at_lower_budgets_are_kept(dataset_dir, model_dir, tmp_path):
    wanted = settings("cliperase", budget=1.0, keep_at=(0.25, 0.5))
    unlearn("cliperase", wanted, model_dir, dataset_dir, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    digests = {record_of(tmp_path / "out")["model_digest"]}
    for budget, pairs in (("0.25", 16), ("0.5", 24)):  # the first full step at or after the budget
        folder = tmp_path / "out" / "checkpoints" / f"{budget}x"
        record = record_of(folder)
        assert record["budget"] == float(budget) and record["saw"]["forget"]["times"] == pairs
        open_clip.create_model_and_transforms(f"local-dir:{folder}")
        digests.add(record["model_digest"])
    assert len(digests) == 3
    unlearn("cliperase", settings("cliperase", budget=1.0), model_dir, dataset_dir, tmp_path / "plain")
    assert (tmp_path / "plain" / WEIGHTS).read_bytes() == (tmp_path / "out" / WEIGHTS).read_bytes()


@pytest.mark.parametrize(
    "method, more",
    [
        ("vlunlearn", {}),
        ("salun", {}),
        ("shuffled_captions", {"optimiser": "muon"}),
        ("task_vector_negation", {}),
        ("as_retrained", FEW),
    ],
)
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(method, more, dataset_dir, model_dir, tmp_path):
    values = settings(method, budget=1.0, checkpoint_every=2, **more)
    unlearn(method, values, model_dir, dataset_dir, tmp_path / "whole")

    def kill(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unlearn(method, values, model_dir, dataset_dir, tmp_path / "killed", kill)
    assert not (tmp_path / "killed").exists()
    steps = []
    unlearn(method, values, model_dir, dataset_dir, tmp_path / "killed", lambda done, total: steps.append(done))
    assert steps[0] == 3, "it starts after the last state, not from the beginning"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]
    assert (tmp_path / "killed" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()
    one, two = record_of(tmp_path / "killed"), record_of(tmp_path / "whole")
    assert (one["saw"], one["curve"], one["steps"]) == (two["saw"], two["curve"], two["steps"])


def test_the_state_of_other_settings_is_not_taken_up(dataset_dir, model_dir, tmp_path):
    def kill(done, total):
        if done == 3:
            raise KeyboardInterrupt

    first = settings("npo", budget=1.0, checkpoint_every=2, keep_at=(0.2,))
    with pytest.raises(KeyboardInterrupt):
        unlearn("npo", first, model_dir, dataset_dir, tmp_path / "out", kill)
    steps, other = [], settings("npo", budget=1.0, beta=0.7)
    unlearn("npo", other, model_dir, dataset_dir, tmp_path / "out", lambda done, total: steps.append(done))
    assert sorted(set(steps)) == [1, 2, 3, 4, 5, 6]
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_muon_moves_the_matrices_inside_the_towers_alike_in_all_directions(dataset_dir, model_dir, tmp_path):
    changed = {}
    for optimiser in ("adamw", "muon"):
        values = settings("finetuning", budget=0.1, batch_size=32, learning_rate=1e-3, optimiser=optimiser)
        unlearn("finetuning", values, model_dir, dataset_dir, tmp_path / optimiser)
        before, after = (load_file(folder / WEIGHTS) for folder in (model_dir, tmp_path / optimiser))
        inner = "transformer.resblocks.0.mlp.c_fc.weight"
        changed[optimiser] = torch.linalg.svdvals(after[inner] - before[inner])
        assert not torch.equal(before["token_embedding.weight"], after["token_embedding.weight"])
    assert record_of(tmp_path / "muon")["steps"] == 1
    fifth = {name: float(values[4] / values[0]) for name, values in changed.items()}
    assert fifth["muon"] > 0.5 > 2 * fifth["adamw"]


def test_half_precision_comes_near_and_stores_float32(dataset_dir, model_dir, tmp_path):
    for precision in ("fp32", "bf16"):
        values = settings("finetuning", precision=precision, learning_rate=1e-3)
        unlearn("finetuning", values, model_dir, dataset_dir, tmp_path / precision)
    full, half = (load_file(tmp_path / precision / WEIGHTS) for precision in ("fp32", "bf16"))
    assert all(value.dtype == torch.float32 for value in half.values())
    assert any(not torch.equal(full[name], half[name]) for name in full)
    assert all((full[name] - half[name]).abs().max() < 1e-2 for name in full)


def test_a_finished_folder_is_left_alone_and_made_again_when_anything_changes(
    dataset_dir, model_dir, tmp_path, monkeypatch
):
    out, spent = tmp_path / "out", []
    spend = runner.spend
    monkeypatch.setattr(runner, "spend", lambda *inputs: spent.append(1) or spend(*inputs))
    unlearn("finetuning", settings("finetuning"), model_dir, dataset_dir, out)
    unlearn("finetuning", settings("finetuning", checkpoint_every=7), model_dir, dataset_dir, out)
    assert len(spent) == 1
    unlearn("finetuning", settings("finetuning", learning_rate=1e-5), model_dir, dataset_dir, out)
    assert len(spent) == 2 and record_of(out)["settings"]["learning_rate"] == 1e-5
    (out / WEIGHTS).unlink()
    unlearn("finetuning", settings("finetuning", learning_rate=1e-5), model_dir, dataset_dir, out)
    assert len(spent) == 3


def test_nothing_is_left_of_a_run_that_fails(dataset_dir, model_dir, tmp_path):
    broken = settings("finetuning", learning_rate=1e30, checkpoint_every=1)
    with pytest.raises(UserError, match="learning_rate"):
        unlearn("finetuning", broken, model_dir, dataset_dir, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_named(dataset_dir, model_dir, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no unlearning method 'forget_all'; there are .*finetuning"):
        unlearn("forget_all", settings("finetuning"), model_dir, dataset_dir, tmp_path / "out")
    with pytest.raises(UserError, match="no such folder"):
        unlearn("finetuning", settings("finetuning"), tmp_path / "nowhere", dataset_dir, tmp_path / "out")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="device is 'cuda:1', but torch sees no CUDA GPU"):
        unlearn("finetuning", settings("finetuning", device="cuda:1"), model_dir, dataset_dir, tmp_path / "out")
    shutil.copytree(dataset_dir, tmp_path / "dataset")
    generic = tmp_path / "dataset" / "sensitive_set_generic_captions.json"
    generic.write_text("{}")
    with pytest.raises(UserError, match="sensitive_set_generic_captions.json has no caption for"):
        unlearn("generic_captions", settings("generic_captions"), model_dir, tmp_path / "dataset", tmp_path / "out")
    write_splits(tmp_path / "dataset", {"retain_synth": []})
    with pytest.raises(UserError, match="split retain_synth has no rows"):
        unlearn("finetuning", settings("finetuning"), model_dir, tmp_path / "dataset", tmp_path / "out")
