"""What makes as retrained precise: the method without each of its parts, on one pair.

    python benchmarks/precise.py runs/tiny --out /tmp/precise [--rows "as retrained" ...] [--attacks] [--workers 2]
                                 [--published-split DIR] [--json benchmarks/precise.json]

Each row is the method with some settings changed, or with --published-split the same dataset published with
publish.scheme=published. Prints a table, and RetFail by the number of a person's pairs. Finished work is kept."""

import argparse
import json
import multiprocessing
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from salmu.data.readers import open_dataset
from salmu.data.settings import validate
from salmu.evaluation.encoding.settings import AttackSettings, EvaluationSettings
from salmu.evaluation.scoring.evaluate import evaluate_once
from salmu.evaluation.unlearning.registry import methods
from salmu.evaluation.unlearning.runner import unlearn
from salmu.evaluation.verdicts.leaderboard import records
from salmu.evaluation.verdicts.targets import met_of, outcomes

SHOWN = (
    "RetFail",
    "ACS_mean",
    "CoreAssoc",
    "NameMRR",
    "ValueMRR",
    "ParaMRR",
    "ImgRes",
    "DeletionTrace",
    "GenKnow",
    "InterIdMRR",
    "IntraIdMRR",
)
METHOD = "as_retrained"
ROWS: dict[str, dict[str, Any]] = {
    "as retrained": {},
    "faces stay": {"faces": 0.0},
    "no captions of strangers and others": {"neighbours": 0},
    "no other wordings": {"paraphrases": 0, "drawn_paraphrases": 0},
    "no strangers' values": {"altered": 0},
    "no drawn pictures": {"made_portraits": 0, "made_scenes": 0},
    "no pull back": {"pull_back": 0.0},
    "wrong level: .7 of a stand-in's": {"factor": 0.7},
    "one stand-in a person": {"each": "person"},
    "fewer retain captions": {"retain": 0, "retain_scenes": 200},
    "sentences of the forget set": {"wordings": "own"},
    "budget 1": {"budget": 1.0},
}
REFERENCES = ("clean", "compromised", "retrained")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with dataset/ and models/")
    parser.add_argument("--published-split", type=Path, help="the run's dataset, published with the other split scheme")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS), metavar="ROW")
    parser.add_argument("--attacks", action="store_true", help="attack each model too")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    wanted = [(name, None) for name in options.rows]
    if options.published_split:
        wanted.append(("the published split by pairs", options.published_split))
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(partial(references, options), dict.fromkeys(dataset for _, dataset in wanted)))
        rows = list(pool.map(partial(ablated, options), wanted))
    rows = controls(options) + rows
    head = "| | gone | kept | " + " | ".join(SHOWN) + " | CPU s | missed |"
    print(head + "\n|---|---:|---:|" + "---:|" * (len(SHOWN) + 1) + "---|")
    for row in rows:
        cells = ["-" if row[metric] is None else f"{row[metric]:.4f}" for metric in SHOWN]
        missed = ", ".join(row["missed"])
        met = " | ".join("{} of {}".format(*row[group]) for group in ("gone", "kept"))
        seconds = "" if row["cpu_seconds"] is None else f"{row['cpu_seconds']:.0f}"
        print(f"| {row['name']} | {met} | " + " | ".join(cells) + f" | {seconds} | {missed} |")
    by_pairs = {row["name"]: row["by_pairs"] for row in rows if row.get("by_pairs")}
    print("\nRetFail by the number of a person's forget pairs:", json.dumps(next(iter(by_pairs.values()))))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def measure(options: argparse.Namespace, model: Path, dataset: Path, path: Path) -> dict[str, Any]:
    start = options.run / "models" / "compromised" if options.attacks else None
    settings = EvaluationSettings(threads=1, attacks=AttackSettings(enabled=options.attacks))
    evaluate_once(settings, model, dataset, path, options.out / "cache", start=start)
    return json.loads(path.read_text())


def references(options: argparse.Namespace, dataset: Path | None) -> dict[str, dict]:
    """The result files of the run's reference models on a dataset; the run's own for None."""
    kind = "published" if dataset else "facts"
    return {
        which: measure(
            options,
            options.run / "models" / which,
            dataset or options.run / "dataset",
            options.out / "results" / f"{which}-{kind}.json",
        )
        for which in (path.parent.name for path in sorted((options.run / "models").glob("*/training.json")))
    }


def ablated(options: argparse.Namespace, wanted: tuple[str, Path | None]) -> dict[str, Any]:
    """One row of the table."""
    name, dataset = wanted
    changes = ROWS.get(name, {})
    shared = {"budget": 5.0, "batch_size": 32, "retain_scenes": 1500, "threads": 1}
    settings = validate(methods()[METHOD].settings, shared | changes, name)
    place = "-".join("".join(c if c.isalnum() else " " for c in name).split())
    folder, data = options.out / "models" / place, dataset or options.run / "dataset"
    unlearn(METHOD, settings, options.run / "models" / "compromised", data, folder)
    results = measure(options, folder, data, options.out / "results" / f"{place}.json")
    beside = references(options, dataset)
    training = json.loads((folder / "unlearning.json").read_text())
    (row,) = (row for row in records(beside | {name: results}, {name: training}) if row["model"] == name)
    told = {"changes": changes, "cpu_seconds": training["cpu_seconds"], "by_pairs": by_pairs(results, data)}
    return figures(name, row) | told


def controls(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of Clean, Compromised and Retrained."""
    rows = {row["model"]: row for row in records(references(options, None), {})}
    return [figures(name, rows[name]) | {"cpu_seconds": None} for name in REFERENCES]


def figures(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """Of a row of the leaderboard: targets met and missed, the metrics shown with their intervals, and the attacks."""
    wanted = {*SHOWN} | {f"{metric}_{end}" for metric in SHOWN for end in ("low", "high")}
    return {
        "name": name,
        "gone": met_of(row, "gone"),
        "kept": met_of(row, "kept"),
        "missed": {one.metric: one.state for one in outcomes(row).values() if one.state in ("above", "below")},
        "verdict": row.get("verdict"),
        "attacks": {key: value for key, value in row.items() if key.startswith("attack_")},
        **{key: value for key, value in row.items() if key in wanted},
    }


def by_pairs(results: dict[str, Any], dataset: Path) -> dict[str, float]:
    """RetFail of people with few, some and many forget pairs: thirds of the people."""
    people = open_dataset(dataset).table("forget", ["identity_id"]).column("identity_id").to_pylist()
    counts, ranks = Counter(people), results["efficacy"]["1.1_RetFail"]["outcomes"]
    order = sorted(counts, key=lambda person: (counts[person], person))
    found = {}
    for third in range(3):
        chosen = set(order[len(order) * third // 3 : len(order) * (third + 1) // 3])
        sizes = [counts[person] for person in chosen]
        values = [1 / rank for rank, person in zip(ranks, people, strict=True) if person in chosen]
        found[f"{min(sizes)} to {max(sizes)} pairs"] = round(mean(values), 5)
    return found


if __name__ == "__main__":
    main()
