"""The leaderboard's page, which sorts, filters and plots without a server, the glossary, and a page for each model."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from salmu.data.files import write_atomic
from salmu.data.readers import open_dataset
from salmu.evaluation.attacks.words import KINDS
from salmu.evaluation.encoding.reading import remarks
from salmu.evaluation.metrics.score import EXTENDED, METRICS, PUBLISHED, target
from salmu.evaluation.report import plots
from salmu.evaluation.report.attacks import attack_rows, strongest_curves
from salmu.evaluation.report.judgements import Judgement
from salmu.evaluation.report.precision import precision_page
from salmu.evaluation.report.rendering import model_page as address
from salmu.evaluation.report.rendering import page
from salmu.evaluation.report.samples import thumbnail
from salmu.evaluation.verdicts.diagnosis import VERDICTS
from salmu.evaluation.verdicts.leaderboard import REFERENCES, in_words, reference_of
from salmu.evaluation.verdicts.soundness import warning
from salmu.evaluation.verdicts.tables import between_seeds
from salmu.evaluation.verdicts.targets import GROUPS as TARGET_GROUPS
from salmu.evaluation.verdicts.targets import STATES

Record = dict[str, Any]
WORST = 12  # leaking pairs on a model's page
HIDDEN_IN_TABLES = ("_low", "_high")
GROUPS = {  # of metrics: heading, and which value is good
    "efficacy": (
        "Is it forgotten? (efficacy)",
        "Lower is better, down to the reference's value. Below it, more was removed than was asked for.",
    ),
    "utility": ("Is the rest still there? (utility)", "The value should stay at the reference's."),
    "extended": (
        "Probes beyond the published metrics",
        "InterIdMRR and IntraIdMRR should stay at the reference's value; the others should come down to it.",
    ),
}


def write_pages(
    run_folder: Path,
    name: str,
    records: list[Record],
    judged: dict[str, Judgement],
    results: dict[str, dict],
    trainings: dict[str, dict],
) -> None:
    """Write report/leaderboard.html, report/precision.html, report/glossary.html and report/models/<model>.html.

    `results` and `trainings`: each model's result file, and its unlearning.json where it has one."""
    folder = run_folder / "report"
    precision = precision_page(run_folder, name, records, judged, trainings)
    if precision:
        write_atomic(folder / "precision.html", precision)
    write_atomic(folder / "leaderboard.html", leaderboard_page(name, records, judged, bool(precision)))
    write_atomic(folder / "glossary.html", glossary_page(records, results, bool(precision)))
    leaks = _leaks(run_folder, results)
    for record in records:
        model = record["model"]
        content = model_page(
            record, records, judged, results, trainings.get(model, {}), leaks.get(model, []), bool(precision)
        )
        write_atomic(folder / "models" / f"{model}.html", content)


def leaderboard_page(name: str, records: list[Record], judged: dict[str, Judgement], precise: bool) -> bytes:
    """All records in one table, with a plot of any two metrics. Its script is the only one that the page lets run."""
    script = Path(__file__).with_name("leaderboard.js").read_text(encoding="utf-8")
    shown = [metric for metric in METRICS if any(row.get(metric) is not None for row in records)]
    columns = ("model", "verdict", "budget", *(f"{metric}{end}" for metric in shown for end in ("", "_low", "_high")))
    data = {
        "records": [
            {key: row.get(key) for key in columns}
            | {
                "name": in_words(row["model"]),
                "page": address(row["model"]),
                "reference": reference_of(row["model"]) is not None,
            }
            for row in records
        ],
        "metrics": shown,
        "targets": targets(records),
        "verdicts": list(VERDICTS) if judged else [],
    }
    return page(
        "leaderboard.html",
        name=name,
        records=records,
        judged=judged,
        warning=warning(records),
        precise=precise,
        metrics=shown,
        verdicts=VERDICTS,
        budgets=sorted({row["budget"] for row in records if row["budget"] is not None}),
        seeds=between_seeds(records),
        data=Markup(json.dumps(data, ensure_ascii=True).replace("<", r"\u003c")),
        script=Markup(script),
        script_hash="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def glossary_page(records: list[Record], results: dict[str, dict], precise: bool) -> bytes:
    """What the words and the metrics of all pages mean."""
    groups = {group: [metric for metric, place in PUBLISHED.items() if place[0] == group] for group in GROUPS}
    groups["extended"] = list(EXTENDED)
    return page(
        "glossary.html",
        precise=precise,
        groups=[(*GROUPS[group], metrics) for group, metrics in groups.items()],
        chance=chances(results),
        targets=targets(records),
        targets_of=TARGET_GROUPS,
        states=STATES,
        verdicts=VERDICTS,
        attacks=KINDS,
    )


def targets(records: list[Record]) -> dict[str, float | None]:
    """The value that each metric should have, from the records of Retrained, or of Clean and Compromised."""
    rows = {row["model"]: row for row in records}
    judged = next((row for row in records if reference_of(row["model"]) is None), {})
    plain = {metric: rows.get(_goal_of(metric, records), {}).get(metric) for metric in METRICS}
    return {metric: judged.get(f"{metric}_goal", plain[metric]) for metric in METRICS}


def _goal_of(metric: str, records: list[Record]) -> str:
    return "retrained" if any(row["model"] == "retrained" for row in records) else target(metric)


def chances(results: dict[str, dict]) -> dict[str, float]:
    """Metric -> what a model that knows nothing would score, from the first result file that says so."""
    return next((part["chance"] for file in results.values() if "chance" in (part := file.get("extended", {}))), {})


def model_page(
    record: Record,
    records: list[Record],
    judged: dict[str, Judgement],
    results: dict[str, dict],
    training: dict[str, Any],
    worst: list[Record],
    precise: bool,
) -> bytes:
    """One model: its numbers beside both references, its curves, its worst leaks, its breakdowns."""
    extended, goals = results[record["model"]].get("extended", {}), targets(records)
    relearned = strongest_curves({name: results[name] for name in (record["model"], *REFERENCES) if name in results})
    return page(
        "model.html",
        home="../",
        record=record,
        judgement=judged.get(record["model"]),
        warning=warning(records),
        precise=precise,
        training=training,
        facts={
            "method": training.get("method"),
            "budget, as a multiple of the forget set": record["budget"],
            "seed": record["seed"],
            "pairs seen": record["pairs_seen"],
            "cost, seconds": record["seconds"],
            "peak memory, MiB": record["peak_memory_mb"],
            "peak memory of the GPU, MiB": record["peak_gpu_memory_mb"],
            "GenKnow was measured on": record["zero_shot_set"],
            "captions": "; ".join(remarks(extended.get("captions", {}))) or None,
            "weights": record["model_digest"],
        },
        metrics=[
            {
                "metric": metric,
                "reference": goals[metric],
                "reference_model": _goal_of(metric, records).capitalize(),
                "chance": extended.get("chance", {}).get(metric),
                **{
                    f"{column}{end}": record.get(f"{metric}{key}{end}")
                    for column, key in (
                        ("value", ""),
                        ("minus_clean", "_minus_clean"),
                        ("minus_compromised", "_minus_compromised"),
                    )
                    for end in ("", "_low", "_high")
                },
            }
            for metric in METRICS
            if record[metric] is not None
        ],
        unlearning=plots.looks(plots.unlearning_curve, training["curve"]) if training.get("curve") else None,
        attacks=attack_rows(record, results),
        relearning=plots.looks(
            plots.relearning_curves, {in_words(name): curve["points"] for name, curve in relearned.items()}
        )
        if record["model"] in relearned
        else None,
        relearned_on=relearned.get(record["model"]),
        worst=worst,
        tables={
            title: [_without_bounds(row) for row in rows]
            for title, rows in {
                "By attribute": extended.get("per_attribute", []),
                **{
                    f"By {group.replace('_', ' ')}": rows for group, rows in extended.get("per_demographic", {}).items()
                },
            }.items()
        },
    )


def _without_bounds(row: Record) -> Record:
    return {key: value for key, value in row.items() if not key.endswith(HIDDEN_IN_TABLES)}


def _leaks(run_folder: Path, results: dict[str, dict]) -> dict[str, list[Record]]:
    """The forget pairs that each model leaks most, with pictures; empty without the dataset."""
    if not (run_folder / "dataset" / "data").is_dir():
        return {}
    dataset = open_dataset(run_folder / "dataset")
    table = dataset.table("forget", ["file_name", "text"])
    names, texts = (table.column(column).to_pylist() for column in table.column_names)
    ranks, worst = {}, {}
    for model, content in results.items():
        found = content.get("efficacy", {}).get("1.1_RetFail", {}).get("outcomes", [])
        scores = content.get("efficacy", {}).get("1.2_AssocStr", {}).get("scores", [])
        if len(found) == len(scores) == len(names):
            ranks[model] = found
            order = np.lexsort((names, -np.array(scores), np.array(found)))[:WORST]
            worst[model] = [(row, scores[row]) for row in order.tolist()]
    wanted = sorted({row for rows in worst.values() for row, _ in rows})
    images = dataset.table("forget", ["image"]).column("image") if wanted else None
    pictures = {row: thumbnail(images[row].as_py()["bytes"]) for row in wanted}
    return {
        model: [
            {
                "file_name": names[row],
                "text": texts[row],
                "image": pictures[row],
                "cosine": cosine,
                "rank": ranks[model][row],
                "elsewhere": {name: ranks[name][row] for name in REFERENCES if name in ranks and name != model},
            }
            for row, cosine in rows
        ]
        for model, rows in worst.items()
    }
