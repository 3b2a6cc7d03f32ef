"""Every unlearning method on the pairs of some runs: tuned on internal holdouts, run with the whole budget, measured.

    python benchmarks/methods.py runs/one runs/two --out /tmp/methods [--pairs 1] [--trials 10] [--seconds 60]
                                 [--methods cliperase held_npo] [--workers 2] [--json benchmarks/methods.json]
                                 [--changes '{"as_retrained": {"optimiser": "muon"}}']

Each method is tuned once, on the first run's first pair, and run on every pair of every run (`pair.seeds`). Writes
OUT/tuning/, OUT/pairs/<n>/ with unlearned/, results/ and leaderboard.jsonl; what is there already is kept. Prints the
table, which signs of the published table hold (SALMUBench, budget 5x), and which method meets which target of precise
forgetting.

The first table gives every method equally many pairs of the dataset. Some methods encode captions of their own beside
them, or look at each pair several times, and so take longer. `--seconds` makes a second table with equal CPU seconds: a
method's budget there is that of the first table, times the seconds wanted, over those that it took in the first table,
mean over the pairs. Settings stay those that were tuned at the first budget. What a method spends before its first step
does not grow with the budget, and methods that look at each pair once cannot spend more, so both tables show the CPU
seconds and the pairs that were really spent. Writes OUT/seconds/<n>/."""

import argparse
import json
import multiprocessing
import shutil
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
from salmu.evaluation.unlearning.registry import folder_of as run_folder
from salmu.evaluation.unlearning.registry import get, methods
from salmu.evaluation.unlearning.runner import unlearn
from salmu.evaluation.verdicts.leaderboard import write_leaderboard
from salmu.evaluation.verdicts.targets import GONE, KEPT, outcomes

COLUMNS = ("RetFail", "AssocStr", "ACS", "GenKnow", "InterIdSim", "IntraIdSim", "VisIdInt", "FragSim")
BEYOND = (
    "InterIdMRR",
    "IntraIdMRR",
    "IdZSC",
    "CoreAssoc",
    "ACS_mean",
    "ACS_matched",
    "AssocAUC",
    "ValueMRR",
    "NameMRR",
    "ParaMRR",
    "ParaStr",
    "ImgRes",
    "DeletionTrace",
    "Membership",
)
PUBLISHED = ("direct_similarity_minimisation", "finetuning", "generic_captions", "negative_gradient")
PUBLISHED += ("salmubench_cliperase", "salmubench_delete", "shuffled_captions", "vlunlearn")


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
    parser.add_argument("--seconds", type=float, help="CPU seconds of each method in a second table")
    parser.add_argument("--methods", nargs="*", default=sorted(methods()), help="held_METHOD is one too")
    parser.add_argument("--changes", type=json.loads, default={}, help="JSON: method -> settings, without a tuning")
    parser.add_argument("--json", type=Path, help="write the table and all trials to this file")
    options = parser.parse_args()
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        count = len(sources(options))
        list(pool.map(partial(score_references, options), range(count)))
        for told in pool.map(partial(run_method, options), options.methods):
            print(told, flush=True)
        for told in pool.map(partial(run_for_seconds, options), options.methods if options.seconds else ()):
            print(told, flush=True)
    pairs = scored(options, "pairs")
    shared = [set(references(options, pair)) for pair in range(count)]
    names = [*sorted(set.intersection(*shared)), *options.methods]
    print(f"\nobjective of the tuning: {OBJECTIVE}\n\nequal pairs: {options.budget:g} times the forget set\n")
    print(f"{table(pairs, names, COLUMNS)}\n\n{table(pairs, names, BEYOND)}\n")
    timed = scored(options, "seconds") if options.seconds else []
    if timed:
        print(f"equal seconds: {options.seconds:g} CPU s\n\n{table(timed, names, COLUMNS)}\n")
        print(f"{table(timed, names, BEYOND)}\n")
    for claim, held in signs(pairs):
        print(f"{held} of {len(pairs)} pairs: {claim}")
    print("\ntargets of precise forgetting, pairs on which each is met:\n" + targets_table(pairs, names))
    if timed:
        print("\nthe same at equal seconds:\n" + targets_table(timed, names))
    if options.json:
        found = everything(options, pairs)
        if timed:
            met_of = {name: met(timed, name) for name in options.methods}
            found |= {"equal_seconds": figures_of(timed), "equal_seconds_targets": met_of}
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


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
        score(options, "pairs", pair, folder_of(options, pair, which), which)


def run_method(options: argparse.Namespace, name: str) -> str:
    """Tune a method on the first pair, run and score it on all; returns a line about it."""
    budgets = [options.budget] * len(sources(options))
    return run_on_pairs(options, name, "pairs", budgets, tuned_settings(options, name))


def run_for_seconds(options: argparse.Namespace, name: str) -> str:
    """Run and score a method on all pairs with the budget that should take the CPU seconds asked for; returns a line
    about it. Needs the runs of `run_method`."""
    spent = [cost(options, "pairs", pair, name)["cpu_seconds"] for pair in range(len(sources(options)))]
    budget = min(1000.0, float(f"{options.budget * options.seconds / max(mean(spent), 1e-3):.3g}"))
    told = run_on_pairs(options, name, "seconds", [budget] * len(spent), tuned_settings(options, name))
    return f"{told}  budget {budget:g}, {mean(spent) / options.budget:.2f} CPU s a budget of 1"


def shared_settings(options: argparse.Namespace) -> dict[str, Any]:
    return {key: getattr(options, key) for key in ("batch_size", "retain_scenes")} | {"threads": 1}


def tuned_settings(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """What the tuning on the first pair found; kept where it is done. Without a tuning, the changes asked for."""
    if not options.trials:
        return options.changes.get(name, {})
    start, values = folder_of(options, 0, "compromised"), shared_settings(options) | {"budget": options.budget}
    return tune(name, start, dataset_of(options, 0), options.out / "tuning" / name, options.trials, 0, values)["tuned"]


def run_on_pairs(
    options: argparse.Namespace, name: str, table: str, budgets: list[float], tuned: dict[str, Any]
) -> str:
    for pair, budget in enumerate(budgets):
        values = shared_settings(options) | {"budget": budget, "seed": pair} | tuned
        folder = home(options, table, pair) / "unlearned" / run_folder(name, budget, pair)
        for other in folder.parent.glob(f"{name}-*x-s{pair}") if table == "seconds" else ():
            if other != folder:  # of a budget that was worked out before the first table was made anew
                shutil.rmtree(other)
                (home(options, table, pair) / "results" / f"{other.name}.json").unlink(missing_ok=True)
        start = folder_of(options, pair, "compromised")
        unlearn(name, validate(get(name).settings, values, name), start, dataset_of(options, pair), folder)
        score(options, table, pair, folder, folder.name)
    seconds = mean(cost(options, table, pair, name)["cpu_seconds"] for pair in range(len(budgets)))
    return f"{name:<30} {seconds:>7.1f} CPU s  {tuned}"


def home(options: argparse.Namespace, table: str, pair: int) -> Path:
    return options.out / table / str(pair)


def cost(options: argparse.Namespace, table: str, pair: int, name: str) -> dict[str, Any]:
    """CPU seconds, pairs seen and budget of a method's run."""
    folder = run_folder(name, options.budget, pair) if table == "pairs" else f"{name}-*x-s{pair}"
    (record,) = (home(options, table, pair) / "unlearned").glob(f"{folder}/unlearning.json")
    found = json.loads(record.read_text())
    return {key: found[key] for key in ("cpu_seconds", "pairs_seen", "budget")}


def scored(options: argparse.Namespace, table: str) -> list[dict[str, dict[str, Any]]]:
    """Method -> its row of the leaderboard with its cost, for each pair."""
    found = []
    for pair in range(len(sources(options))):
        place = home(options, table, pair)
        for name in references(options, pair) if table != "pairs" else ():
            (place / "results").mkdir(parents=True, exist_ok=True)
            shutil.copy(home(options, "pairs", pair) / "results" / f"{name}.json", place / "results")
        rows = {row["method"]: row for row in write_leaderboard(place)}
        for name in options.methods:
            rows[name] |= cost(options, table, pair, name)
        found.append(rows)
    return found


def score(options: argparse.Namespace, table: str, pair: int, model: Path, name: str) -> None:
    results = home(options, table, pair) / "results" / f"{name}.json"
    cache = home(options, "pairs", pair) / "cache"
    evaluate_once(EvaluationSettings(threads=1), model, dataset_of(options, pair), results, cache)


def table(pairs: list[dict], names: list[str], columns: tuple[str, ...]) -> str:
    """Means over the pairs, with the deviation between them where there are several."""
    heads = [*columns, "CPU s", "pairs"]
    lines = ["| method | " + " | ".join(heads) + " | verdicts |", "|---|" + "---:|" * len(heads) + "---|"]
    for name in names:
        rows = [pair[name] for pair in pairs]
        cells = [spread([row[column] for row in rows]) for column in columns]
        spent = [spread([row.get(key) for row in rows], 0) for key in ("cpu_seconds", "pairs_seen")]
        verdicts = ", ".join(sorted({row["verdict"] for row in rows if row.get("verdict")}))
        lines.append(f"| {name} | " + " | ".join([*cells, *spent]) + f" | {verdicts} |")
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
    for name in sorted({"salmubench_cliperase", "salmubench_delete"} & set(there)):
        yield (
            f"{name} brings both holdouts near zero, within .1",
            count(lambda rows, name=name: max(abs(rows[name][f"{one}IdSim"]) for one in ("Inter", "Intra")) < 0.1),
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
    trials = {}
    for name in options.methods:
        path = options.out / "tuning" / name / TRIALS
        if path.is_file():
            trials[name] = [json.loads(line) for line in path.read_text().splitlines()]
    searched = {name: get(name).space for name in trials}
    return {
        "settings": {
            key: getattr(options, key) for key in ("budget", "trials", "seconds", "batch_size", "retain_scenes")
        }
        | {"pairs": [f"{run.name} {number}" for run, number in sources(options)]}
        | options.changes,
        "objective": OBJECTIVE,
        "signs": dict(signs(pairs)),
        "targets": {name: met(pairs, name) for name in options.methods},
        "pairs": figures_of(pairs),
        "trials": {
            name: [
                {key: trial.get(key) for key in ("trial", "score", "removed", "problem", "seconds")}
                | {key: trial["settings"][key] for key in searched[name]}
                for trial in rows
            ]
            for name, rows in trials.items()
        },
    }


def figures_of(pairs: list[dict]) -> list[dict[str, dict[str, Any]]]:
    """Of every row: each metric with its interval, cost, verdict, and what it was made from."""
    kept = {*COLUMNS, *BEYOND, "seconds", "cpu_seconds", "pairs_seen", "budget", "verdict", "failures", "reason"}
    kept |= {"model_digest", "dataset_digest", "settings_digest"}
    kept |= {f"{name}_{end}" for name in (*COLUMNS, *BEYOND) for end in ("low", "high")}
    return [
        {name: {key: value for key, value in row.items() if key in kept} for name, row in rows.items()}
        for rows in pairs
    ]


if __name__ == "__main__":
    main()
