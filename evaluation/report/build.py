"""Builds a run's report: HTML files that open offline, from whatever the run has so far."""

import functools
from pathlib import Path
from typing import Any

from salmu.data.documents import read_checked
from salmu.data.errors import UserError
from salmu.data.files import listed, location, read_bytes, write_atomic
from salmu.data.provenance import read_provenance
from salmu.data.publish.publish import STAGES
from salmu.data.store import Manifest, Store
from salmu.data.summary import read_summary
from salmu.evaluation.concepts.results import FOLDER as CONCEPTS
from salmu.evaluation.metrics.results_file import read_results
from salmu.evaluation.metrics.score import EXTENDED, PUBLISHED
from salmu.evaluation.report import plots
from salmu.evaluation.report.captioner import PAGE as CAPTIONER
from salmu.evaluation.report.captioner import captioner_page
from salmu.evaluation.report.concepts import PAGE as CONCEPTS_PAGE
from salmu.evaluation.report.concepts import concepts_page
from salmu.evaluation.report.generator import PAGE as GENERATOR
from salmu.evaluation.report.generator import generator_page
from salmu.evaluation.report.granularity import PAGE as GRANULARITY
from salmu.evaluation.report.granularity import granularity_page
from salmu.evaluation.report.judgements import in_order, judgements
from salmu.evaluation.report.opening import opening
from salmu.evaluation.report.pages import chances, write_pages
from salmu.evaluation.report.rendering import page
from salmu.evaluation.report.samples import sample_captions, sample_pairs
from salmu.evaluation.report.streams import PAGE as STREAMS
from salmu.evaluation.report.streams import streams_page
from salmu.evaluation.report.tradeoff import shared_by_methods, trade_off
from salmu.evaluation.unlearning.record import RECORD, Record
from salmu.evaluation.verdicts.leaderboard import in_words, write_leaderboard
from salmu.model_training.record import read_training


def build(run_folder: str | Path) -> Path:
    """Write runs/NAME/report/index.html and return its path; with results, the leaderboard and a page for each model
    beside it. Parts that the run does not have yet are left out.

    Raises UserError when the folder holds no run or a file of it is damaged."""
    run_folder = location(run_folder)
    manifests = {stage: manifest for stage in STAGES if (manifest := Store(run_folder).manifest(stage)).shards}
    if not manifests and not listed(run_folder / "results") and not listed(run_folder / CONCEPTS):
        raise UserError(f"{run_folder}: no stage and no results here, is it the folder of a run?")
    name = run_folder.resolve().name
    content = page(
        "index.html",
        name=name,
        settings=_text(run_folder / "settings.yaml"),
        provenance=read_provenance(run_folder / "dataset"),
        pipeline=[_counts(run_folder, manifest) for manifest in manifests.values()],
        summaries={stage: summary for stage in manifests if (summary := read_summary(run_folder / stage))},
        pairs=sample_pairs(run_folder) if "assembly" in manifests else [],
        captions=sample_captions(run_folder) if "captions" in manifests and "assembly" not in manifests else [],
        **_training(run_folder),
        **_results(run_folder, name),
    )
    path = run_folder / "report" / "index.html"
    write_atomic(path, content)
    return path


def _counts(run_folder: Path, manifest: Manifest) -> dict[str, Any]:
    """A stage in one row. `kept`: rows that the following stages use."""
    kept = manifest.rows
    if manifest.stage == "curation":
        kept = sum(row["kept"] for row in Store(run_folder).view("curation", "file_name").rows(["kept"]))
    items, seconds = sum(shard.items for shard in manifest.shards), sum(shard.seconds for shard in manifest.shards)
    return {
        "stage": manifest.stage,
        "items": items,
        "rows": manifest.rows,
        "kept": kept,
        "rejects": manifest.rejects,
        "shards": len(manifest.shards),
        "seconds": round(seconds, 1),
        "rate": items / seconds if seconds else None,
        "complete": manifest.complete,
        "digest": manifest.digest,
    }


def _training(run_folder: Path) -> dict[str, Any]:
    models = {name: read_training(path) for name, path in plots.training_records(run_folder / "models").items()}
    return {"models": models, "curves": plots.looks(plots.training_curves, run_folder / "models") if models else None}


def _results(run_folder: Path, name: str) -> dict[str, Any]:
    """The leaderboard, what it says in words, and what else the result files hold."""
    records = write_leaderboard(run_folder) if listed(run_folder / "results") else []
    judged = judgements(records)
    records = in_order(records, judged)
    results = {row["model"]: read_results(run_folder / "results" / f"{row['model']}.json") for row in records}
    if records:
        paths = {row["model"]: run_folder / "unlearned" / row["model"] / RECORD for row in records}
        trainings = {name: read_checked(path, Record) if path.is_file() else {} for name, path in paths.items()}
        write_pages(run_folder, name, records, judged, results, trainings)
        if streamed := streams_page(run_folder, name, records):
            write_atomic(run_folder / "report" / STREAMS, streamed)
    if drawn := generator_page(run_folder, name):
        write_atomic(run_folder / "report" / GENERATOR, drawn)
    if implicit := concepts_page(run_folder, name):
        write_atomic(run_folder / "report" / CONCEPTS_PAGE, implicit)
    if coarsely := granularity_page(run_folder, name):
        write_atomic(run_folder / "report" / GRANULARITY, coarsely)
    if captioned := captioner_page(run_folder, name):
        write_atomic(run_folder / "report" / CAPTIONER, captioned)
    extended = {model: content.get("extended", {}) for model, content in results.items()}
    return {
        "records": records,
        "judged": judged,
        "opening": opening(records, results, judged) if records else None,
        "groups": {
            group: [metric for metric, (own, _, _) in PUBLISHED.items() if own == group]
            for group in ("efficacy", "utility")
        },
        "precise": (run_folder / "report" / "precision.html").is_file(),
        "drawn": drawn is not None,
        "implicit": implicit is not None,
        "coarsely": coarsely is not None,
        "captioned": captioned is not None,
        "streamed": (run_folder / "report" / STREAMS).is_file(),
        "extended_metrics": [metric for metric in EXTENDED if any(row.get(metric) is not None for row in records)],
        "chance": chances(results),
        "per_attribute": _per_attribute(extended),
        "plot": plots.looks(trade_off, records) if records else None,
        "narrow_plot": plots.looks(functools.partial(trade_off, narrow=True), records) if records else None,
        "shared_name": ", ".join(shared_by_methods(records)),
    }


def _per_attribute(extended: dict[str, dict]) -> list[dict[str, Any]]:
    """RetFail of each attribute, one column a model."""
    fields: dict[str, dict[str, Any]] = {}
    for model, part in extended.items():
        for row in part.get("per_attribute", []):
            about = {"attribute": row["data_field"].replace("_", " "), "pairs": row["rows"]}
            fields.setdefault(row["data_field"], about)[in_words(model)] = row["RetFail"]
    return list(fields.values())


def _text(path: Path) -> str:
    try:
        return read_bytes(path).decode()
    except FileNotFoundError:
        return ""
