"""The page about requests one after the other: the forget set in parts, in two orders, beside all of it at once."""

from pathlib import Path
from typing import Any

from salmu.evaluation.metrics.results_file import read_results
from salmu.evaluation.metrics.score import headline
from salmu.evaluation.report.receipts import triangle
from salmu.evaluation.report.rendering import page
from salmu.evaluation.report.tradeoff import shared_by_methods
from salmu.evaluation.requests.benchmark import RESULTS, streams
from salmu.evaluation.requests.evidence import AWAY
from salmu.evaluation.verdicts.leaderboard import in_words

PAGE = "requests.html"
METRICS = ("RetFail", "AssocStr", "ACS_mean", "NameMRR", "InterIdSim", "IntraIdSim", "InterIdMRR", "GenKnow")
REFERENCES = ("compromised", "retrained")


def streams_page(run_folder: Path, name: str, records: list[dict[str, Any]]) -> bytes | None:
    """report/requests.html; None where the run worked no requests. `records`: of the leaderboard."""
    found = [one for one in streams(run_folder) if one[2]]
    if not found:
        return None
    rows, shared = {row["model"]: row for row in records}, shared_by_methods(records)
    table = [_row(in_words(model), rows[model]) for model in REFERENCES if model in rows]
    parts = []
    for streamed, folder, done in found:
        method = ", ".join(part for part in in_words(streamed.model).split(", ") if part not in shared)
        if streamed.order == 1 and streamed.model in rows:
            table.append(_row(f"{method}, all at once", rows[streamed.model], rows[streamed.model]))
        title = f"{method}, order {streamed.order}"
        table.append(_row(title, _measured(folder), None, done))
        parts.append({"title": title, "table": triangle(done), "failed": streamed.failed})
    people = [record["asked"]["people"] for record in found[0][2]]
    shown = {"rows": table, "metrics": METRICS, "parts": parts, "people": people, "shared": ", ".join(shared)}
    return page("streams.html", name=name, **shown)


def _measured(folder: Path) -> dict[str, Any]:
    path = folder / RESULTS
    results = read_results(path) if path.is_file() else {}
    return {metric: headline(results, metric) for metric in METRICS}


def _row(title: str, metrics: dict[str, Any], whole: dict[str, Any] | None = None, done: list[dict] = ()) -> dict:
    """One row: its metrics, its seconds, and how many requests are found again at the end."""
    seconds = [record["method_seconds"] for record in done] or ([whole["seconds"]] if whole else [])
    row = {
        "title": title,
        "seconds": sum(seconds) if None not in seconds and seconds else None,
        "each": None,
        "again": "",
    }
    if done:
        states = [done[-1]["evidence"]["state"], *(one["state"] for one in done[-1]["evidence"]["earlier"])]
        row |= {
            "each": row["seconds"] / len(done),
            "again": f"{sum(state not in AWAY for state in states)} of {len(states)}",
        }
    return row | {metric: metrics.get(metric) for metric in METRICS}
