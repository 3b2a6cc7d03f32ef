"""Does the order of the unlearning methods depend on the architecture?

    for model in small small-vit small-siglip; do
        salmu run --run $model --profile tiny --until pair --set pair.model=salmu-$model ...
        python benchmarks/methods.py runs/$model --out /tmp/$model --trials 0 --json /tmp/$model.json
    done
    python benchmarks/architectures.py resnet=/tmp/small.json vit=/tmp/small-vit.json siglip=/tmp/small-siglip.json
                                       [again=/tmp/other.json] [--json benchmarks/architectures.json]

Reads tables of `methods.py`, one an architecture, all made on the same people. `again` may be one of the first
architecture with another seed of its pair: it shows how far the order repeats where nothing but chance differs.

Prints each method's headline metrics on every architecture, how often the verdicts agree, and Kendall's tau between the
orders of the methods by each metric, with its 95 % interval over methods, drawn with replacement. References (Clean,
Compromised, Retrained) are no methods."""

import argparse
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from reliability import compared, over_methods, tau

from salmu.evaluation.metrics.score import METRICS
from salmu.evaluation.verdicts.leaderboard import reference_of

SHOWN = ("RetFail", "AssocStr", "GenKnow", "InterIdSim", "InterIdMRR", "VisIdInt")
Table = dict[str, dict[str, Any]]  # model -> its row of the leaderboard


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", metavar="NAME=FILE", help="at least two tables of methods.py")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    places = dict(entry.split("=", 1) for entry in options.tables)
    if len(places) < 2:
        parser.error("name at least two tables")
    found = {name: json.loads(Path(path).read_text(encoding="utf-8")) for name, path in places.items()}
    tables = {name: document["pairs"][0] for name, document in found.items()}
    told = {
        "settings": {name: document["settings"] for name, document in found.items()},
        "taus": orders(tables),
        "verdicts": verdicts(tables),
        "tables": tables,
    }
    print(as_text(tables, told))
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def methods_of(tables: dict[str, Table]) -> list[str]:
    """The methods that stand in every table."""
    return sorted(name for name in set.intersection(*map(set, tables.values())) if reference_of(name) is None)


def orders(tables: dict[str, Table]) -> list[dict[str, Any]]:
    """One row for each metric and each two tables: Kendall's tau-b of the methods' orders and its interval."""
    methods, rows = methods_of(tables), []
    values_of = [table[one] for table in tables.values() for one in methods]
    metrics = [name for name in METRICS if all(row.get(name) is not None for row in values_of)]
    values = np.array([[[table[one][name] for name in metrics] for one in methods] for table in tables.values()])
    signs = dict(zip(tables, compared(values)))
    for one, other in combinations(tables, 2):
        found = over_methods(
            lambda weights, one=one, other=other: tau(signs[one], signs[other], weights).diagonal(),
            len(methods),
            "architectures",
            one,
            other,
        )
        rows += [
            {"metric": metric, "tables": [one, other]} | dict(zip(("tau", "low", "high"), row))
            for metric, row in zip(metrics, found.tolist())
        ]
    return rows


def verdicts(tables: dict[str, Table]) -> list[dict[str, Any]]:
    """For each two tables, the number of methods with the same verdict."""
    methods = methods_of(tables)
    return [
        {
            "tables": [one, other],
            "same": sum(tables[one][name].get("verdict") == tables[other][name].get("verdict") for name in methods),
            "methods": len(methods),
        }
        for one, other in combinations(tables, 2)
    ]


def as_text(tables: dict[str, Table], told: dict[str, Any]) -> str:
    shared = set.intersection(*map(set, tables.values()))
    names = [*sorted(shared - set(methods_of(tables))), *methods_of(tables)]
    lines = []
    for title, table in tables.items():
        lines += [
            f"{title}\n",
            "| model | " + " | ".join(SHOWN) + " | verdict |",
            "|---|" + "---:|" * len(SHOWN) + "---|",
        ]
        for name in names:
            cells = [_number(table[name].get(metric)) for metric in SHOWN]
            lines.append(f"| {name} | " + " | ".join(cells) + f" | {table[name].get('verdict') or ''} |")
        lines.append("")
    pairs = list(combinations(tables, 2))
    lines += ["| Kendall's tau | " + " | ".join(f"{one}, {other}" for one, other in pairs) + " |"]
    lines += ["|---|" + "---:|" * len(pairs)]
    for metric in dict.fromkeys(row["metric"] for row in told["taus"]):
        cells = [
            f"{row['tau']:.2f} [{row['low']:.2f}, {row['high']:.2f}]" for row in told["taus"] if row["metric"] == metric
        ]
        lines.append(f"| {metric} | " + " | ".join(cells) + " |")
    cells = [f"{row['same']} of {row['methods']}" for row in told["verdicts"]]
    return "\n".join([*lines, "| same verdict | " + " | ".join(cells) + " |"])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
