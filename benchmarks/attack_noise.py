"""How far do attacks on two exact answers differ? The noise of retraining, from which the margins of the attacks come.

    salmu evaluate --model RUN/models/retrained --dataset RUN/dataset --start RUN/models/compromised --attacks --out F
    python benchmarks/attack_noise.py NAME=RESULT,RESULT,RESULT [NAME=...] [--json benchmarks/attack_noise.json]

NAME is what a run is called; the result files are those of its Retrained models, two or more, with attacks. Prints for
each attack the mean over all models, the largest difference between two of one run, the largest bound of the paired
95 % interval of one's difference from the others, the margin, and how many models the margin calls above or below the
others of their run: an exact answer should be neither."""

import argparse
import json
from pathlib import Path
from statistics import mean
from typing import Any

from salmu.evaluation.attacks.words import kind
from salmu.evaluation.encoding.settings import AttackMargins, Margins
from salmu.evaluation.verdicts.attacks import attacked, attacks_of

Results = list[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="name of a run, =, its result files with commas between")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    runs = {}
    for name, files in (one.split("=", 1) for one in options.runs):
        runs[name] = [json.loads(Path(file).read_text(encoding="utf-8")) for file in files.split(",")]
    table = attacks_table(runs)
    print("| " + " | ".join(table[0]) + " |\n|---|" + "---:|" * (len(table[0]) - 1))
    for line in table:
        print(
            "| " + " | ".join(f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in line.values()) + " |"
        )
    if options.json:
        values = {
            name: [{attack: found["value"] for attack, found in attacks_of(one).items()} for one in results]
            for name, results in runs.items()
        }
        options.json.write_text(json.dumps({"attacks": table, "values": values}, indent=1) + "\n", encoding="utf-8")


def attacks_table(runs: dict[str, Results]) -> list[dict[str, Any]]:
    """A line an attack that every model of every run has."""
    judged = {name: against_the_others(results) for name, results in runs.items()}
    rows = [row for rows in judged.values() for row in rows]
    names = [
        name for name in attacks_of(next(iter(runs.values()))[0]) if all(f"attack_{name}_state" in row for row in rows)
    ]
    return [attack_line(name, judged) for name in names]


def against_the_others(results: Results) -> list[dict[str, Any]]:
    """Of each Retrained of a run its attacks, judged against the other Retrained of that run."""
    others = [[one for one in results if one is not model] for model in results]
    return [attacked(model, beside, Margins()) for model, beside in zip(results, others, strict=True)]


def attack_line(name: str, judged: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    key, rows = f"attack_{name}", [row for rows in judged.values() for row in rows]
    values = [[row[key] for row in rows] for rows in judged.values()]
    bounds = [abs(row[f"{key}_apart_{end}"]) for row in rows for end in ("low", "high")]
    return {
        "attack": name,
        "mean of Retrained": mean(value for own in values for value in own),
        "largest difference of two": max(max(own) - min(own) for own in values),
        "largest bound": max(bounds),
        "margin": getattr(AttackMargins(), kind(name)),
        "above or below": f"{sum(row[f'{key}_state'] != 'level' for row in rows)} of {len(rows)}",
    }


if __name__ == "__main__":
    main()
