"""benchmarks/reliability.py: what it says of metrics whose answer is known."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from benchmarks import reliability
from salmu.data.keyed import generator
from salmu.evaluation.metrics.bootstrap import Sums


@pytest.fixture
def few_draws(monkeypatch):
    monkeypatch.setattr(reliability, "DRAWS", 20)
    monkeypatch.setattr(reliability, "HALVINGS", 10)


def test_taus_are_those_of_scipy_also_with_ties(few_draws):
    values = np.round(generator("taus").normal(size=(2, 9, 3)), 0)
    told = {tuple(row["metrics"]): row for row in reliability.agreement(["a", "b", "c"], values)}
    wanted = np.mean([kendalltau(pair[:, 0], pair[:, 2]).statistic for pair in values])
    assert told["a", "c"]["tau"] == pytest.approx(wanted, abs=1e-3)
    assert told["a", "c"]["low"] <= told["a", "c"]["tau"] <= told["a", "c"]["high"]
    again = {row["metric"]: row["tau"] for row in reliability.repeats(["a", "b", "c"], values)}
    assert again["b"] == pytest.approx(kendalltau(values[0, :, 1], values[1, :, 1]).statistic, abs=1e-3)


def test_five_metrics_lose_nothing_that_they_say_and_all_that_they_do_not(monkeypatch):
    monkeypatch.setattr(reliability, "USUAL", ("a", "b", "c", "d", "e"))
    values = generator("five").normal(size=(2, 14, 7))
    values[:, :, 5] = 2 * values[:, :, 0]  # says what the first one says
    usual = next(row for row in reliability.five([*"abcdefg"], values)["choices"] if row["five"] == "usual")
    assert usual["by_metric"]["f"] == 0
    assert usual["by_metric"]["g"] > 0.5
    assert usual["low"] <= usual["lost"] <= usual["high"]


def test_halves_of_people_who_are_all_alike_agree_and_noise_does_not(few_draws):
    rows = np.full(40, 3)
    alike = [Sums(np.full(40, value), rows) for value in (3.0, 6.0, 9.0)]
    assert {one for one, _, _ in reliability._halved(alike, "run", "metric")} == {1.0}
    noise = [Sums(generator("noise", model).normal(size=40), rows) for model in range(30)]
    assert np.mean([one for one, _, _ in reliability._halved(noise, "run", "metric")]) < 0.7


def test_the_kept_numbers_are_of_the_tables_that_come_with_the_project():
    kept = json.loads(reliability.TABLES[0].with_name("reliability.json").read_text(encoding="utf-8"))
    for path in reliability.TABLES:
        metrics, methods, values = reliability.read_table(path)
        found = kept["tables"][path.stem]
        assert (found["methods"], found["pairs"]) == (methods, len(values))
        assert [row["metric"] for row in found["repeats"]] == metrics


def test_the_order_of_methods_is_compared_between_architectures(few_draws, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(reliability.__file__).parent))
    architectures = importlib.import_module("architectures")
    monkeypatch.setattr(sys.modules["reliability"], "DRAWS", 20)
    methods = {f"method-{number}": number / 10 for number in range(8)}

    def table(order, verdict):
        rows = {name: {"RetFail": order * value, "GenKnow": 1 - value} for name, value in methods.items()}
        return {name: row | {"verdict": verdict} for name, row in (rows | {"clean": rows["method-3"]}).items()}

    tables = {"one": table(1, "partial"), "two": table(2, "partial"), "three": table(-1, "over-generalised")}
    taus = {(row["metric"], *row["tables"]): row["tau"] for row in architectures.orders(tables)}
    assert taus["RetFail", "one", "two"] == 1 and taus["RetFail", "one", "three"] == -1
    assert taus["GenKnow", "two", "three"] == 1
    told = {"taus": architectures.orders(tables), "verdicts": architectures.verdicts(tables)}
    assert [row["same"] for row in told["verdicts"]] == [8, 0, 0] and told["verdicts"][0]["methods"] == 8
    page = architectures.as_text(tables, told)
    assert "| RetFail | 1.00 [" in page and "| same verdict | 8 of 8 | 0 of 8 | 0 of 8 |" in page
