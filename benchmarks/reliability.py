"""How reliable are the metrics? What repeats from pair to pair and from half of the people to the other, which metrics
say the same, and what a table of five would hide.

    python benchmarks/reliability.py [RUN ...] [--tables benchmarks/methods.json benchmarks/unseen.json]
                                     [--json benchmarks/reliability.json]

Reads the tables of `methods.py`, which hold the same methods on several pairs, and the result files of runs. Reference
models are left out of everything but the halves.

repeats     Kendall's tau between the order of the methods by a metric on one pair and on another, mean over the pairs.
halves      The people of a run are halved, 200 times. The models' values in one half are correlated with those in the
            other, and stepped up to all people (Spearman and Brown): mean over runs and draws, and where the middle
            95 % of them lie. apart: mean difference of a model's two halves.
agreement   Kendall's tau between two metrics over the methods, mean over the pairs. A metric that one wants high and
            one that one wants low agree at -1.
five        The methods' ranks within a pair by every other metric are predicted from those by five metrics: least
            squares, fitted without the method that is asked. `lost` is the share of the variance that is left. Three
            choices of five: the best for these very methods, the usual ones of published tables, and any five (mean
            and worst of all choices).

Intervals are 95 %: for taus and `lost` over methods, drawn with replacement."""

import argparse
import json
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from salmu.data.keyed import generator
from salmu.evaluation.metrics.bootstrap import Sums, bounds_of, interval
from salmu.evaluation.metrics.results_file import read_results
from salmu.evaluation.metrics.score import METRICS, headline, sums_of
from salmu.evaluation.verdicts.leaderboard import reference_of

TABLES = [Path(__file__).with_name(name) for name in ("methods.json", "unseen.json")]
RENAMED = {"MIA": "AssocAUC"}  # of tables that older versions wrote
USUAL = ("RetFail", "AssocStr", "GenKnow", "InterIdSim", "IntraIdSim")  # of published tables
DRAWS, HALVINGS = 1000, 200
CERTAIN = 0.8  # metrics with so large a tau order methods alike


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", help="folders of runs with results, for the halves")
    parser.add_argument("--tables", type=Path, nargs="+", default=TABLES)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, Any] = {"tables": {}, "halves": halves(options.runs)}
    for path in options.tables:
        metrics, methods, values = read_table(path)
        found["tables"][path.stem] = {
            "methods": methods,
            "pairs": len(values),
            "repeats": repeats(metrics, values),
            "agreement": agreement(metrics, values),
            "five": five(metrics, values),
        }
    tell(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def read_table(path: Path) -> tuple[list[str], list[str], np.ndarray]:
    """Metrics, methods, and values [pairs, methods, metrics] of a table of methods.py; what was measured everywhere."""
    pairs = [
        {model: {RENAMED.get(key, key): value for key, value in row.items()} for model, row in pair.items()}
        for pair in json.loads(path.read_text(encoding="utf-8"))["pairs"]
    ]
    methods = sorted(model for model in set.intersection(*map(set, pairs)) if reference_of(model) is None)
    metrics = [name for name in METRICS if all(pair[one].get(name) is not None for pair in pairs for one in methods)]
    return metrics, methods, np.array([[[pair[one][name] for name in metrics] for one in methods] for pair in pairs])


def repeats(metrics: list[str], values: np.ndarray) -> list[dict[str, Any]]:
    """One row a metric."""
    signs = compared(values)

    def taus(weights: np.ndarray) -> np.ndarray:
        return np.mean([tau(one, other, weights).diagonal() for one, other in combinations(signs, 2)], axis=0)

    found = over_methods(taus, values.shape[1], "repeats")
    return [{"metric": name} | dict(zip(("tau", "low", "high"), row)) for name, row in zip(metrics, found.tolist())]


def agreement(metrics: list[str], values: np.ndarray) -> list[dict[str, Any]]:
    """One row for each two metrics, the strongest agreement first."""
    signs = compared(values)

    def taus(weights: np.ndarray) -> np.ndarray:
        return np.mean([tau(one, one, weights) for one in signs], axis=0)

    found = over_methods(taus, values.shape[1], "agreement")
    rows = [
        {"metrics": [metrics[one], metrics[other]]} | dict(zip(("tau", "low", "high"), found[one, other].tolist()))
        for one, other in combinations(range(len(metrics)), 2)
    ]
    return sorted(rows, key=lambda row: -abs(row["tau"]))


def compared(values: np.ndarray) -> np.ndarray:
    """Which of two methods has more: [pairs, methods * methods, metrics]."""
    count = values.shape[1]
    return np.sign(values[:, :, None] - values[:, None]).reshape(len(values), count * count, -1)


def tau(one: np.ndarray, other: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Kendall's tau-b of each metric with each other one, from the signs of two tables; 0 where all are alike."""
    both, alone = one.T * weights @ other, [np.einsum("wm,w,wm->m", part, weights, part) for part in (one, other)]
    return both / np.sqrt(np.maximum(np.outer(*alone), 1e-9))


def over_methods(statistic: Callable[[np.ndarray], np.ndarray], count: int, *key) -> np.ndarray:
    """A statistic of weights of two methods, and its interval over methods: [..., 3]."""
    rng, every = generator(0, "reliability", *key), np.ones(count)
    weights = [np.bincount(rng.integers(0, count, count), minlength=count) for _ in range(DRAWS)]
    draws = np.array([statistic(np.outer(one, one).ravel()) for one in weights])
    value = statistic(np.outer(every, every).ravel())
    bounds = [bounds_of(column, count, 0.95) for column in draws.reshape(DRAWS, -1).T]
    low, high = np.clip(np.array(bounds).T, -1, 1).reshape(2, *value.shape)
    return np.stack([value, low, high], -1).round(3)


def halves(runs: list[Path]) -> list[dict[str, Any]]:
    """One row a metric: the correlation of two halves of the people, stepped up, and the models' mean difference."""
    found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in METRICS}
    for run in runs:
        results = [read_results(path) for path in sorted((run / "results").glob("*.json"))]
        for name in METRICS:
            sums = [sums_of(file, name) for file in results if headline(file, name) is not None]
            if len(sums) > 2 and None not in sums and len({len(one.rows) for one in sums}) == 1:
                found[name] += list(_halved(sums, run.name, name))
    rows = []
    for name, draws in found.items():
        if draws:
            correlations, apart, people = np.array(draws).T
            low, high = np.quantile(correlations, (0.025, 0.975))
            figures = {"reliability": np.mean(correlations), "low": low, "high": high, "apart": np.mean(apart)}
            rounded = {figure: round(float(value), 3) for figure, value in figures.items()}
            rows.append({"metric": name, "people": int(min(people))} | rounded)
    return rows


def _halved(sums: list[Sums], run: str, metric: str) -> Iterator[tuple[float, float, int]]:
    """Reliability, mean difference of a model's two halves, and people; once a halving."""
    count = len(sums[0].rows)
    for draw in range(HALVINGS):
        order = generator(0, "reliability", "halves", run, metric, draw).permutation(count)
        one, other = (
            np.array([part.sums[half].sum() / part.rows[half].sum() for part in sums])
            for half in (order[: count // 2], order[count // 2 :])
        )
        if np.ptp(one) > 0 and np.ptp(other) > 0:
            correlation = max(float(np.corrcoef(one, other)[0, 1]), 0.0)
            yield 2 * correlation / (1 + correlation), float(np.abs(one - other).mean()), count


def five(metrics: list[str], values: np.ndarray) -> dict[str, Any]:
    """What five metrics leave unsaid of the others."""
    ranks = np.stack([rankdata(pair, axis=0) for pair in values])
    ranks -= ranks.mean(axis=1, keepdims=True)
    choices = np.array(list(combinations(range(len(metrics)), 5)))
    left, whole = _left(ranks, choices), (ranks**2).sum(0)
    every = np.array([left[at].sum() / np.delete(whole, choice, 1).sum() for at, choice in enumerate(choices)])
    usual = sorted(metrics.index(name) for name in USUAL)
    rows = [
        _choice(metrics, name, choices[at].tolist(), left[at], whole)
        for name, at in (("best", int(every.argmin())), ("usual", int((choices == usual).all(1).argmax())))
    ]
    return {"choices": rows, "any": {"mean": round(float(every.mean()), 3), "worst": round(float(every.max()), 3)}}


def _left(ranks: np.ndarray, choices: np.ndarray) -> np.ndarray:
    """Squared errors of the ranks by the metrics that are not chosen, each method predicted from the others:
    [choices, methods, metrics]; 0 for those that are."""
    flat = ranks.reshape(-1, ranks.shape[2])
    errors = np.empty((len(choices), ranks.shape[1], ranks.shape[2]))
    for method in range(ranks.shape[1]):
        own = ranks[:, method]
        gram = flat.T @ flat - own.T @ own
        known = gram[choices[:, :, None], choices[:, None]] + 1e-6 * np.eye(choices.shape[1])
        weights = np.linalg.solve(known, gram[choices])
        guesses = np.einsum("pck,ckm->cpm", own[:, choices], weights)
        errors[:, method] = ((own - guesses) ** 2).sum(1)
    np.put_along_axis(errors, choices[:, None], 0, axis=2)
    return errors


def _choice(metrics: list[str], name: str, choice: list[int], left: np.ndarray, whole: np.ndarray) -> dict[str, Any]:
    asked = [number for number in range(len(metrics)) if number not in choice]
    left, whole = left[:, asked], whole[:, asked]
    low, high = interval(Sums(left.sum(1), whole.sum(1)), 0, "reliability", name)
    by_metric = {metrics[number]: round(float(share), 3) for number, share in zip(asked, left.sum(0) / whole.sum(0))}
    return {
        "five": name,
        "metrics": [metrics[number] for number in choice],
        "lost": round(float(left.sum() / whole.sum()), 3),
        "low": round(max(low, 0), 3),
        "high": round(high, 3),
        "by_metric": dict(sorted(by_metric.items(), key=lambda item: -item[1])),
    }


def tell(found: dict[str, Any]) -> None:
    for row in found["halves"]:
        print(" | ".join(map(str, row.values())))
    for name, table in found["tables"].items():
        print(f"\n{name}: {len(table['methods'])} methods on {table['pairs']} pairs\n\nrepeats")
        for row in table["repeats"]:
            print(" | ".join(map(str, row.values())))
        alike = [row for row in table["agreement"] if abs(row["tau"]) >= CERTAIN]
        print(f"\nagreement: {len(alike)} of {len(table['agreement'])} twos at {CERTAIN} or more")
        for row in [*alike, *table["agreement"][-5:]]:
            print(f"{row['metrics'][0]}, {row['metrics'][1]}: {row['tau']} [{row['low']}, {row['high']}]")
        for row in table["five"]["choices"]:
            print(f"\n{row['five']}: {', '.join(row['metrics'])}: lost {row['lost']} [{row['low']}, {row['high']}]")
            print(", ".join(f"{metric} {value}" for metric, value in row["by_metric"].items()))
        print(f"any five: {table['five']['any']}")


if __name__ == "__main__":
    main()
