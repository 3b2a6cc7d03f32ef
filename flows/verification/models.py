"""The files of models, and of what was measured of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from salmu.data.documents import read_checked, read_json
from salmu.data.errors import UserError
from salmu.data.files import file_sha256, size
from salmu.data.keyed import digest
from salmu.data.sealed import is_intact
from salmu.flows.verification.checked import Checked, or_none, visible


def model_files(home: Path, digests: dict[str, str]) -> Iterator[Checked]:
    from salmu.evaluation.encoding.fragile import RECORD, read_strengths
    from salmu.model_training.plan import PLAN

    for path in visible(home / "models", PLAN):
        plan = _json(path)
        content = {key: value for key, value in (plan or {}).items() if key != "digest"}
        whole = plan is not None and plan.get("digest") == digest("pair plan", content)
        yield Checked("models", path, path.stat().st_size, "" if whole else "damaged: its digest is another")
    strengths = home / "models" / RECORD
    if strengths.is_file():
        intact = or_none(lambda: read_strengths(strengths)) is not None
        yield Checked("models", strengths, strengths.stat().st_size, "" if intact else "damaged")
    for folder in _model_folders(home / "models"):
        name = "-".join(folder.relative_to(home / "models").parts)
        yield from _model("models", folder, "training.json", name, digests)


def unlearned_files(home: Path, digests: dict[str, str]) -> Iterator[Checked]:
    for folder in _model_folders(home / "unlearned"):
        name = "-".join(folder.relative_to(home / "unlearned").parts)
        yield from _model("unlearned", folder, "unlearning.json", name, digests)


def _model(part: str, folder: Path, record_name: str, name: str, digests: dict[str, str]) -> Iterator[Checked]:
    """The files of a model's folder against its record. `digests` gets the digest of the weights that lie there."""
    from salmu.evaluation.unlearning.record import Record
    from salmu.model_training.export import WEIGHTS
    from salmu.model_training.loading.weights import read_weights, weights_digest
    from salmu.model_training.record import Training

    path, form = folder / record_name, Training if part == "models" else Record
    record = or_none(lambda: read_checked(path, form))
    if record is None or not is_intact(record):
        yield Checked(part, path, size(path) or 0, "damaged" if path.is_file() else "missing")
        record = {}
    else:
        yield Checked(part, path, path.stat().st_size)
    expected = record.get("files") or {WEIGHTS: record.get("weights_sha256")}  # older records name the weights alone
    for file, sha256 in expected.items():
        path = folder / file
        if not path.is_file():
            yield Checked(part, path, 0, "missing")
            continue
        problem = "" if sha256 in (None, file_sha256(path)) else f"differs from its SHA-256 in {record_name}"
        if file == WEIGHTS:
            try:
                digests[name] = weights_digest(read_weights(path))
            except UserError as error:
                problem = problem or str(error).removeprefix(f"{path}: ")
            if digests.get(name) != record.get("model_digest", digests.get(name)):
                problem = problem or f"is not the model that {record_name} describes"
        yield Checked(part, path, path.stat().st_size, problem)


def result_files(home: Path, digests: dict[str, str]) -> Iterator[Checked]:
    """The result files, each against its own digest and the weights. One of an earlier dataset is stale, which `status`
    shows, and no problem."""
    from salmu.evaluation.metrics.results_file import read_results
    from salmu.evaluation.metrics.score import PUBLISHED
    from salmu.evaluation.verdicts.leaderboard import boards, records_of

    paths = visible(home / "results", "*.json")
    for path in paths:
        results = or_none(lambda path=path: read_results(path)) or {}
        extended = results.get("extended")
        if extended is None or not is_intact(results, under="extended"):
            problem = "damaged"
        elif any(key not in results.get(group, {}) for group, key, _ in PUBLISHED.values()):
            problem = "lacks published metrics"
        elif digests.get(path.stem, extended.get("model_digest")) != extended.get("model_digest"):
            problem = "was measured on weights other than those in the folder"
        else:
            problem = ""
        yield Checked("results", path, path.stat().st_size, problem)
    expected = or_none(lambda: boards(records_of(home))) if paths else None
    for name, content in (expected or {}).items():
        path = home / name
        if not path.is_file():
            yield Checked("leaderboard", path, 0, "missing")
        else:
            same = path.read_bytes() == content
            yield Checked("leaderboard", path, path.stat().st_size, "" if same else "differs from the results")


def _model_folders(folder: Path) -> list[Path]:
    """The folders that hold a model, or what is left of one."""
    names = ("open_clip_config.json", "open_clip_model.safetensors", "training.json", "unlearning.json")
    return sorted({path.parent for name in names for path in visible(folder, name)})


def _json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None if there is no such file, or something else in it."""
    document = or_none(lambda: read_json(path))
    return document if isinstance(document, dict) else None
