"""The page that says how precisely each method forgot, with all that it takes to check it."""

from pathlib import Path
from typing import Any

from salmu.data.documents import read_lines
from salmu.evaluation.report.judgements import Judgement
from salmu.evaluation.report.rendering import page
from salmu.evaluation.selection.tuning import OBJECTIVE, TRIALS, Trial
from salmu.evaluation.unlearning.registry import find
from salmu.evaluation.verdicts.leaderboard import reference_of
from salmu.evaluation.verdicts.soundness import warning
from salmu.evaluation.verdicts.tables import between_seeds
from salmu.evaluation.verdicts.targets import GROUPS, STATES

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


def precision_page(
    run_folder: Path, name: str, records: list[Record], judged: dict[str, Judgement], trainings: dict[str, dict]
) -> bytes | None:
    """report/precision.html; None without both references or without an unlearned model. `trainings`: the
    unlearning.json of each model. Trials are read from tuning/<method>/ of the run, where `salmu tune` put them."""
    clean = next((row for row in records if row["model"] == "clean"), None)
    rows = [row for row in records if reference_of(row["model"]) is None]
    if not (clean and any(row["model"] == "compromised" for row in records) and rows):
        return None
    return page(
        "precision.html",
        name=name,
        records=records,
        judged=judged,
        warning=warning(records),
        columns={
            group: [metric for metric in metrics if any(metric in one.outcomes for one in judged.values())]
            for group, metrics in GROUPS.items()
        },
        states=STATES,
        exact="retrained" in {row["model"] for row in records},
        seeds=between_seeds(records),
        objective=OBJECTIVE,
        trials={
            method: trials
            for method in sorted({str(row["method"]) for row in rows})
            if (trials := _trials(run_folder, method))
        },
        trainings={
            row["model"]: {key: value for key, value in trainings.get(row["model"], {}).items() if key != "curve"}
            for row in rows
        },
        dataset=clean["dataset_digest"],
    )


def _trials(run_folder: Path, method: str) -> list[Record]:
    """One row a trial: what was tried, and the figures that it was judged by."""
    path = run_folder / "tuning" / method / TRIALS
    if not path.is_file() or not (known := find(method)):
        return []
    rows = read_lines(path, Trial)
    tried = list(known.space)
    return [
        {key: row.get(key) for key in FIGURES[:2]}
        | {key: row["settings"].get(key) for key in tried}
        | {key: row.get(key) for key in FIGURES[2:]}
        for row in rows
    ]
