"""One flat record a model, and the table of the ten metrics.

The leaderboard of a run is made from the run's result files, so that writing it again changes nothing and a crash loses
nothing."""

import json
from pathlib import Path
from typing import Any

from data.errors import UserError
from data.keyed import digest
from data.store import write_atomic
from evaluation.diagnosis import diagnose
from evaluation.metrics.score import PUBLISHED, headline, interval

FILE = "leaderboard.jsonl"
REFERENCES = ("clean", "compromised")  # names of their result files
EXTENDED = ("ValueMRR", "NameMRR")


def write_leaderboard(run_folder: Path) -> list[dict[str, Any]]:
    """Bring runs/NAME/leaderboard.jsonl up to date with results/*.json and unlearned/*/unlearning.json; returns its
    records."""
    run_folder = Path(run_folder)
    results = {path.stem: _read(path) for path in sorted((run_folder / "results").glob("*.json"))}
    records = [
        record(name, content, _training(run_folder, name), results.get("clean"), results.get("compromised"))
        for name, content in sorted(results.items(), key=lambda item: (_rank(item[0]), item[0]))
    ]
    write_atomic(run_folder / FILE, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in records).encode())
    return records


def record(
    name: str, results: dict[str, Any], training: dict[str, Any] | None, clean: dict | None, compromised: dict | None
) -> dict[str, Any]:
    """The flat record of one model. Metrics stand under their names, their 95 % intervals under NAME_low and NAME_high.

    `training`: the unlearning.json beside the model, if there is one."""
    extended, training = results.get("extended", {}), training or {}
    row = {
        "model": name,
        "method": training.get("method", name),
        "budget": training.get("budget"),
        "seed": training.get("seed", extended.get("seed")),
        "settings_digest": digest(training.get("settings"), extended.get("settings")),
        "dataset_digest": extended.get("dataset_digest"),
        "model_digest": extended.get("model_digest"),
        "split_scheme": extended.get("split_scheme"),
        "zero_shot_set": results.get("utility", {}).get("2.1_GenKnow", {}).get("set"),
        "pairs_seen": training.get("pairs_seen"),
        "seconds": training.get("seconds"),
        "peak_memory_mb": training.get("peak_memory_mb"),
    }
    values = {metric: headline(results, metric) for metric in PUBLISHED}
    values |= {metric: extended.get(metric, {}).get("MRR") for metric in EXTENDED}
    for metric, value in values.items():
        low, high = interval(results, metric) or (None, None)
        row |= {metric: value, f"{metric}_low": low, f"{metric}_high": high}
    if name not in REFERENCES and clean and compromised:
        diagnosis = diagnose(results, clean, compromised)
        row |= {"verdict": diagnosis.verdict, "reason": diagnosis.reason}
    return row


def markdown(records: list[dict[str, Any]]) -> str:
    """The table of the ten metrics: Clean, Compromised, then the methods."""
    lines = ["| model | " + " | ".join(PUBLISHED) + " | verdict |", "|---|" + "---:|" * len(PUBLISHED) + "---|"]
    for row in records:
        numbers = [f"{row[metric]:.4f}" if row[metric] is not None else "-" for metric in PUBLISHED]
        lines.append("| " + " | ".join([row["model"], *numbers, row.get("verdict", "")]) + " |")
    return "\n".join(lines) + "\n"


def _rank(name: str) -> int:
    return REFERENCES.index(name) if name in REFERENCES else len(REFERENCES)


def _training(run_folder: Path, name: str) -> dict[str, Any] | None:
    path = run_folder / "unlearned" / name / "unlearning.json"
    return _read(path) if path.is_file() else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError(f"{path}: damaged; remove the file and run the evaluation again") from None
