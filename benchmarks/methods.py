"""Every unlearning method on the pairs of some runs: tuned on internal holdouts, run with the whole budget, measured.

    python benchmarks/methods.py runs/one runs/two --out /tmp/methods [--pairs 1] [--trials 10]
                                 [--methods cliperase delete] [--workers 2] [--json benchmarks/methods.json]

Each method is tuned once, on the first run's first pair, and run on every pair of every run (`pair.seeds`). Writes
OUT/tuning/, OUT/pairs/<n>/ with unlearned/, results/ and leaderboard.jsonl; what is there already is kept. Prints the
table, which signs of the published table hold (SALMUBench, budget 5x), and which method meets which target of precise
forgetting."""

import argparse
import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from salmu.data.settings import validate
from salmu.evaluation.encoding.settings import EvaluationSettings
from salmu.evaluation.scoring.evaluate import evaluate_once
from salmu.evaluation.selection.tuning import OBJECTIVE, TRIALS, tune
from salmu.evaluation.unlearning.registry import methods
from salmu.evaluation.unlearning.runner import unlearn
from salmu.evaluation.verdicts.leaderboard import write_leaderboard
from salmu.evaluation.verdicts.targets import GONE, KEPT, outcomes

COLUMNS = ("RetFail", "AssocStr", "ACS", "GenKnow", "InterIdSim", "IntraIdSim", "VisIdInt", "FragSim")
BEYOND = (
    "InterIdMRR",
    "IntraIdMRR",
    "IdZSC",
    "CoreAssoc",
    "ACS_matched",
    "AssocAUC",
    "ValueMRR",
    "NameMRR",
    "ParaMRR",
    "ParaStr",
    "ImgRes",
)
PUBLISHED = ("cliperase", "delete", "direct_similarity_minimisation", "finetuning", "generic_captions")
PUBLISHED += ("negative_gradient", "shuffled_captions", "vlunlearn")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs with dataset/ and models/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=1, help="of each run")
    parser.add_argument("--trials", type=int, default=10, help="of each method; 0: its defaults, no tuning")
    parser.add_argument("--budget", type=float, default=5.0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--retain-scenes", type=int, default=1500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--methods", nargs="*", default=sorted(methods()), choices=sorted(methods()))
    parser.add_argument("--json", type=Path, help="write the table and all trials to this file")
    options = parser.parse_args()
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        count = len(sources(options))
        list(pool.map(partial(score_references, options), range(count)))
        for told in pool.map(partial(run_method, options), options.methods):
            print(told, flush=True)
    pairs = [
        {row["method"]: row for row in write_leaderboard(options.out / "pairs" / str(number))}
        for number in range(count)
    ]
    shared = [set(references(options, pair)) for pair in range(count)]
    names = [*sorted(set.intersection(*shared)), *options.methods]
    print(
        f"\nobjective of the tuning: {OBJECTIVE}\n\n{table(pairs, names, COLUMNS)}\n\n{table(pairs, names, BEYOND)}\n"
    )
    for claim, held in signs(pairs):
        print(f"{held} of {len(pairs)} pairs: {claim}")
    print("\ntargets of precise forgetting, pairs on which each is met:\n" + targets_table(pairs, names))
    if options.json:
        options.json.write_text(json.dumps(everything(options, pairs), indent=1) + "\n", encoding="utf-8")


def sources(options: argparse.Namespace) -> list[tuple[Path, int]]:
    """Run and number of each pair."""
    return [(run, number) for run in options.runs for number in range(options.pairs)]


def folder_of(options: argparse.Namespace, pair: int, which: str) -> Path:
    run, number = sources(options)[pair]
    return run / "models" / (f"s{number}" if number else "") / which


def references(options: argparse.Namespace, pair: int) -> list[str]:
    """Clean, Compromised and the Retrained models that a pair has."""
    return [path.parent.name for path in sorted(folder_of(options, pair, "clean").parent.glob("*/training.json"))]


def dataset_of(options: argparse.Namespace, pair: int) -> Path:
    return sources(options)[pair][0] / "dataset"


def score_references(options: argparse.Namespace, pair: int) -> None:
    for which in references(options, pair):
        score(options, pair, folder_of(options, pair, which), which)


def run_method(options: argparse.Namespace, name: str) -> str:
    """Tune a method on the first pair, run and score it on all; returns a line about it."""
    shared = {key: getattr(options, key) for key in ("budget", "batch_size", "retain_scenes")} | {"threads": 1}
    tuned: dict[str, Any] = {}
    if options.trials:
        start = folder_of(options, 0, "compromised")
        tuned = tune(name, start, dataset_of(options, 0), options.out / "tuning" / name, options.trials, 0, shared)[
            "tuned"
        ]
    seconds = []
    for pair in range(len(sources(options))):
        settings = validate(methods()[name].settings, shared | {"seed": pair} | tuned, name)
        folder = options.out / "pairs" / str(pair) / "unlearned" / f"{name}-{options.budget:g}x-s{pair}"
        unlearn(name, settings, folder_of(options, pair, "compromised"), dataset_of(options, pair), folder)
        score(options, pair, folder, folder.name)
        seconds.append(json.loads((folder / "unlearning.json").read_text())["seconds"])
    return f"{name:<30} {mean(seconds):>7.1f} s  {tuned}"


def score(options: argparse.Namespace, pair: int, model: Path, name: str) -> None:
    home = options.out / "pairs" / str(pair)
    dataset = dataset_of(options, pair)
    evaluate_once(EvaluationSettings(threads=1), model, dataset, home / "results" / f"{name}.json", home / "cache")


def table(pairs: list[dict], names: list[str], columns: tuple[str, ...]) -> str:
    """Means over the pairs, with the deviation between them where there are several."""
    lines = ["| method | " + " | ".join(columns) + " | s | verdicts |", "|---|" + "---:|" * (len(columns) + 1) + "---|"]
    for name in names:
        rows = [pair[name] for pair in pairs]
        cells = [spread([row[column] for row in rows]) for column in columns]
        seconds = spread([row["seconds"] for row in rows], 0)
        verdicts = ", ".join(sorted({row["verdict"] for row in rows if row.get("verdict")}))
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {seconds} | {verdicts} |")
    return "\n".join(lines)


def spread(values: list[float | None], digits: int = 3) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    return f"{mean(known):.{digits}f}" + (f" ± {stdev(known):.{digits}f}" if len(known) > 1 else "")


def signs(pairs: list[dict]) -> Iterator[tuple[str, int]]:
    """What the published table shows, and on how many pairs it shows here; only claims whose methods were run."""
    there = [name for name in PUBLISHED if name in pairs[0]]

    def count(holds) -> int:
        return sum(bool(holds(pair)) for pair in pairs)

    if "direct_similarity_minimisation" in there:
        yield (
            "Direct Similarity Minimisation drives InterIdSim lowest",
            count(
                lambda rows: min(there, key=lambda name: rows[name]["InterIdSim"]) == "direct_similarity_minimisation"
            ),
        )
    for name in sorted({"cliperase", "delete"} & set(there)):
        yield (
            f"{name} lies under Clean's AssocStr",
            count(lambda rows, name=name: rows[name]["AssocStr"] < rows["clean"]["AssocStr"]),
        )
        yield (
            f"{name} is called over-generalised",
            count(lambda rows, name=name: "over-generalised" in rows[name]["failures"]),
        )
    if "generic_captions" in there:
        yield (
            "Generic Captions leaves most of the leakage",
            count(lambda rows: max(there, key=lambda name: rows[name]["RetFail"]) == "generic_captions"),
        )
    if "finetuning" in there:
        yield (
            "Finetuning's InterIdSim lies between Clean's and Compromised's",
            count(
                lambda rows: (
                    rows["clean"]["InterIdSim"] < rows["finetuning"]["InterIdSim"] < rows["compromised"]["InterIdSim"]
                )
            ),
        )


def met(pairs: list[dict], name: str) -> dict[str, int]:
    """Metric -> pairs on which the model meets its target (evaluation/verdicts/targets.py); `all` at once last."""
    held = [outcomes(rows[name]) for rows in pairs]
    metrics = [
        metric for metric in (*GONE, *KEPT) if any(outcomes(row).get(metric) for rows in pairs for row in rows.values())
    ]
    return {metric: sum(metric in found and found[metric].met for found in held) for metric in metrics} | {
        "all": sum(bool(found) and all(one.met for one in found.values()) for found in held)
    }


def targets_table(pairs: list[dict], names: list[str]) -> str:
    counts = {name: met(pairs, name) for name in names}
    titles = list(next(iter(counts.values())))
    lines = ["| method | " + " | ".join(titles) + " |", "|---|" + "---:|" * len(titles)]
    return "\n".join(
        [*lines, *(f"| {name} | " + " | ".join(map(str, one.values())) + " |" for name, one in counts.items())]
    )


def everything(options: argparse.Namespace, pairs: list[dict]) -> dict[str, Any]:
    """What the table is made of: settings, every metric of every pair with its interval, and all trials."""
    kept = {*COLUMNS, *BEYOND, "seconds", "verdict", "failures", "reason"}
    kept |= {"model_digest", "dataset_digest", "settings_digest"}
    kept |= {f"{name}_{end}" for name in (*COLUMNS, *BEYOND) for end in ("low", "high")}
    trials = {}
    for name in options.methods:
        path = options.out / "tuning" / name / TRIALS
        if path.is_file():
            trials[name] = [json.loads(line) for line in path.read_text().splitlines()]
    searched = {name: methods()[name].search for name in trials}
    return {
        "settings": {key: getattr(options, key) for key in ("budget", "trials", "batch_size", "retain_scenes")}
        | {"pairs": [f"{run.name} {number}" for run, number in sources(options)]},
        "objective": OBJECTIVE,
        "signs": dict(signs(pairs)),
        "targets": {name: met(pairs, name) for name in options.methods},
        "pairs": [
            {name: {key: value for key, value in row.items() if key in kept} for name, row in rows.items()}
            for rows in pairs
        ],
        "trials": {
            name: [
                {key: trial.get(key) for key in ("trial", "score", "removed", "problem", "seconds")}
                | {key: trial["settings"][key] for key in searched[name]}
                for trial in rows
            ]
            for name, rows in trials.items()
        },
    }


if __name__ == "__main__":
    main()
