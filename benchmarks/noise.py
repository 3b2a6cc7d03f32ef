"""How far do two exact answers differ? The noise of retraining, from which the margins of the targets come.

    salmu run --profile tiny --run noise1 --set seed=1 --set pair.retrained=3      # three or more runs like this one
    python benchmarks/noise.py runs/noise1 [RUN ...] [--json benchmarks/noise.json]

Reads the result files of each run. Retrained models of a run were trained on the same pairs, without the forget pairs;
only order and first weights differ. Prints for each target their mean, the largest difference between two of them
within a run, the largest bound of the 90 % interval of one's difference from the others, the margin, and how far
Compromised and Clean lie from their mean. Then how many targets each model meets, and its LiRA; a Retrained is judged
against the others of its run. A margin must exceed the largest bound and, in what must be gone, stay below
Compromised's distance."""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

from salmu.evaluation.encoding.settings import Margins
from salmu.evaluation.verdicts.leaderboard import records_of, reference_of
from salmu.evaluation.verdicts.targets import GROUPS, TRACES, exact_of, met_of, outcomes

MARGINS = GROUPS | {"traces": TRACES}  # what has a margin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs with the results of two or more Retrained")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    runs = {run.name: {row["model"]: row for row in records_of(run)} for run in options.runs}
    table = [row(metric, group, runs) for group, metrics in MARGINS.items() for metric in metrics]
    models = [counts(name, rows) for name, rows in runs.items()]
    for lines in (table, [one for many in models for one in many]):
        print("| " + " | ".join(lines[0]) + " |\n|---|" + "---:|" * (len(lines[0]) - 1))
        for line in lines:
            cells = [f"{value:.4f}" if isinstance(value, float) else str(value) for value in line.values()]
            print("| " + " | ".join(cells) + " |")
        print()
    if options.json:
        document = {"targets": table, "models": [one for many in models for one in many], "values": values(runs)}
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def exact(rows: dict[str, dict], metric: str) -> list[float]:
    found = [rows[name][metric] for name in exact_of(rows)]
    return [value for value in found if value is not None]


def row(metric: str, group: str, runs: dict[str, dict[str, dict]]) -> dict[str, Any]:
    """One target, over all runs that measured it."""
    measured = [rows for rows in runs.values() if len(exact(rows, metric)) > 1]
    spread = [max(exact(rows, metric)) - min(exact(rows, metric)) for rows in measured]
    away: dict[str, list[float]] = defaultdict(list)
    for rows in measured:
        for name in ("compromised", "clean"):
            away[name].append(rows[name][metric] - mean(exact(rows, metric)))
    bounds = [
        abs(rows[name][f"{metric}_apart_{end}"])
        for rows in measured
        for name in exact_of(rows)
        for end in ("low", "high")
    ]
    return {
        "metric": metric,
        "group": group,
        "mean of Retrained": mean(value for rows in measured for value in exact(rows, metric)),
        "largest difference of two": max(spread),
        "largest bound": max(bounds),
        "margin": getattr(Margins(), metric),
        "Compromised, nearest": min(away["compromised"], key=abs),
        "Clean, nearest": min(away["clean"], key=abs),
    }


def counts(run: str, rows: dict[str, dict]) -> list[dict[str, Any]]:
    """How many targets each reference model of a run meets, which it misses, and its LiRA."""
    found = []
    for name, row in rows.items():
        if reference_of(name) is None or not outcomes(row):
            continue
        missed = [f"{one.metric} {one.state}" for one in outcomes(row).values() if not one.met]
        met = {group: "{} of {}".format(*met_of(row, group)) for group in GROUPS}
        lira = [row[key] for key in ("LiRA", "LiRA_low", "LiRA_high") if row.get(key) is not None]
        told = "{:.3f} ({:.3f} to {:.3f})".format(*lira) if len(lira) == 3 else ""
        found.append({"model": f"{run} {name}", **met, "missed": ", ".join(missed), "LiRA": told})
    return found


def values(runs: dict[str, dict[str, dict]]) -> dict[str, Any]:
    metrics = [metric for group in MARGINS.values() for metric in group]
    return {
        run: {name: {metric: row[metric] for metric in metrics} for name, row in rows.items() if reference_of(name)}
        for run, rows in runs.items()
    }


if __name__ == "__main__":
    main()
