"""Every unlearning method on a run's pair: tuned on internal holdouts, run with the whole budget, measured.

    python benchmarks/methods.py runs/tiny --out /tmp/methods [--trials 6] [--budget 5] [--methods cliperase delete]

Writes OUT/tuning/, OUT/unlearned/, OUT/results/ and OUT/leaderboard.jsonl; what is there already is kept. Prints the
table, and which signs of the published table hold (SALMUBench, budget 5x)."""

import argparse
import json
from pathlib import Path
from typing import Any

from data.settings import validate
from evaluation.evaluate import evaluate_once
from evaluation.leaderboard import write_leaderboard
from evaluation.settings import EvaluationSettings
from evaluation.tuning import OBJECTIVE, tune
from evaluation.unlearning.registry import METHODS
from evaluation.unlearning.runner import unlearn

COLUMNS = ("RetFail", "AssocStr", "GenKnow", "InterIdSim", "IntraIdSim", "VisIdInt", "seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with dataset/ and models/")
    parser.add_argument("--dataset", type=Path, help="dataset folder, where it is not RUN/dataset")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=6, help="of each method; 0: its defaults, no tuning")
    parser.add_argument("--budget", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--retain-scenes", type=int, default=1500)
    parser.add_argument("--methods", nargs="*", default=sorted(METHODS), choices=sorted(METHODS))
    options = parser.parse_args()
    dataset = options.dataset or options.run / "dataset"
    shared = {name: getattr(options, name) for name in ("budget", "batch_size", "retain_scenes")}
    for which in ("clean", "compromised"):
        score(options.run / "models" / which, dataset, options.out, which)
    for name in options.methods:
        unlearned = run_method(name, options, dataset, shared)
        score(unlearned, dataset, options.out, unlearned.name)
        print(line(json.loads((unlearned / "unlearning.json").read_text())), flush=True)
    records = {record["method"]: record for record in write_leaderboard(options.out)}
    print(f"\nobjective of the tuning: {OBJECTIVE}\n\n{table(records)}\n")
    for claim, holds in signs(records).items():
        print(f"{'holds    ' if holds else 'does not '} {claim}")


def run_method(name: str, options: argparse.Namespace, dataset: Path, shared: dict[str, Any]) -> Path:
    """Tune and run a method; the folder of the unlearned model."""
    start, tuned = options.run / "models" / "compromised", {}
    if options.trials:
        found = tune(name, start, dataset, options.out / "tuning" / name, options.trials, options.seed, shared)
        tuned = found["tuned"]
    settings = validate(METHODS[name].settings, shared | {"seed": options.seed} | tuned, name)
    folder = options.out / "unlearned" / f"{name}-{options.budget:g}x-s{options.seed}"
    unlearn(name, settings, start, dataset, folder)
    return folder


def score(model: Path, dataset: Path, out: Path, name: str) -> None:
    evaluate_once(EvaluationSettings(), model, dataset, out / "results" / f"{name}.json", out / "cache")


def line(record: dict[str, Any]) -> str:
    tuned = {name: record["settings"][name] for name in METHODS[record["method"]].search}
    return f"{record['method']:<30} {record['pairs_seen']:>6} pairs {record['seconds']:>7.1f} s  {tuned}"


def table(records: dict[str, dict[str, Any]]) -> str:
    lines = ["| method | " + " | ".join(COLUMNS) + " | verdict |", "|---|" + "---:|" * len(COLUMNS) + "---|"]
    for name, row in records.items():
        numbers = ["-" if row[column] is None else f"{row[column]:.4g}" for column in COLUMNS]
        lines.append(f"| {name} | " + " | ".join(numbers) + f" | {row.get('verdict', '')} |")
    return "\n".join(lines)


def signs(records: dict[str, dict[str, Any]]) -> dict[str, bool]:
    """What the published table shows, and whether it shows here; only claims whose methods were run."""
    inter = {name: row["InterIdSim"] for name, row in records.items()}
    assoc = {name: row["AssocStr"] for name, row in records.items()}
    leak = {name: row["RetFail"] for name, row in records.items()}
    baselines = {name for name in inter if METHODS.get(name) and "SALMUBench" in METHODS[name].source} | {
        name for name in ("cliperase", "delete", "vlunlearn", "finetuning", "negative_gradient") if name in inter
    }
    found = {}
    if "direct_similarity_minimisation" in inter:
        lowest = min(baselines, key=inter.get)
        found["Direct Similarity Minimisation drives InterIdSim lowest"] = lowest == "direct_similarity_minimisation"
    for name in {"cliperase", "delete"} & set(assoc):
        found[f"{name} lies under Clean's AssocStr"] = assoc[name] < assoc["clean"]
        found[f"{name} drops InterIdSim below Clean's, which is over-generalised"] = inter[name] < inter["clean"]
    if "generic_captions" in leak:
        found["Generic Captions leaves most of the leakage"] = "generic_captions" == max(baselines, key=leak.get)
    if {"finetuning", "generic_captions"} <= set(inter):
        low, high = sorted((inter["clean"], inter["compromised"]))
        found["Finetuning lies between Clean and Compromised"] = low < inter["finetuning"] < high
    return found


if __name__ == "__main__":
    main()
