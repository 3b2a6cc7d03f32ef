"""The leaderboard as tables for papers, spreadsheets and README files, and its spread over seeds."""

import csv as csv_module
import io
import math
import statistics
from typing import Any

from salmu.data.text import latex as escaped
from salmu.data.text import markdown_cell, spreadsheet_cell
from salmu.evaluation.metrics.score import METRICS, PUBLISHED
from salmu.evaluation.verdicts.soundness import warning
from salmu.evaluation.verdicts.targets import GROUPS, met_of, outcomes

Record = dict[str, Any]
SAME = ("method", "budget", "settings_digest", "dataset_digest")  # of the runs that a spread is taken over


def markdown(records: list[Record]) -> str:
    """The table of the ten metrics, below a line that says so where the pair is worthless."""
    line = warning(records)
    return (f"**{markdown_cell(line)}**\n\n" if line else "") + markdown_table(records)


def markdown_table(records: list[Record]) -> str:
    """The table of the ten metrics: reference models, then the methods, with the targets that each meets."""
    columns = [*PUBLISHED, *GROUPS]
    lines = ["| model | " + " | ".join(columns) + " | verdict |", "|---|" + "---:|" * len(columns) + "---|"]
    for row in records:
        numbers = [f"{row[metric]:.4f}" if row[metric] is not None else "-" for metric in PUBLISHED]
        cells = [markdown_cell(row["model"]), *numbers, *_counts(row), row.get("verdict", "")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def latex(records: list[Record]) -> str:
    """A tabular of the ten metrics, each with half the width of its 95 % interval; needs no package. A worthless pair
    is said in a comment above it and in its last row."""
    head = " & ".join(["Model", *PUBLISHED, "Gone", "Kept", "Diagnosis"])
    worthless = warning(records)
    lines = [f"% {worthless}"] if worthless else []
    lines += [rf"\begin{{tabular}}{{l{'r' * (len(PUBLISHED) + 2)}l}}", r"\hline", rf"{head} \\", r"\hline"]
    for row in records:
        numbers = [_with_error(row, metric) for metric in PUBLISHED]
        lines.append(" & ".join([escaped(row["model"]), *numbers, *_counts(row), row.get("verdict") or ""]) + r" \\")
    if worthless:
        words = "Worthless pair: no method is judged on it."
        lines += [r"\hline", rf"\multicolumn{{{len(PUBLISHED) + 4}}}{{l}}{{\textbf{{{words}}}}} \\"]
    return "\n".join([*lines, r"\hline", r"\end{tabular}"]) + "\n"


def csv(records: list[Record]) -> str:
    """All columns of all records; empty where a record has none."""
    columns = list(dict.fromkeys(key for row in records for key in row))
    sink = io.StringIO()
    writer = csv_module.DictWriter(sink, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {key: spreadsheet_cell(value) if isinstance(value, str) else value for key, value in row.items()}
        for row in records
    )
    return sink.getvalue()


def between_seeds(records: list[Record]) -> list[Record]:
    """One record for each method, budget and settings that were run several times on a dataset: with several seeds or,
    where records of several runs are given, on pairs of several seeds.

    Each metric's mean over the runs stands under its name, its standard deviation under NAME_sd, and the 95 % interval
    of the mean (Student's t; it knows the spread of the runs, not that of the persons) under NAME_low and NAME_high."""
    from scipy.stats import t

    groups: dict[tuple, list[Record]] = {}
    for row in records:
        groups.setdefault(tuple(row[key] for key in SAME), []).append(row)
    table = []
    for same, rows in groups.items():
        if len({(row["seed"], row["model_digest"]) for row in rows}) < 2:
            continue
        found: Record = dict(zip(SAME, same, strict=True)) | {"runs": len(rows)}
        found["seeds"] = ", ".join(str(seed) for seed in sorted({row["seed"] for row in rows}, key=str))
        for metric in METRICS:
            values = [row[metric] for row in rows if row.get(metric) is not None]
            if len(values) < 2:
                found |= {metric: None, f"{metric}_sd": None, f"{metric}_low": None, f"{metric}_high": None}
                continue
            mean, spread = statistics.fmean(values), statistics.stdev(values)
            half = float(t.ppf(0.975, len(values) - 1)) * spread / math.sqrt(len(values))
            found |= {metric: mean, f"{metric}_sd": spread, f"{metric}_low": mean - half, f"{metric}_high": mean + half}
        table.append(found)
    return table


def _counts(row: Record) -> list[str]:
    """Targets met, of how many, by group."""
    return ["{}/{}".format(*met_of(row, group)) if outcomes(row, group) else "" for group in GROUPS]


def _with_error(row: Record, metric: str) -> str:
    if row[metric] is None:
        return "--"
    low, high = row[f"{metric}_low"], row[f"{metric}_high"]
    return f"{row[metric]:.3f}" if low is None else rf"${row[metric]:.3f} \pm {(high - low) / 2:.3f}$"
