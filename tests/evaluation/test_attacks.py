"""Attacks: what each finds where the answer is known, that it repeats, and that it leaves the model alone."""

import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import unit
from published import write_model
from pydantic import ValidationError
from result_files import clustered

from salmu.data.keyed import generator
from salmu.data.readers import open_dataset
from salmu.evaluation.attacks.decoded import decoded
from salmu.evaluation.attacks.few_shot import few_shot
from salmu.evaluation.attacks.gradient_membership import drawn, gradient_membership, gradient_norms
from salmu.evaluation.attacks.lora import low_rank
from salmu.evaluation.attacks.name_search import TEMPLATES, made_names, name_search
from salmu.evaluation.attacks.outcome import nothing
from salmu.evaluation.attacks.reattachment import reattachment, ridge
from salmu.evaluation.attacks.relearning import relearning
from salmu.evaluation.attacks.rounding import rounded_to
from salmu.evaluation.attacks.words import KINDS, kind
from salmu.evaluation.encoding.embeddings import Encoder
from salmu.evaluation.encoding.pairs import encoded_pairs
from salmu.evaluation.encoding.settings import (
    AttackMargins,
    AttackSettings,
    EvaluationSettings,
    Margins,
    RelearningSettings,
)
from salmu.evaluation.metrics.membership import NO_OUTSIDERS
from salmu.evaluation.metrics.retrieval import own_rank
from salmu.evaluation.scoring.evaluate import evaluate
from salmu.evaluation.unlearning.losses import head_of, pair_losses
from salmu.evaluation.unlearning.pair_streams import embeddings
from salmu.evaluation.verdicts.attacks import attacked
from salmu.evaluation.verdicts.leaderboard import records
from salmu.evaluation.verdicts.targets import leak_paths
from salmu.model_training.loading.clip import load_model


@pytest.fixture(scope="module")
def settings(quick) -> EvaluationSettings:
    short = RelearningSettings(
        steps=6, points=2, share=0.3, learning_rates=(3e-3,), ranks=(0, 4), batch_size=12, rows=512
    )
    chosen = AttackSettings(enabled=True, relearning=short, shots=(1, 2), draws=3, made_names=5)
    return quick.model_copy(update={"attacks": chosen})


@pytest.fixture(scope="module")
def results(settings, model_dir, dataset_dir):
    return evaluate(settings, model_dir, dataset_dir, start=model_dir)


@pytest.fixture(scope="module")
def found(results):
    return results["extended"]["attacks"]


def test_all_attacks_stand_in_the_result_file_and_change_no_metric(results, found, quick, model_dir, dataset_dir):
    rounding, shots = ["rounding_8_bits", "rounding_4_bits"], ["few_shot_1", "few_shot_2"]
    assert list(found) == ["relearning", *rounding, "reattachment", *shots, "name_search", "gradient_membership"]
    assert list(results["extended"]["cost"]["attack_seconds"]) == list(found)
    assert found["gradient_membership"] == {"value": None, "reason": NO_OUTSIDERS}
    for name, attack in list(found.items())[:-1]:
        low, high = attack["interval"]
        assert low <= attack["value"] <= high and 0 < attack["chance"] < 1 and kind(name) in KINDS
        sums, rows = attack["clusters"].values()
        assert sum(sums) / sum(rows) == pytest.approx(attack["value"], abs=1e-6)
    plain = evaluate(quick, model_dir, dataset_dir)
    assert plain["efficacy"] == results["efficacy"] and "attacks" not in plain["extended"]


def test_without_a_start_model_one_attack_says_so_in_one_line(settings, quick, model_dir, dataset_dir, monkeypatch):
    monkeypatch.setattr("salmu.evaluation.attacks.suite.relearning", lambda *_: nothing("not asked"))
    one = settings.attacks.model_copy(update={"bits": (), "shots": ()})
    attacks = evaluate(quick.model_copy(update={"attacks": one}), model_dir, dataset_dir)["extended"]["attacks"]
    assert attacks["reattachment"] == {"value": None, "reason": "no start model is known; name it with --start"}


def test_curves_of_relearning_start_at_the_model_and_the_strongest_is_the_number(found):
    attack = found["relearning"]
    curves = attack["curves"]
    assert [(one["source"], one["rank"]) for one in curves] == [
        (source, rank) for source in ("forget", "facts", "retain") for rank in (0, 4)
    ]
    assert [one["trained_on"] for one in curves[::2]] == [48 - attack["asked"], 20, 27]
    points = [one["points"] for one in curves]
    assert all([point["step"] for point in one] == [0, 3, 6] and one[0] == points[0][0] for one in points)
    assert points[0][1:] != points[1][1:] and points[0][1:] != points[2][1:]
    assert attack["value"] == pytest.approx(max(point["RetFail"] for one in points for point in one))
    best = next(point for point in points[attack["strongest"]] if point["step"] == attack["at_step"])
    assert best["RetFail"] == pytest.approx(attack["value"])
    assert points[0][-1]["AssocStr"] > points[0][0]["AssocStr"]
    for point in points[0]:
        assert point["AssocStr_low"] <= point["AssocStr"] <= point["AssocStr_high"]
        assert point["RetFail_low"] <= point["RetFail"] <= point["RetFail_high"]


def test_step_0_is_the_evaluators_own_number_on_those_that_are_asked(found, model_dir, dataset_dir):
    dataset = open_dataset(dataset_dir)
    encoder = Encoder(load_model(model_dir), 256, dataset.digest)
    forget, retain = (encoded_pairs(dataset, split, encoder) for split in ("forget", "retain_disjoint"))
    people = generator(0, "relearning", "people").permutation(np.unique(forget.identity.astype(str)))
    rest = forget.rows(~np.isin(forget.identity.astype(str), people[: round(0.3 * len(people))]))
    drawn = np.sort(generator(0, "relearning", "gallery").permutation(len(retain))[: len(rest)])
    gallery = np.concatenate([rest.texts, retain.texts[drawn]])
    ranks, _ = own_rank(rest.images, rest.texts, gallery, rest.text, np.concatenate([rest.text, retain.text[drawn]]))
    first = found["relearning"]["curves"][0]["points"][0]
    assert found["relearning"]["asked"] == len(rest)
    assert first["AssocStr"] == pytest.approx(rest.cosines.mean(), abs=1e-5)
    assert first["RetFail"] == pytest.approx(np.mean(1 / ranks), abs=1e-5)


def test_relearning_repeats_and_leaves_the_model_alone(found, settings, model_dir, dataset_dir):
    clip = load_model(model_dir)
    before = clip.weights_digest
    short = settings.attacks.relearning.model_copy(update={"sources": ("forget",), "ranks": (4,)})
    once = settings.model_copy(update={"attacks": settings.attacks.model_copy(update={"relearning": short})})
    (again,) = relearning(once, clip, open_dataset(dataset_dir)).about["curves"]
    last = found["relearning"]["curves"][1]["points"][-1]
    assert again["points"][-1]["AssocStr"] == pytest.approx(last["AssocStr"], abs=1e-5)
    assert clip.weights_digest == before


def test_lora_changes_nothing_at_first_and_learns_little(model_dir):
    clip = load_model(model_dir)
    network, tokens = clip.network, clip.tokenizer(["a b", "c"])
    with torch.no_grad():
        before = network.encode_text(tokens)
    learned = low_rank(network, 2, 0)
    assert torch.equal(network.encode_text(tokens).detach(), before)
    assert {id(one) for one in network.parameters() if one.requires_grad} == {id(one) for one in learned}
    network.encode_text(tokens).sum().backward()
    assert any(one.grad is not None and one.grad.abs().max() > 0 for one in learned)
    assert sum(one.numel() for one in learned) < 0.3 * sum(one.numel() for one in network.parameters())


def test_rounding_leaves_so_many_values_in_each_output_channel(model_dir):
    network = load_model(model_dir).network
    rounded = dict(rounded_to(network, 3).named_parameters())
    for name, weight in network.named_parameters():
        if weight.ndim < 2:
            assert torch.equal(rounded[name], weight)
            continue
        across = name in ("text_projection", "visual.proj")
        rows = (rounded[name].T if across else rounded[name].flatten(1)).detach()
        assert max(len(row.unique()) for row in rows) <= 7 and not torch.equal(rounded[name], weight)
        finer = dict(rounded_to(network, 16).named_parameters())[name]
        assert (finer - weight).abs().max() < (rounded[name] - weight).abs().max() / 1000


def test_few_shots_find_people_whose_portraits_are_alike_and_no_others(random_pairs):
    pairs = random_pairs(60)
    centres = unit(np.random.default_rng(1).normal(size=(10, 16)))
    alike = replace(pairs, images=unit(centres[np.arange(60) % 10] + 0.01 * pairs.images))
    assert few_shot(alike, 1, 5, 0).values.mean() == 1
    by_chance = few_shot(pairs, 3, 40, 0)
    assert by_chance.chance == 0.1 and abs(by_chance.values.mean() - 0.1) < 0.05
    assert len(by_chance.values) == 40 * (60 - 3 * 10)  # the labelled ones are not asked
    assert "reason" in few_shot(pairs, 6, 5, 0).about


def test_the_search_over_names_ranks_the_real_one_among_all_and_made_ones(random_pairs):
    pairs, identities = random_pairs(20), {str(number): {"name": f"Name {number}"} for number in range(15)}
    axes = {form.format(f"Name {number}"): number for number in range(10) for form in TEMPLATES}

    def encode(texts):  # the portraits of Name N lie on axis N; every other name lies elsewhere
        return np.eye(16, dtype=np.float32)[[axes.get(text, 12) for text in texts]]

    seen = replace(pairs, images=np.eye(16, dtype=np.float32)[np.arange(20) % 10])
    outcome = name_search(seen, identities, 8, 0, encode)
    assert outcome.values.mean() == 1 and outcome.about == {"names": 15, "made_names": 8, "templates": len(TEMPLATES)}
    blind = name_search(replace(seen, images=np.eye(16, dtype=np.float32)[np.full(20, 14)]), identities, 8, 0, encode)
    assert blind.values.mean() == pytest.approx(1 / 12) and blind.chance == pytest.approx(
        sum(1 / np.arange(1, 24)) / 23
    )
    assert len(set(made_names("NL", 8, 0))) == 8 and made_names("NL", 8, 0) != made_names("PE", 8, 0)


def test_a_map_learned_on_retain_captions_undoes_a_turn_of_the_texts(random_pairs, settings):
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(16, 16)))
    known, parts = {}, {}
    for name, count, people in (("forget", 40, 10), ("retain_synth", 200, 20)):
        pairs = random_pairs(count, people=people, signal=3.0, seed=count)
        pairs = replace(pairs, text=np.array([f"{name} {text}" for text in pairs.text], object))
        known |= dict(zip(pairs.text, pairs.texts @ turn.T, strict=True))  # as the start model has them
        parts[name] = pairs
    parts["forget"] = replace(parts["forget"], texts=unit(np.random.default_rng(3).normal(size=(40, 16))))
    parts["retain_disjoint"] = parts["retain_synth"].rows(np.arange(50))
    sharp = settings.model_copy(update={"attacks": settings.attacks.model_copy(update={"ridge": 1e-4})})
    outcome = reattachment(sharp, parts, lambda texts: np.array([known[text] for text in texts], np.float32))
    assert outcome.about["onto"] == "texts" and outcome.values.mean() > 0.9
    assert np.abs(ridge(np.eye(3), np.ones((3, 2)), 1e-6) - 1).max() < 1e-3  # widths may differ


@pytest.mark.parametrize("more", [{}, {"init_logit_bias": -3.0}], ids=["softmax", "sigmoid"])
def test_gradients_compare_each_forgotten_person_with_each_outsider(more, dataset_dir, tmp_path):
    shutil.copytree(dataset_dir, tmp_path / "dataset")
    data = tmp_path / "dataset" / "data"
    shutil.copy(data / "holdout_identity-00000-of-00001.parquet", data / "outsiders-00000-of-00001.parquet")
    dataset, clip = open_dataset(tmp_path / "dataset"), load_model(write_model(tmp_path / "model", **more))
    encoder = Encoder(clip, 256, dataset.digest)
    pairs = {split: encoded_pairs(dataset, split, encoder) for split in ("forget", "outsiders", "retain_disjoint")}
    outcome = gradient_membership(clip, dataset, pairs, 2, 0)
    assert 0 < outcome.values.mean() < 1 and len(outcome.values) == len(set(pairs["forget"].person)) + 3
    assert not any(weight.grad is not None for weight in clip.network.parameters())
    (norm,) = gradient_norms(clip, *decoded(clip, dataset, "forget", np.array([3]))[:2], *neutral(pairs, 1))
    batch = decoded(clip, dataset, "forget", np.array([3]))
    images, texts = embeddings(clip.network.requires_grad_(True), batch.pixels, batch.tokens, "fp32")
    images, texts = (torch.cat(both) for both in zip((images, texts), neutral(pairs, 1), strict=True))
    pair_losses(images, texts, head_of(clip.network))[0].backward()
    squares = [weight.grad.square().sum() for weight in clip.network.parameters() if weight.grad is not None]
    assert norm == pytest.approx(sum(squares).sqrt().item(), rel=1e-4)
    rows = drawn(pairs["forget"].person, 2, 0, "forget")
    assert set(Counter(pairs["forget"].person[rows]).values()) == {2} and (np.diff(rows) > 0).all()


def neutral(pairs, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.from_numpy(getattr(pairs["retain_disjoint"], side)[:count]) for side in ("images", "texts"))


def test_every_attack_has_a_margin():
    assert set(AttackMargins.model_fields) == set(KINDS)


def attack_file(value: float, *, people: bool = True) -> dict:
    made = {"extended": {"attacks": {"few_shot_3": {"value": value}}}}
    if people:
        made["extended"]["attacks"]["few_shot_3"]["clusters"] = clustered({"extended": {}}, x=value)["extended"][
            "clusters"
        ]["x"]
    return made


def test_an_attack_is_judged_against_the_mean_of_its_controls_above_and_below():
    controls = [attack_file(0.3), attack_file(0.4)]
    states = {value: attacked(attack_file(value), controls, Margins()) for value in (0.6, 0.36, 0.1)}
    assert [row["attack_few_shot_3_state"] for row in states.values()] == ["above", "level", "below"]
    row = states[0.6]
    assert row["attack_few_shot_3_apart"] == pytest.approx(0.25) == pytest.approx(row["attack_few_shot_3_apart_low"])
    assert attacked(attack_file(0.6), [], Margins()) == {"attack_few_shot_3": 0.6}
    assert attacked(attack_file(0.6, people=False), controls, Margins())["attack_few_shot_3_apart_low"] is None
    assert attacked({"extended": {"attacks": {"magic": {"value": 1.0}}}}, controls, Margins()) == {}
    assert leak_paths(row) == {"attack_few_shot_3": KINDS["few_shot"].above} and leak_paths(states[0.1]) == {}


def test_the_control_is_retrained_or_clean_where_there_is_none():
    files = {
        "clean": attack_file(0.1),
        "retrained": attack_file(0.3),
        "retrained-2": attack_file(0.5),
        "m": attack_file(0.4),
    }
    rows = {row["model"]: row for row in records(files, {})}
    assert rows["m"]["attack_few_shot_3_apart"] == pytest.approx(0)
    assert rows["retrained"]["attack_few_shot_3_apart"] == pytest.approx(-0.2)  # the other one is its control
    (alone,) = records({"m": files["m"]}, {})
    assert alone["attack_few_shot_3"] == 0.4 and "attack_few_shot_3_apart" not in alone
    rows = {row["model"]: row for row in records({name: files[name] for name in ("clean", "m")}, {})}
    assert rows["m"]["attack_few_shot_3_apart"] == pytest.approx(0.3) and "attack_few_shot_3_apart" not in rows["clean"]


def test_settings_of_older_runs_are_read_and_a_relearning_that_was_asked_for_is_named():
    assert EvaluationSettings.model_validate({"recovery": {"steps": 0, "rows": 5}}) == EvaluationSettings()
    with pytest.raises(ValidationError, match="attacks.relearning"):
        EvaluationSettings.model_validate({"recovery": {"steps": 20}})
