"""The plan: the same retain pairs for both models, sensitive pairs on top, evenly and in groups."""

import json
from collections import Counter

import numpy as np
import pytest

from salmu.data.errors import UserError
from salmu.model_training.plan import Plan
from salmu.model_training.sources import Shard


def plan(rows=(40, 25, 35), sensitive=17, epochs=3, batch=10, group=1, window=50, key=(7, 0), **more) -> Plan:
    shards = [Shard("test", f"{number}.tar", count, str(number)) for number, count in enumerate(rows)]
    return Plan(
        key,
        shards,
        [Shard("sensitive", "0-", sensitive, "s")] if sensitive else [],
        epochs,
        batch,
        group,
        window,
        **more,
    )


@pytest.mark.parametrize(
    ("rows", "sensitive", "epochs", "batch"),
    [((40, 25, 35), 17, 3, 10), ((1000,), 137, 2, 96), ((7, 0, 3, 9), 60, 4, 8)],
)
def test_every_retain_pair_is_seen_once_an_epoch_and_every_sensitive_pair_too(rows, sensitive, epochs, batch):
    made = plan(rows, sensitive, epochs, batch)
    steps = [made.step(number) for number in range(made.steps)]
    stream = np.concatenate([step.retain for step in steps])
    assert all(len(step.retain) == batch for step in steps)
    assert epochs * sum(rows) - len(stream) < batch
    for start in range(0, len(stream), sum(rows)):
        epoch = stream[start : start + sum(rows)]
        assert len(set(epoch)) == len(epoch) and set(epoch) <= set(range(sum(rows)))
    assert set(Counter(np.concatenate([step.sensitive for step in steps])).values()) == {epochs}
    added = [len(step.sensitive) for step in steps]
    assert max(added) - min(added) <= 1
    assert sum(int(times) * pairs for times, pairs in made.seen()["retain"].items()) == len(stream)
    assert made.seen()["sensitive"] == {str(epochs): sensitive}


def test_the_retain_batches_do_not_depend_on_the_sensitive_pairs():
    with_them, without = plan(sensitive=60), plan(sensitive=0)
    assert with_them.steps == without.steps
    for number in range(without.steps):
        assert np.array_equal(with_them.step(number).retain, without.step(number).retain)
        assert len(without.step(number).sensitive) == 0


def test_groups_divide_by_the_number_of_processes_and_are_filled_up():
    made = plan(sensitive=17, epochs=3, group=4)  # 51 places, filled up to 52
    lengths = [len(made.step(number).sensitive) for number in range(made.steps)]
    assert {length % 4 for length in lengths} == {0} and sum(lengths) == 52
    assert made.seen()["sensitive"] == {"3": 16, "4": 1}


def test_a_window_mixes_whole_shards_and_epochs_differ():
    made = plan(rows=(40, 25, 35), epochs=2, batch=10, window=50)
    first, second = (np.concatenate([made.step(n).retain for n in range(start, start + 10)]) for start in (0, 10))
    assert not np.array_equal(first, second)
    shards, _ = made.locate(first)
    changes = np.flatnonzero(np.diff(shards))
    assert len(changes) > 10  # not one shard after another


def test_the_plan_follows_seed_and_pair_and_is_one_small_file(tmp_path):
    made, again = plan(), plan()
    assert made.document == again.document and plan(key=(7, 1)).document["digest"] != made.document["digest"]
    assert any(not np.array_equal(made.step(n).retain, plan(key=(7, 1)).step(n).retain) for n in range(3))
    made.write(tmp_path)
    document = json.loads((tmp_path / "pair_plan.json").read_text())
    assert [shard["rows"] for shard in document["retain"]] == [40, 25, 35] and document["steps"] == 30


def test_any_step_of_a_plan_of_400_million_pairs_is_had_at_once():
    made = plan(rows=(10_000,) * 40_000, sensitive=60_053, epochs=32, batch=90_112, group=128, window=2**18)
    step = made.step(made.steps - 1)
    assert len(set(step.retain)) == 90_112 and step.retain.max() < 400_000_000
    assert sum(made.seen()["sensitive"].values()) == 60_053


def test_fewer_pairs_than_a_batch_is_one_line():
    with pytest.raises(UserError, match="2 retain pairs are fewer than a batch of 10"):
        plan(rows=(2,), epochs=1)


def streams(made: Plan) -> list[list[int]]:
    return [made.step(number).sensitive.tolist() for number in range(made.steps)]


def test_retrained_sees_compromiseds_batches_without_the_forget_pairs():
    forget = np.array([0, 3, 4, 16])
    compromised, retrained = plan(forget=forget), plan(forget=forget, retrained=1)
    for theirs, ours in zip(streams(compromised), streams(retrained), strict=True):
        assert ours == [pair for pair in theirs if pair not in forget]
    for number in range(retrained.steps):
        assert np.array_equal(compromised.step(number).retain, retrained.step(number).retain)
    assert retrained.seen() == {"retain": compromised.seen()["retain"], "sensitive": {"3": 13}}
    assert retrained.document == compromised.document


@pytest.mark.parametrize("group", [1, 4])
def test_with_nothing_to_forget_retrained_follows_compromiseds_plan(group):
    assert streams(plan(group=group)) == streams(plan(group=group, retrained=1))


def test_with_everything_to_forget_retrained_sees_no_sensitive_pair():
    assert not any(streams(plan(forget=np.arange(17), retrained=1)))


def test_groups_of_retrained_divide_by_the_number_of_processes_and_come_no_earlier_than_compromiseds():
    forget = np.arange(0, 17, 3)
    theirs, ours = streams(plan(group=4, forget=forget)), streams(plan(group=4, forget=forget, retrained=1))
    assert {len(pairs) % 4 for pairs in ours} == {0} and not set(forget) & {pair for step in ours for pair in step}
    assert sum(map(len, ours)) == 36  # three times 11 pairs, and the last group filled up
    kept = [[pair for pair in step if pair not in forget] for step in theirs]
    for step in range(len(ours) - 1):
        assert 0 <= sum(map(len, kept[: step + 1])) - sum(map(len, ours[: step + 1])) < 4


def test_further_retrained_models_come_from_other_draws():
    forget = np.array([1, 2])
    first, second, third = (plan(forget=forget, retrained=number) for number in (1, 2, 3))
    seen = [Counter(pair for step in streams(one) for pair in step) for one in (first, second, third)]
    assert seen[0] == seen[1] == seen[2] and streams(first) != streams(second) != streams(third)
    assert np.array_equal(first.step(0).retain, second.step(0).retain)
    assert not np.array_equal(first.step(0).retain, third.step(0).retain)
    assert first.draws == second.draws != third.draws  # first weights
