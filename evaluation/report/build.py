"""Builds a run's report: one HTML file that opens offline, from whatever the run has so far."""

import base64
import json
import math
from pathlib import Path
from typing import Any

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup

from data.errors import UserError
from data.publish.publish import STAGES
from data.store import Manifest, Store, write_atomic
from data.summary import read_summary
from evaluation.leaderboard import EXTENDED, REFERENCES, write_leaderboard
from evaluation.metrics.score import PUBLISHED
from evaluation.report import plots
from evaluation.report.samples import sample_captions, sample_pairs

TEMPLATE = Path(__file__).with_name("template.html")
ROWS_SHOWN = 40  # of a stage's table


def build(run_folder: Path) -> Path:
    """Write runs/NAME/report/index.html and return its path. Parts that the run does not have yet are left out.

    Raises UserError when the folder holds no run or a file of it is damaged."""
    run_folder = Path(run_folder)
    manifests = {stage: manifest for stage in STAGES if (manifest := Store(run_folder).manifest(stage)).shards}
    if not manifests and not (run_folder / "results").is_dir():
        raise UserError(f"{run_folder}: no stage and no results here, is it the folder of a run?")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number, "metric": metric_value, "markdown": markdown, "png": png}
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        name=run_folder.resolve().name,
        settings=_text(run_folder / "settings.yaml"),
        provenance=_json(run_folder / "dataset" / "provenance.json"),
        rows_shown=ROWS_SHOWN,
        pipeline=[_counts(run_folder, manifest) for manifest in manifests.values()],
        summaries={stage: summary for stage in manifests if (summary := read_summary(run_folder / stage))},
        pairs=sample_pairs(run_folder) if "assembly" in manifests else [],
        captions=sample_captions(run_folder) if "captions" in manifests and "assembly" not in manifests else [],
        **_training(run_folder),
        **_results(run_folder),
    )
    path = run_folder / "report" / "index.html"
    write_atomic(path, page.encode())
    return path


def number(value: Any) -> str:
    """A value for a table: four significant digits, thousands separators, a dash where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def metric_value(value: float | None) -> str:
    """A metric's value: four decimals, since RetFail of a model that forgot is below a thousandth."""
    return "–" if value is None else f"{value:.4f}"


def markdown(text: str) -> Markup:
    """A stage's text as HTML; HTML in it is shown, not obeyed."""
    return Markup(MarkdownIt("js-default").render(text))


def png(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


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
    models = {path.parent.name: _json(path) for path in sorted((run_folder / "models").glob("*/training.json"))}
    curves = [plots.training_curves(run_folder / "models", dark) for dark in (False, True)] if models else None
    return {"models": models, "curves": curves}


def _results(run_folder: Path) -> dict[str, Any]:
    """The leaderboard, with the target of each metric, and what else the result files hold."""
    records = write_leaderboard(run_folder) if (run_folder / "results").is_dir() else []
    results = {row["model"]: _json(run_folder / "results" / f"{row['model']}.json") for row in records}
    rows = {row["model"]: row for row in records}
    targets = {
        metric: rows.get("clean" if group == "efficacy" else "compromised", {}).get(metric)
        for metric, (group, _, _) in PUBLISHED.items()
    }
    extended = {name: content.get("extended", {}) for name, content in results.items()}
    return {
        "records": records,
        "targets": targets,
        "references": REFERENCES,
        "groups": {
            group: [metric for metric, (own, _, _) in PUBLISHED.items() if own == group]
            for group in ("efficacy", "utility")
        },
        "extended_metrics": [metric for metric in EXTENDED if any(row[metric] is not None for row in records)],
        "chance": next((part["chance"] for part in extended.values() if "chance" in part), {}),
        "per_attribute": _per_attribute(extended),
        "plot": [plots.forgetting(records, dark) for dark in (False, True)] if records else None,
    }


def _per_attribute(extended: dict[str, dict]) -> list[dict[str, Any]]:
    """RetFail of each attribute, one column a model."""
    fields: dict[str, dict[str, Any]] = {}
    for model, part in extended.items():
        for row in part.get("per_attribute", []):
            columns = fields.setdefault(row["data_field"], {"attribute": row["data_field"], "rows": row["rows"]})
            columns[model] = row["RetFail"]
    return list(fields.values())


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise UserError(f"{path}: damaged, not JSON; remove it and make it again") from None
