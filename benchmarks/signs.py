"""Do the published table's signs hold where each method is made to forget? A sweep of learning rates, on one pair.

    python benchmarks/signs.py runs/tiny --out /tmp/signs [--rates 6] [--workers 2] [--json benchmarks/signs.json]

The published table compares methods that nearly all forget; our own tuning (benchmarks/methods.py) also asks what is
lost, and may prefer settings that forget little. Here each of the eight published methods has its defaults with
learning rates spread over three times its search space in both directions. Shown are

- forgets: the run that keeps the most GenKnow of those that remove 95 % of the leakage (RetFail above Clean's), else
  the one that removes most;
- spares: the run that removes most of those that lose at most 3 % of GenKnow, else the one that loses least."""

import argparse
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from methods import BEYOND, COLUMNS, PUBLISHED, dataset_of, folder_of, score, score_references, signs, table

from salmu.data.settings import validate
from salmu.evaluation.unlearning.registry import methods
from salmu.evaluation.unlearning.runner import unlearn
from salmu.evaluation.verdicts.leaderboard import write_leaderboard

REFERENCES = ("clean", "compromised", "retrained")  # a run without the last one has the others
WIDER, REMOVED, LOST = 3.0, 0.95, 0.03


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs=1, metavar="run", help="folder of a run with dataset/ and models/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rates", type=int, default=6)
    parser.add_argument("--budget", type=float, default=5.0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--retain-scenes", type=int, default=1500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.pairs = 1
    points = [(name, rate) for name in PUBLISHED for rate in rates(name, options.rates)]
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        score_references(options, 0)
        folders = dict(zip(points, pool.map(partial(forgotten, options), points), strict=True))
    rows = {row["model"]: row for row in write_leaderboard(options.out / "pairs" / "0")}
    known = {row["method"]: row for row in rows.values() if row["method"] in REFERENCES}
    swept = {name: [(rate, rows[folders[name, rate]]) for rate in rates(name, options.rates)] for name in PUBLISHED}
    views = {}
    for view, choose in (("forgets", where_it_forgets), ("spares", where_it_spares)):
        views[view] = known | {name: choose([row for _, row in swept[name]], known) for name in PUBLISHED}
        print(f"\n{view}\n\n{table([views[view]], [*known, *PUBLISHED], COLUMNS)}\n")
        for claim, held in signs([views[view]]):
            print(f"{'holds' if held else 'does not hold'}: {claim}")
    print("\n" + sweep(swept))
    if options.json:
        kept = (*COLUMNS, *BEYOND, "verdict", "failures", "reason", "seconds")
        found = {
            "settings": {key: getattr(options, key) for key in ("budget", "rates", "batch_size", "retain_scenes")},
            "signs": {view: {claim: bool(held) for claim, held in signs([rows])} for view, rows in views.items()},
            "chosen": {view: {name: row["model"] for name, row in rows.items()} for view, rows in views.items()},
            "swept": {
                name: [{"learning_rate": rate} | {key: row.get(key) for key in kept} for rate, row in found]
                for name, found in swept.items()
            },
        }
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def rates(name: str, count: int) -> list[float]:
    space = methods()[name].search["learning_rate"]
    return [float(f"{rate:.3g}") for rate in np.geomspace(space.low / WIDER, space.high * WIDER, count)]


def forgotten(options: argparse.Namespace, point: tuple[str, float]) -> str:
    """Unlearn and score with one learning rate; returns the name of the model's folder."""
    name, rate = point
    shared = {key: getattr(options, key) for key in ("budget", "batch_size", "retain_scenes")} | {"threads": 1}
    settings = validate(methods()[name].settings, shared | {"learning_rate": rate}, name)
    folder = options.out / "pairs" / "0" / "unlearned" / f"{name}-{rate:g}"
    unlearn(name, settings, folder_of(options, 0, "compromised"), dataset_of(options, 0), folder)
    score(options, "pairs", 0, folder, folder.name)
    return folder.name


def where_it_forgets(rows: list[dict[str, Any]], known: dict[str, dict]) -> dict[str, Any]:
    clean, start = known["clean"]["RetFail"], known["compromised"]["RetFail"]
    there = [row for row in rows if row["RetFail"] - clean <= (1 - REMOVED) * (start - clean)]
    if there:
        return max(there, key=lambda row: row["GenKnow"])
    return min(rows, key=lambda row: row["RetFail"])


def where_it_spares(rows: list[dict[str, Any]], known: dict[str, dict]) -> dict[str, Any]:
    there = [row for row in rows if row["GenKnow"] >= (1 - LOST) * known["compromised"]["GenKnow"]]
    return min(there, key=lambda row: row["RetFail"]) if there else max(rows, key=lambda row: row["GenKnow"])


def sweep(swept: dict[str, list]) -> str:
    """RetFail / GenKnow / InterIdSim of each learning rate, from the lowest."""
    shown = ("RetFail", "GenKnow", "InterIdSim")
    lines = [f"| method | {' / '.join(shown)} by learning rate |", "|---|---|"]
    for name, found in swept.items():
        cells = [f"{rate:g}: " + " / ".join(f"{row[metric]:.3f}" for metric in shown) for rate, row in found]
        lines.append(f"| {name} | {'; '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
