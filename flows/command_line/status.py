"""What a run holds, part by part, and who works on it: `salmu status`. It reads manifests and records, no data, and
loads neither torch nor a method."""

from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from salmu.data.documents import read_checked, read_lines
from salmu.data.errors import UserError
from salmu.data.files import listed, size
from salmu.data.private import without_folders
from salmu.data.provenance import Provenance, read_provenance
from salmu.data.publish.provenance import inputs_digest
from salmu.data.publish.publish import inputs_of
from salmu.data.settings import NOT_IN_FINGERPRINT
from salmu.data.store import Store
from salmu.data.suggestions import salmu_command
from salmu.evaluation.encoding.fragile import fragile_digest, fragile_set
from salmu.evaluation.metrics.results_file import LIMIT, Results
from salmu.evaluation.unlearning.record import Record
from salmu.evaluation.unlearning.registry import folder_of
from salmu.evaluation.unlearning.settings import GradientSettings
from salmu.evaluation.verdicts.leaderboard import FILE as LEADERBOARD
from salmu.evaluation.verdicts.leaderboard import Row
from salmu.flows.command_line.output import text_table
from salmu.flows.running.lock import Holder
from salmu.flows.running.stages import STAGES, models_of, state
from salmu.flows.settings import RunSettings
from salmu.model_training.record import Training
from salmu.model_training.settings import PairSettings

NO_EFFECT = {name for name, f in GradientSettings.model_fields.items() if f.json_schema_extra == NOT_IN_FINGERPRINT}


class Part(NamedTuple):
    """A part of a run. `state`: new, waiting (for a part above it), partial, done, stale (made from something else than
    what the run holds or asks for now), damaged, or extra (the settings do not ask for it)."""

    part: str
    state: str
    shards: str | None = None  # done/planned
    rows: int | None = None
    rejects: int | None = None
    seconds: float | None = None  # of work
    seconds_left: float | None = None  # of work, at the rate so far


def parts_of(store: Store, settings: RunSettings) -> list[Part]:
    """Every part that the run's settings ask for, or that its folder holds: stages, dataset, models, unlearned models,
    results, report. A part below a stale one is stale."""
    states: dict[str, str] = {}
    parts = [_stage(store, name, settings, states) for name in STAGES]
    provenance, dataset = _dataset(store, settings, states["assembly"])
    parts.append(dataset)
    if not isinstance(store.folder, Path):  # models are made on a local disk
        return parts
    home, dataset_digest = store.folder, provenance and provenance.dataset_digest
    models: dict[str, tuple[str, dict]] = {}  # name of the result file -> state and record
    for number in range(settings.pair.seeds):
        for which in settings.pair.models:
            place = f"s{number}/{which}" if number else which
            own, record = _trained(home / "models" / place, settings.pair, dataset_digest)
            models[place.replace("/", "-")] = _below(own, dataset.state), record
            parts.append(_made(f"models/{place}", models[place.replace("/", "-")]))
    compromised = models["compromised"]
    for combination in settings.unlearning.combinations():
        name = folder_of(*combination)
        given = settings.unlearning.given(*combination)
        own, record = _unlearned(home / "unlearned" / name, given, dataset_digest, compromised[1])
        models[name] = _below(own, compromised[0]), record
        parts.append(_made(f"unlearned/{name}", models[name]))
    parts += [Part(f"unlearned/{name}", "extra") for name in _others(home / "unlearned", models)]
    fragile = fragile_digest(fragile_set(home / "models", settings.pair.fragile_share, dataset_digest))
    scored = {}
    for name, (condition, record) in models.items():
        own, seconds = _scored(home / "results" / f"{name}.json", settings, (dataset_digest, fragile), record)
        scored[name] = _below(own, condition)
        parts.append(Part(f"results/{name}", scored[name], seconds=seconds))
    others = _others(home / "results", {f"{name}.json" for name in models})
    parts += [Part(f"results/{name.removesuffix('.json')}", "extra") for name in others]
    parts.append(Part("report", _below(_report(home), *states.values(), dataset.state, *scored.values())))
    return parts


def as_text(parts: list[Part], worker: Holder | None, folder) -> str:
    """The table of parts, and below it who works on the run and what to do next."""
    rows = [
        {
            "part": part.part,
            "state": part.state,
            **{name: "" if value is None else value for name, value in part._asdict().items() if name in COLUMNS},
            "rows/s": round(part.rows / part.seconds, 1) if part.rows and part.seconds else "",
            "left": "" if part.seconds_left is None else f"{part.seconds_left:.0f} s of work",
        }
        for part in parts
    ]
    lines = [text_table(rows), ""]
    unfinished = [part.part for part in parts if part.state not in ("done", "extra")]
    if worker and worker.alive:
        lines.append(f"Under way: {worker}.")
    elif worker:
        lines.append(f"Stopped: {worker}, died. Nobody works on this run.")
    else:
        lines.append("Nobody works on this run.")
    if unfinished and not (worker and worker.alive):
        lines.append(f"{len(unfinished)} of {len(parts)} parts are not up to date: {salmu_command('run', folder)}")
    return "\n".join(lines)


COLUMNS = ("shards", "rows", "rejects", "seconds")


def _below(own: str, *above: str) -> str:
    """The state of a part below others, from its own files alone and theirs."""
    if own == "new":
        return "new" if set(above) <= {"done"} else "waiting"
    return "stale" if "stale" in above else own


def _stage(store: Store, name: str, settings: RunSettings, states: dict[str, str]) -> Part:
    manifest = store.manifest(name)
    states[name] = _below(state(store, name, getattr(settings, name)), *(states[at] for at in STAGES[name].UPSTREAM))
    seconds, done = sum(entry.seconds for entry in manifest.shards), len(manifest.shards)
    missing = max(manifest.planned - done, 0)
    left = round(missing * seconds / done, 1) if missing and done else None
    shards = f"{done}/{manifest.planned}"
    return Part(name, states[name], shards, manifest.rows, manifest.rejects, round(seconds, 1), left)


def _dataset(store: Store, settings: RunSettings, assembly: str) -> tuple[Provenance | None, Part]:
    folder = store.folder / "dataset"
    try:
        provenance = read_provenance(folder)
    except UserError:
        return None, Part("dataset", "damaged")
    if provenance is None:
        return None, Part("dataset", _below("new", assembly))
    plain = settings.model_dump(mode="json", exclude={"drill"})
    now = inputs_digest(inputs_of(store, settings.publish, plain, models_of(settings)))
    there = all(size(folder / name) == file.bytes for name, file in provenance.files.items())
    own = "damaged" if not there else "done" if provenance.inputs_digest == now else "stale"
    return provenance, Part("dataset", _below(own, assembly))


def _trained(folder: Path, settings: PairSettings, dataset: str | None) -> tuple[str, dict]:
    record = _record(folder / "training.json", Training)
    if record is None or not (folder / "open_clip_model.safetensors").is_file():
        return ("partial" if folder.with_name(f".{folder.name}.training").is_dir() else "new"), {}
    try:
        held = PairSettings.model_validate(record.get("settings")).fingerprint()
        same = without_folders(held) == without_folders(settings.fingerprint())  # records name no folders
    except ValidationError:  # of another version
        same = False
    return ("done" if same and record.get("dataset_digest") == dataset else "stale"), record


def _unlearned(folder: Path, given: dict[str, Any], dataset: str | None, source: dict) -> tuple[str, dict]:
    record = _record(folder / "unlearning.json", Record)
    if record is None or not (folder / "open_clip_model.safetensors").is_file():
        return ("partial" if folder.with_name(f".{folder.name}.unfinished").is_dir() else "new"), {}
    held = record.get("settings") or {}
    asked = without_folders({name: value for name, value in given.items() if name not in NO_EFFECT})
    same = set(record.get("not_default", ())) <= set(asked) and all(
        _same(value, held.get(name)) for name, value in asked.items()
    )
    same = same and record.get("source_model_digest") == source.get("model_digest", record.get("source_model_digest"))
    return ("done" if same and record.get("dataset_digest") == dataset else "stale"), record


def _scored(path: Path, settings: RunSettings, data: tuple[str | None, str], model: dict) -> tuple[str, float | None]:
    """State and seconds of a result file; `data`: digests of the dataset and of the fragile set that it must be of;
    `model`: the record of the model."""
    results = _record(path, Results)
    if results is None:
        return "new", None
    extended = results.get("extended", {})
    same = (
        extended.get("settings") == without_folders(settings.evaluation.fingerprint())
        and (extended.get("dataset_digest"), extended.get("fragile_digest")) == data
        and extended.get("model_digest") == model.get("model_digest", extended.get("model_digest"))
    )
    return ("done" if same else "stale"), extended.get("cost", {}).get("seconds")


def _report(home: Path) -> str:
    """Whether the report is of the results that lie there: the leaderboard, written with it, names their weights."""
    if not (home / "report" / "index.html").is_file():
        return "new"
    held = {}
    for name in _others(home / "results", ()):
        results = _record(home / "results" / name, Results) or {}
        held[name.removesuffix(".json")] = results.get("extended", {}).get("model_digest")
    try:
        told = {row["model"]: row.get("model_digest") for row in read_lines(home / LEADERBOARD, Row)}
    except UserError:  # missing or damaged
        return "stale"
    return "done" if held == told else "stale"


def _made(name: str, model: tuple[str, dict]) -> Part:
    return Part(name, model[0], seconds=model[1].get("seconds"))


def _others(folder: Path, known) -> list[str]:
    """What lies in a folder beside what is known, without work in progress."""
    return sorted(name for name in listed(folder) if name not in known and not name.startswith("."))


def _record(path: Path, form: type[BaseModel]) -> dict | None:
    """A document of this form; None where there is no file, and an empty one for a damaged file, which counts as
    stale."""
    if not path.is_file():
        return None
    try:
        return read_checked(path, form, LIMIT)
    except UserError:
        return {}


def _same(given: Any, held: Any) -> bool:
    """Whether a setting is the recorded one. YAML reads 1e-4 as text, and a record holds it as a number."""
    if isinstance(given, str) and isinstance(held, int | float):
        try:
            return float(given) == held
        except ValueError:
            return False
    if isinstance(given, dict) and isinstance(held, dict):
        return all(_same(value, held.get(name)) for name, value in given.items())
    return list(given) == held if isinstance(given, tuple) else given == held
