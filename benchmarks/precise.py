"""What makes stranger targets precise: the method without each of its parts, on one pair.

    python benchmarks/precise.py runs/tiny --out /tmp/precise [--published-split DIR] [--workers 2]
                                 [--json benchmarks/precise.json]

Each row is the method with some settings changed, another method, another budget or, with --published-split, the same
dataset published with publish.scheme=published. Prints a table, and RetFail by the number of a person's pairs."""

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
from salmu.evaluation.encoding.settings import AttackSettings, EvaluationSettings, RelearningSettings
from salmu.evaluation.scoring.evaluate import evaluate_once
from salmu.evaluation.unlearning.registry import methods
from salmu.evaluation.unlearning.runner import unlearn
from salmu.evaluation.verdicts.leaderboard import records
from salmu.evaluation.verdicts.targets import leak_paths, met_of, outcomes

SHOWN = (
    "RetFail",
    "AssocStr",
    "ACS",
    "GenKnow",
    "InterIdSim",
    "IntraIdSim",
    "CoreAssoc",
    "ParaMRR",
    "AssocAUC",
    "ImgRes",
)
OWN = "stranger_targets"
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "stranger targets": (OWN, {}),
    "one stranger a person": (OWN, {"each": "person"}),
    "without overshoot": (OWN, {"overshoot": 0.0}),
    "without neighbour captions": (OWN, {"neighbours": 0}),
    "without paraphrases": (OWN, {"paraphrases": 0}),
    "wrong clean level: shuffled": (OWN, {"clean_level": "shuffled"}),
    "fewer retain captions": (OWN, {"retain": 0, "retain_scenes": 200}),
    "budget 1": (OWN, {"budget": 1.0}),
    "a quarter of the neighbour captions": (OWN, {"neighbours": 12}),
    "both towers (structure distillation)": ("structure_distillation", {}),
    "least rotation instead of a stranger (TextRot)": ("text_rotation", {}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with dataset/ and models/")
    parser.add_argument("--published-split", type=Path, help="the run's dataset, published with the other split scheme")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--relearning-steps", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    wanted = [(name, None) for name in ROWS]
    if options.published_split:
        wanted.append(("the published split by pairs", options.published_split))
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(partial(references, options), dict.fromkeys(dataset for _, dataset in wanted)))
        rows = list(pool.map(partial(ablated, options), wanted))
    head = "| | gone | kept | " + " | ".join(SHOWN) + " | s | gives away |"
    print(head + "\n|---|---:|---:|" + "---:|" * (len(SHOWN) + 1) + "---|")
    for row in rows:
        cells = ["-" if row[metric] is None else f"{row[metric]:.4f}" for metric in SHOWN]
        given = ", ".join(row["gives_away"])
        met = " | ".join("{} of {}".format(*row[group]) for group in ("gone", "kept"))
        print(f"| {row['name']} | {met} | " + " | ".join(cells) + f" | {row['seconds']:.0f} | {given} |")
    print("\nRetFail by the number of a person's forget pairs:", json.dumps(rows[0]["by_pairs"]))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def measure(options: argparse.Namespace, model: Path, dataset: Path, path: Path) -> dict[str, Any]:
    attacks = AttackSettings(enabled=True, relearning=RelearningSettings(steps=options.relearning_steps))
    start = options.run / "models" / "compromised"
    settings = EvaluationSettings(threads=1, attacks=attacks)
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
    method, changes = ROWS.get(name, ROWS["stranger targets"])
    shared = {"budget": 5.0, "batch_size": 32, "retain_scenes": 1500, "threads": 1}
    settings = validate(methods()[method].settings, shared | changes, name)
    place = "-".join("".join(c if c.isalnum() else " " for c in name).split())
    folder, data = options.out / "models" / place, dataset or options.run / "dataset"
    unlearn(method, settings, options.run / "models" / "compromised", data, folder)
    results = measure(options, folder, data, options.out / "results" / f"{place}.json")
    beside = references(options, dataset)
    training = json.loads((folder / "unlearning.json").read_text())
    (row,) = (row for row in records(beside | {name: results}, {name: training}) if row["model"] == name)
    return {
        "name": name,
        "method": method,
        "changes": changes,
        "seconds": training["seconds"],
        "prepared": training.get("prepared"),
        "gone": met_of(row, "gone"),
        "kept": met_of(row, "kept"),
        "missed": {one.metric: one.state for one in outcomes(row).values() if not one.met},
        "gives_away": list(leak_paths(row)),
        "verdict": row.get("verdict"),
        "attacks": {key: value for key, value in row.items() if key.startswith("attack_")},
        **{metric: row[metric] for metric in SHOWN},
        "per_attribute": {one["data_field"]: one["RetFail"] for one in results["extended"]["per_attribute"]},
        "by_pairs": by_pairs(results, data),
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
