"""One flat record a model, and the table of the ten metrics.

The leaderboard of a run is made from the run's result files, so that writing it again changes nothing and a crash loses
nothing."""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from salmu.data.documents import read_table
from salmu.data.files import write_atomic
from salmu.data.keyed import digest
from salmu.data.settings import validate
from salmu.evaluation.encoding.settings import Margins
from salmu.evaluation.metrics.results_file import read_results
from salmu.evaluation.metrics.score import METRICS, difference, headline, interval
from salmu.evaluation.unlearning.record import RECORD, read_record
from salmu.evaluation.verdicts.attacks import attacked
from salmu.evaluation.verdicts.calibrated import calibrated_membership
from salmu.evaluation.verdicts.diagnosis import diagnose
from salmu.evaluation.verdicts.soundness import pair_problem
from salmu.evaluation.verdicts.tables import between_seeds, csv, latex, markdown
from salmu.evaluation.verdicts.targets import exact_of, with_targets
from salmu.model_training.settings import PAIR, RETRAINED

FILE = "leaderboard.jsonl"
SEEDS = "leaderboard_seeds.jsonl"  # only where a method, or the pair, was made with several seeds
TABLES = {"leaderboard.csv": csv, "leaderboard.tex": latex, "leaderboard.md": markdown}  # in report/
REFERENCES = ("clean", "compromised", "retrained")  # names of their result files; others: retrained-2, s1-clean, ...
_REFERENCE = re.compile(rf"(?:s(\d+)-)?({'|'.join(PAIR)}|{RETRAINED.pattern})")
_UNLEARNED = re.compile(r"(.+)-([0-9.e+-]+)x-s(\d+)")  # <method>-<budget>x-s<seed>


class Row(BaseModel):
    """A line of leaderboard.jsonl, as it is read."""

    model_config = ConfigDict(extra="allow", strict=True)

    model: str
    model_digest: str | None = None


def reference_of(name: str) -> tuple[str, int] | None:
    """The model of a pair that a result file is of ("clean", "retrained-2", ...), and the number of the pair; None for
    an unlearned model."""
    found = _REFERENCE.fullmatch(name)
    return (found[2], int(found[1] or 0)) if found else None


def in_words(name: str) -> str:
    """A model's name as one would say it: "negative_gradient-5x-s0" -> "negative gradient, budget 5, seed 0"."""
    if reference := reference_of(name):
        which, pair = reference
        return which.capitalize().replace("-", " ") + (f", pair {pair}" if pair else "")
    if parts := _UNLEARNED.fullmatch(name):
        return f"{parts[1].replace('_', ' ')}, budget {parts[2]}, seed {parts[3]}"
    return name


def write_leaderboard(run_folder: Path) -> list[dict[str, Any]]:
    """Bring runs/NAME/leaderboard.jsonl, and its tables in report/, up to date with results/*.json and
    unlearned/*/unlearning.json; returns its records."""
    run_folder = Path(run_folder)
    records = records_of(run_folder)
    for name, content in boards(records).items():
        write_atomic(run_folder / name, content)
    for name, table in TABLES.items():
        write_atomic(run_folder / "report" / name, table(records).encode())
    return records


def records_of(run_folder: Path) -> list[dict[str, Any]]:
    """One record a result file of the run, references first. Raises UserError for a file that is damaged."""
    results = {path.stem: read_results(path) for path in sorted((run_folder / "results").glob("*.json"))}
    return records(results, {name: _training(run_folder, name) for name in results}, _margins(run_folder))


def records(
    results: dict[str, dict], trainings: dict[str, dict | None], margins: Margins | None = None
) -> list[dict[str, Any]]:
    """The flat records of result files by name, references first, judged against each other (see `record`, `targets`
    and `diagnosis`). `trainings`: the unlearning.json of each model, where there is one."""
    clean, compromised = results.get("clean"), results.get("compromised")
    rows = {
        name: record(name, results[name], trainings.get(name), clean, compromised)
        for name in sorted(results, key=lambda name: (_rank(name), name))
    }
    exact = [results[name] for name in exact_of(results)]
    controls = exact or ([clean] if clean else [])
    for name, row in rows.items():
        beside = [file for file in controls if file is not results[name]]
        row |= attacked(results[name], beside, margins or Margins()) | _calibrated(results, name)
    if not (clean and compromised):
        return list(rows.values())
    first = {name: results[name] for name in rows if (reference_of(name) or (name, 0))[1] == 0}  # the first pair's
    problem = pair_problem(clean, compromised, exact)
    for name in first:
        rows[name]["pair_problem"] = problem
    if not problem:
        methods = [name for name in first if reference_of(name) is None]
        with_targets(rows, first, methods, margins or Margins())
        for name in methods:
            found = diagnose(rows[name], results[name], clean, compromised)
            rows[name] |= {"verdict": found.verdict, "failures": ", ".join(found.findings), "reason": found.reason}
    return list(rows.values())


def boards(records: list[dict[str, Any]]) -> dict[str, bytes]:
    """File name -> content of the leaderboard, and of the one over seeds where there are several."""
    spread = between_seeds(records)
    return {FILE: _lines(records)} | ({SEEDS: _lines(spread)} if spread else {})


def record(
    name: str, results: dict[str, Any], training: dict[str, Any] | None, clean: dict | None, compromised: dict | None
) -> dict[str, Any]:
    """The flat record of one model. Metrics stand under their names, their 95 % intervals under NAME_low and NAME_high;
    differences from the references, with paired intervals, under NAME_minus_clean, NAME_minus_clean_low and so on.
    `records` adds targets (see `with_targets`), a verdict, and `pair_problem`: null, or why the run's first pair, from
    which methods start, is worthless; then there is no verdict.

    `training`: the unlearning.json beside the model, if there is one."""
    extended, training = results.get("extended", {}), training or {}
    own, pair = reference_of(name) or (name, None)
    row = {
        "model": name,
        "method": training.get("method", own),
        "budget": training.get("budget"),
        "seed": training.get("seed", pair or extended.get("seed")),
        "pair_problem": None,
        "settings_digest": digest(_without_seed(training.get("settings")), _without_seed(extended.get("settings"))),
        "dataset_digest": extended.get("dataset_digest"),
        "model_digest": extended.get("model_digest"),
        "source_model_digest": training.get("source_model_digest"),
        "split_scheme": extended.get("split_scheme"),
        "zero_shot_set": results.get("utility", {}).get("2.1_GenKnow", {}).get("set"),
        "pairs_seen": training.get("pairs_seen"),
        "seconds": training.get("seconds"),
        "peak_memory_mb": training.get("peak_memory_mb"),
        "peak_gpu_memory_mb": training.get("peak_gpu_memory_mb"),
        "evaluation_seconds": extended.get("cost", {}).get("seconds"),
    }
    for metric in METRICS:
        low, high = interval(results, metric) or (None, None)
        row |= {metric: headline(results, metric), f"{metric}_low": low, f"{metric}_high": high}
    for reference, content in (("clean", clean), ("compromised", compromised)):
        if content and name != reference:
            row |= _against(results, content, reference)
    return row


def _against(results: dict, reference: dict, name: str) -> dict[str, float | None]:
    """Differences of all metrics from a reference model's."""
    row = {}
    for metric in METRICS:
        key = f"{metric}_minus_{name}"
        row |= dict(zip((key, f"{key}_low", f"{key}_high"), difference(results, reference, metric) or (None,) * 3))
    return row


def _calibrated(results: dict[str, dict], name: str) -> dict[str, float | None]:
    """LiRA of a model of the first pair or one that started from it, with its interval; nothing where it cannot be
    measured. A Retrained is set against the others."""
    references = [results[other] for other in exact_of(results) if other != name]
    if (reference_of(name) or (name, 0))[1] or not (found := calibrated_membership(results[name], references)):
        return {}
    return dict(zip(("LiRA", "LiRA_low", "LiRA_high"), found, strict=True))


def _margins(run_folder: Path) -> Margins:
    """Those of the run's settings, or the defaults."""
    path = run_folder / "settings.yaml"
    evaluation = read_table(path).get("evaluation") if path.is_file() else None
    given = evaluation.get("margins") if isinstance(evaluation, dict) else None
    return validate(Margins, given or {}, f"{path}: evaluation.margins")


def _without_seed(settings: dict | None) -> dict | None:
    return settings and {name: value for name, value in settings.items() if name != "seed"}


def _lines(records: list[dict[str, Any]]) -> bytes:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in records)
    return text.encode(errors="backslashreplace")  # a name that is no Unicode becomes an escape of JSON


def _rank(name: str) -> tuple[int, int]:
    """The pair first, then further pairs, then the methods."""
    which, pair = reference_of(name) or (None, 0)
    kind, _, number = (which or "").partition("-")
    return (pair, REFERENCES.index(kind) + int(number or 0)) if which else (10**6, 0)


def _training(run_folder: Path, name: str) -> dict[str, Any] | None:
    path = run_folder / "unlearned" / name / RECORD
    return read_record(path).model_dump() if path.is_file() else None
