"""Settings are chosen on a cut of the forget set, with the same number of trials for every method, all logged."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from salmu.data.errors import UserError
from salmu.data.readers import Dataset, open_dataset
from salmu.evaluation.selection import tuning
from salmu.evaluation.selection.internal_holdouts import UNSEEN_SCENES, Bench, cut, score, shares
from salmu.evaluation.selection.tuning import search_points, tune
from salmu.evaluation.unlearning.registry import get, methods
from salmu.evaluation.unlearning.settings import Between, OneOf

SMALL = {"budget": 0.5, "batch_size": 8, "threads": 1}


def test_the_cut_keeps_people_and_facts_whole(dataset_dir):
    dataset = open_dataset(dataset_dir)
    table = dataset.table("forget", ["identity_id", "data_field"]).to_pylist()
    parts = cut(dataset, 0)
    assert sorted(np.concatenate(parts).tolist()) == list(range(48))
    people = [{table[row]["identity_id"] for row in part} for part in parts]
    facts = [{tuple(table[row].values()) for row in part} for part in parts]
    assert len(people[1]) == round(0.15 * 9) and not people[1] & (people[0] | people[2])
    assert people[2] <= people[0] and not facts[0] & facts[2] and len(people[2]) == 4
    for person in people[2]:
        kept, out = (sum(fact[0] == person for fact in facts[part]) for part in (0, 2))
        assert kept == out  # half of the facts
    assert [part.tolist() for part in cut(dataset, 0)] == [part.tolist() for part in parts]
    assert [part.tolist() for part in cut(dataset, 1)] != [part.tolist() for part in parts]


@pytest.mark.parametrize("name", sorted(methods()))
def test_the_first_trial_has_the_defaults_and_the_others_cover_the_space(name):
    method = get(name)
    points = search_points(method, 9, seed=3)
    assert len(points) == 9 and points[0] == {} and points == search_points(method, 9, seed=3)
    for setting, space in method.space.items():
        values = [point[setting] for point in points[1:]]
        if hasattr(space, "low"):
            eighths = np.log(np.array(values) / space.low) / np.log(space.high / space.low) * 8
            assert sorted(np.clip(eighths, 0, 7.999).astype(int)) == pytest.approx(list(range(8)), abs=1)
        else:
            assert set(values) == set(space.values)


def test_a_tuning_reads_no_holdout_logs_every_trial_and_goes_on_after_a_kill(
    dataset_dir, model_dir, tmp_path, monkeypatch
):
    read, table = set(), Dataset.table
    monkeypatch.setattr(
        Dataset, "table", lambda self, split, columns=None: read.add(split) or table(self, split, columns)
    )

    def kill(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune("cliperase", model_dir, dataset_dir, tmp_path / "a", 3, 0, SMALL, kill)
    assert len((tmp_path / "a" / "trials.jsonl").read_text().splitlines()) == 2
    done = []
    record = tune("cliperase", model_dir, dataset_dir, tmp_path / "a", 3, 0, SMALL, lambda *now: done.append(now))
    assert done == [(3, 3)] and read == {"forget", "retain_synth"}
    trials = [json.loads(line) for line in (tmp_path / "a" / "trials.jsonl").read_text().splitlines()]
    assert [trial["trial"] for trial in trials] == [0, 1, 2]
    best = max(trials, key=lambda trial: trial["score"])
    assert record["trial"] == best["trial"] and record["score"] == best["score"]
    assert record["tuned"] == {name: best["settings"][name] for name in get("cliperase").space}
    assert json.loads((tmp_path / "a" / "tuned.json").read_text()) == record
    forget = record["rows"]["forget"]
    assert all(trial["saw"]["forget"]["times"] == round(forget / 2) for trial in trials)
    assert trials[0]["settings"]["batch_size"] == 8  # given, and the first of those that are tried
    assert trials[1]["settings"]["batch_size"] in (16, 32, 64, 128)

    other = tune("cliperase", model_dir, dataset_dir, tmp_path / "b", 3, 0, SMALL)
    assert other == record
    again = [json.loads(line) for line in (tmp_path / "b" / "trials.jsonl").read_text().splitlines()]
    for one, two in zip(trials, again, strict=True):
        assert one | {"seconds": 0} == two | {"seconds": 0}


def test_the_last_third_goes_on_from_the_best_trial_so_far(dataset_dir, model_dir, tmp_path):
    tune("cliperase", model_dir, dataset_dir, tmp_path, 6, 0, SMALL)
    trials = [json.loads(line) for line in (tmp_path / "trials.jsonl").read_text().splitlines()]
    method = get("cliperase")
    tried = [{name: trial["settings"][name] for name in method.space} for trial in trials]
    assert tried[1:4] == search_points(method, 4, 0)[1:] and len({str(point) for point in tried}) == 6
    for number in (4, 5):
        best = tried[max(range(number), key=lambda trial: trials[trial]["score"])]
        rates = tuning.widened(method, trials[:number], 4)["learning_rate"]
        before, after = best["learning_rate"], tried[number]["learning_rate"]
        factor = max(before / after, after / before)
        assert factor <= (rates.high / rates.low) ** (1 / 6) * 1.01  # three digits
        values = tuning.widened(method, trials[:number], 4)["forgetting"].values
        assert abs(values.index(best["forgetting"]) - values.index(tried[number]["forgetting"])) <= 1
        assert trials[number]["settings"] != trials[0]["settings"]


@given(st.floats(1e-6, 1e3), st.floats(1.01, 1e4), st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_a_step_stays_within_the_space(low, ratio, place, way):
    space = Between(low, low * ratio)
    for start in (space.at(place), low / 10, low * ratio * 10):
        assert space.low * 0.99 <= float(space.near(start, way)) <= space.high * 1.01  # three digits
    values = OneOf(("few", "some", "many"))
    assert values.near("some", way) in ("few", "many") and values.near("few", way) == "some"
    assert values.near("none", way) in values.values and OneOf((1,)).near(1, way) == 1


def test_a_space_goes_on_past_the_end_at_which_the_best_lies():
    rates = Between(1e-4, 1e-1)
    assert rates.beyond(1e-3) is rates.beyond(2.1e-4) is rates
    assert rates.beyond(1.9e-4) == Between(1e-5, 1e-1) and rates.beyond(0.09) == Between(1e-4, 1)
    assert rates.beyond(0.09).beyond(0.09) == Between(1e-4, 1)  # the same best widens it once
    sizes = OneOf((16, 32, 64))
    assert sizes.beyond(32) is sizes and sizes.beyond(64) == OneOf((16, 32, 64, 128))
    assert sizes.beyond(16) == OneOf((8, 16, 32, 64)) and OneOf((None, 10.0, 1.0)).beyond(1.0).values[-1] == 0.1
    for values in (("bank", "batch"), (None, 3.0), (0.0, 0.1), (True, False), (5,)):
        space = OneOf(values)
        assert space.beyond(values[0]) is space


def test_a_tuning_widens_a_space_says_so_and_asks_for_nothing_that_a_method_refuses(
    dataset_dir, model_dir, tmp_path, monkeypatch
):
    """The score is made to be the learning rate, so that the best lies at the upper end of its space."""
    monkeypatch.setattr(Bench, "trial", lambda self, settings: {"score": settings.learning_rate, "seconds": 1.0})
    record = tune("grad_diff", model_dir, dataset_dir, tmp_path, 12, 0, SMALL)
    trials = [json.loads(line) for line in (tmp_path / "trials.jsonl").read_text().splitlines()]
    method = get("grad_diff")
    ends = method.space["learning_rate"].ends
    assert all(row["settings"]["learning_rate"] <= ends[1] for row in trials[:8])
    wider = record["widened"]["learning_rate"]
    assert wider["from"] == list(ends) and wider["to"][1] >= record["tuned"]["learning_rate"] > ends[1]
    assert record == tune("grad_diff", model_dir, dataset_dir, tmp_path, 12, 0, SMALL)  # from the trials that are there
    for size, spread in ((128, (16, 256)), (16, (8, 128)), (32, (16, 128))):
        row = {"score": 0.0, "settings": trials[0]["settings"] | {"batch_size": size}}
        assert tuning.widened(method, [row], 1)["batch_size"].ends == spread
    small = {"score": 0.0, "settings": trials[0]["settings"] | {"batch_size": 16}}
    smaller = [small, *({"score": one, "settings": small["settings"] | {"batch_size": 16 >> one}} for one in (1, 2))]
    assert tuning.widened(method, smaller, 1)["batch_size"].ends == (4, 128)  # a step has at least 4 pairs


def test_each_trial_begins_at_the_start_model(dataset_dir, model_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "search_points", lambda method, trials, seed: [{}] * trials)
    tune("negative_gradient", model_dir, dataset_dir, tmp_path, 2, 0, SMALL | {"learning_rate": 1e-2})
    one, two = (json.loads(line) for line in (tmp_path / "trials.jsonl").read_text().splitlines())
    assert one["forget_cosine"] == two["forget_cosine"] and one["score"] == two["score"]


def test_a_trial_that_destroys_the_model_counts_and_says_so(dataset_dir, model_dir, tmp_path):
    record = tune("finetuning", model_dir, dataset_dir, tmp_path, 1, 0, SMALL | {"learning_rate": 1e30})
    trial = json.loads((tmp_path / "trials.jsonl").read_text())
    assert record["score"] == trial["score"] == -1 and "learning_rate" in trial["problem"]


def test_forgetting_at_the_price_of_knowledge_does_not_pay():
    start = {"forget_mrr": 0.5, "forget_chance": 0.1, "bystanders_mrr": 0.8, "scenes_mrr": 0.6}
    start |= {
        "mismatched_cosine": 0.2,
        "strangers_cosine": 0.6,
        "associations_cosine": 0.7,
        "mismatched_auc": 1.0,
        "mismatched_probe": 0.9,
    }
    untouched = shares(start, start)
    kept = dict.fromkeys(("bystanders_kept", "scenes_kept", "strangers_kept", "associations_kept"), 1)
    assert untouched == {"removed": 0, **kept, "mixed": 0}
    half = shares(start | {"forget_mrr": 0.3, "strangers_cosine": 0.4, "associations_cosine": 0.45}, start)
    assert half["removed"] == pytest.approx(0.5) and half["strangers_kept"] == pytest.approx(0.5)
    assert half["associations_kept"] == pytest.approx(0.5)
    destroyed = shares({name: 0.0 for name in start}, start)
    assert destroyed == {"removed": 1, **dict.fromkeys(kept, 0), "mixed": 0}
    untold = {"mismatched_auc": 0.5, "mismatched_probe": 0.5}
    ignorant = shares(start | {"forget_mrr": 0.1, "scenes_mrr": 0.1} | untold, start)
    inverted = shares(start | {"forget_mrr": 0.1} | untold | {"mismatched_auc": 0.1}, start)
    probed = shares(start | {"forget_mrr": 0.1} | untold | {"mismatched_probe": 0.7}, start)
    gone = shares(start | {"forget_mrr": 0.1} | untold, start)
    order = [untouched, ignorant, inverted, probed, gone]
    assert [score(one) for one in order] == sorted(score(one) for one in order)
    assert score(gone) == 1 and score(untouched) == score(destroyed) == 0 and 0 < score(half) < score(gone)
    assert score(ignorant) < score(half)  # who forgot half and kept its knowledge is preferred to who lost both
    assert score(shares({name: value for name, value in start.items() if "scenes" not in name}, start)) == 0


def test_what_a_trial_is_measured_on_is_not_what_its_method_sees(dataset_dir, model_dir):
    dataset, clip = open_dataset(dataset_dir), tuning.load(model_dir, "cpu")
    settings = get("finetuning").settings(retain_scenes=40)
    bench = Bench(get("finetuning"), settings, clip, dataset, 0)
    (unseen, bystanders), (_, scenes) = bench.measured["bystanders"], bench.measured["scenes"]
    seen = bench.seen["retain"]
    assert set(seen.file_names).isdisjoint(unseen.file_names[row] for row in bystanders)
    assert len(seen.file_names) + len(bystanders) == dataset.table("retain_synth", ["text"]).num_rows
    known = {scene.tobytes() for scene in seen.scenes}
    assert len(known) == 40 and len(scenes) == UNSEEN_SCENES
    assert known.isdisjoint(unseen.scenes[row - len(bystanders)].tobytes() for row in scenes)


def test_what_is_missing_is_named(dataset_dir, model_dir, tmp_path):
    with pytest.raises(UserError, match="no unlearning method 'forget_all'"):
        tune("forget_all", model_dir, dataset_dir, tmp_path)
    with pytest.raises(UserError, match="trials is 0"):
        tune("finetuning", model_dir, dataset_dir, tmp_path, 0)
    with pytest.raises(UserError, match="tuning of finetuning: unknown key 'forgetting'"):
        tune("finetuning", model_dir, dataset_dir, tmp_path, 1, 0, {"forgetting": 1})


@pytest.mark.parametrize("line", ["{", "[]", '{"trial": 0, "score": "x", "settings": {}}', "null"])
def test_damaged_trials_are_named_and_kept(line, dataset_dir, model_dir, tmp_path):
    (tmp_path / "trials.jsonl").write_text(f"{line}\n")
    with pytest.raises(UserError, match="trials.jsonl, line 1: .*; remove the file to begin again"):
        tune("finetuning", model_dir, dataset_dir, tmp_path, 1, 0, SMALL)
    assert (tmp_path / "trials.jsonl").read_text() == f"{line}\n"
