"""The page that says how precisely each method forgot, with all that it takes to check it."""

import json
from pathlib import Path
from typing import Any

from salmu.evaluation.report.rendering import page
from salmu.evaluation.selection.tuning import OBJECTIVE, TRIALS
from salmu.evaluation.unlearning.registry import methods
from salmu.evaluation.verdicts.diagnosis import VERDICTS
from salmu.evaluation.verdicts.leaderboard import reference_of
from salmu.evaluation.verdicts.tables import between_seeds
from salmu.evaluation.verdicts.targets import outcomes, ways_back

Record = dict[str, Any]
FIGURES = (
    "trial",
    "score",
    "removed",
    "bystanders_kept",
    "scenes_kept",
    "strangers_kept",
    "associations_kept",
    "mixed",
)


def precision_page(run_folder: Path, name: str, records: list[Record], trainings: dict[str, dict]) -> bytes | None:
    """report/precision.html; None without both references or without an unlearned model. `trainings`: the
    unlearning.json of each model. Trials are read from tuning/<method>/ of the run, where `salmu tune` put them."""
    references = {row["model"]: row for row in records}
    clean, compromised = references.get("clean"), references.get("compromised")
    rows = [row for row in records if reference_of(row["model"]) is None]
    if not (clean and compromised and rows):
        return None
    models = []
    for row in rows:
        found, back = outcomes(row, clean, compromised), ways_back(row, clean)
        models.append(
            {
                "record": row,
                "outcomes": {one.metric: one for one in found},
                "met": sum(one.met for one in found),
                "ways_back": [
                    {"metric": metric, "what": words, "value": row.get(metric), "clean": clean.get(f"{metric}_high")}
                    for metric, words in back.items()
                ],
                "training": {
                    key: value for key, value in trainings.get(row["model"], {}).items() if key not in ("curve",)
                },
            }
        )
    models.sort(key=lambda one: (-one["met"], VERDICTS.index(one["record"].get("verdict", "partial"))))
    columns = list(dict.fromkeys(one for model in models for one in model["outcomes"]))
    return page(
        "precision.html",
        name=name,
        models=models,
        columns=columns,
        words={one.metric: one.target for model in models for one in model["outcomes"].values()},
        references={"Clean": clean, "Compromised": compromised},
        seeds=between_seeds(records),
        objective=OBJECTIVE,
        trials={
            method: rows for method in sorted({row["method"] for row in rows}) if (rows := _trials(run_folder, method))
        },
        dataset=clean["dataset_digest"],
    )


def _trials(run_folder: Path, method: str) -> list[Record]:
    """One row a trial: what was tried, and the figures that it was judged by."""
    path = run_folder / "tuning" / method / TRIALS
    if method not in methods() or not path.is_file():
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    tried = list(methods()[method].search)
    return [
        {key: row.get(key) for key in FIGURES[:2]}
        | {key: row["settings"].get(key) for key in tried}
        | {key: row.get(key) for key in FIGURES[2:]}
        for row in rows
    ]
