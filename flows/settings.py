"""The settings of a run: one section a box of the picture, read from a profile, with overrides."""

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from salmu.data.documents import parse_yaml, read_yaml
from salmu.data.errors import UserError
from salmu.data.files import listed, location, size, write_atomic
from salmu.data.publish.publish import PublishSettings
from salmu.data.settings import Settings, validate
from salmu.data.store import Store
from salmu.data.suggestions import did_you_mean, salmu_command
from salmu.evaluation.concepts.settings import ConceptSettings
from salmu.evaluation.encoding.settings import EvaluationSettings
from salmu.evaluation.unlearning.registry import UnlearningSettings
from salmu.flows import names
from salmu.flows.running.drill import DrillSettings
from salmu.flows.running.stages import STAGES
from salmu.model_training.settings import PairSettings

SECTIONS = {name: module.Settings for name, module in STAGES.items()} | {
    "publish": PublishSettings,
    "pair": PairSettings,
    "unlearning": UnlearningSettings,
    "evaluation": EvaluationSettings,
    "concepts": ConceptSettings,
}


class RunSettings(Settings):
    """Everything that decides what a run makes."""

    profile: str = Field("tiny", description="Name of the profile that these settings started from.")
    seed: int = Field(0, ge=0, description="Run seed; every section uses it unless it names its own.")
    candidates: SECTIONS["candidates"] = Field(description="Stage 1a: source pictures, each measured once.")
    anchors: SECTIONS["anchors"] = Field(description="Stage 1b: the identities chosen among the candidates.")
    portraits: SECTIONS["portraits"] = Field(description="Stage 2: portraits of each identity.")
    analysis: SECTIONS["analysis"] = Field(description="Stage 3a: measurements of each portrait.")
    curation: SECTIONS["curation"] = Field(description="Stage 3b: which portraits and identities stay.")
    domain: SECTIONS["domain"] = Field(description="Diversity, separation of identities, likeness to real portraits.")
    personas: SECTIONS["personas"] = Field(description="Stage 4: fictitious personal data.")
    captions: SECTIONS["captions"] = Field(description="Stage 5: captions and their variants.")
    assembly: SECTIONS["assembly"] = Field(description="Pairs and splits.")
    publish: PublishSettings = Field(description="The published folder.")
    pair: PairSettings = Field(description="Training of Clean, Compromised and Retrained.")
    unlearning: UnlearningSettings = Field(description="Methods and budgets.")
    evaluation: EvaluationSettings = Field(description="The benchmark's metrics.")
    concepts: ConceptSettings = Field(description="Styles and affiliations (salmu concepts); not part of a run.")
    drill: DrillSettings = Field(DrillSettings(), description="A failure on purpose, to try out reruns and alarms.")


def load_profile(profile: str, overrides: dict[str, Any] | None = None) -> RunSettings:
    """A profile by name or YAML path, with overrides {"stage.key": value}. Raises UserError of one line for anything
    unknown."""
    if profile.endswith((".yaml", ".yml")):
        settings = build(read_yaml(Path(profile)), overrides, where=f"profile {profile}")
    elif profile in names.profiles():
        settings = build(read_yaml(names.PROFILES / f"{profile}.yaml"), overrides, where=f"profile {profile}")
        if not _name_methods(overrides):  # the methods of these are known to be there
            return settings
    else:
        raise UserError(
            f"no profile {profile!r}{did_you_mean(profile, names.profiles())}; there are: "
            f"{', '.join(names.profiles())}, or give the path of a YAML file"
        )
    settings.unlearning.runs()  # loads the methods: refuses an unknown one, and settings that it does not have
    return settings


def _name_methods(overrides: dict[str, Any] | None) -> bool:
    return any(key.partition(".")[0] == "unlearning" for key in overrides or {})


def run_name(run: str | None, profile: str | None) -> str:
    """The name of a run; without one, the profile's, which is the file's name where the profile is a path."""
    return run or Path(profile or "tiny").stem


def run_folder(root: str, run: str):
    """Where a run lies, by its name and the folder or URL of all runs."""
    return (location(root) / run).resolve()


def open_run(root: str, run: str, profile: str | None, overrides: dict[str, Any] | None) -> tuple[Store, RunSettings]:
    """The folder and the settings of a run: those of the profile, else those that the run was made with, else the
    profile `tiny`."""
    folder = run_folder(root, run_name(run, profile))
    known = size(folder / "settings.yaml") is not None
    settings = load_run(folder, overrides) if known and profile is None else load_profile(profile or "tiny", overrides)
    return Store(folder), settings


def require_run(root: str, run: str, profile: str | None) -> None:
    """Raises UserError if there is no such run, and no profile to make it by."""
    folder = run_folder(root, run)
    if profile is None and size(folder / "settings.yaml") is None:
        close = did_you_mean(run, _runs_beside(folder))
        raise UserError(f"no run in {folder}{close}; make a new one with --profile, for instance --profile tiny")


def load_run(folder: Path, overrides: dict[str, Any] | None = None) -> RunSettings:
    """The settings that a run was made with. Raises UserError when there is no such run."""
    path = folder / "settings.yaml"
    if size(path) is None:
        other = "; it holds something else, without settings.yaml: name a run with --run" if listed(folder) else ""
        close = did_you_mean(folder.name, _runs_beside(folder))
        raise UserError(f"no run in {folder}{close or other or ': make one with: ' + salmu_command('run', folder)}")
    settings = build(read_yaml(path), overrides, where=str(path))
    if _name_methods(overrides):
        settings.unlearning.runs()
    return settings


def _runs_beside(folder: Path) -> list[str]:
    return [path.parent.name for path in folder.parent.glob("*/settings.yaml")] if isinstance(folder, Path) else []


def build(document: Any, overrides: dict[str, Any] | None, where: str) -> RunSettings:
    """Validated settings from a document and overrides."""
    if not isinstance(document, dict):
        raise UserError(f"{where}: must be a mapping of sections, got {type(document).__name__}")
    document = {key: dict(value) if isinstance(value, dict) else value for key, value in document.items()}
    reseeded = "seed" in (overrides or {})
    for key, value in (overrides or {}).items():
        _set(document, key, value, where)
    for name, section in SECTIONS.items():
        values = document.setdefault(name, {})
        if isinstance(values, dict) and "seed" in section.model_fields and (reseeded or "seed" not in values):
            values["seed"] = (overrides or {}).get(f"{name}.seed", document.get("seed", 0))
    return validate(RunSettings, document, where)


def _set(document: dict, key: str, value: Any, where: str) -> None:
    *path, last = key.split(".")
    for part in path:
        document = document.setdefault(part, {})
        if not isinstance(document, dict):
            raise UserError(f"{where}: cannot set {key!r}: {part!r} is not a section")
    document[last] = value


def parse_assignment(text: str) -> tuple[str, Any]:
    """'stage.key=value' -> (key, value as YAML)."""
    key, separator, value = text.partition("=")
    if not separator or not re.fullmatch(r"[\w.]+", key):
        raise UserError(f"--set {text!r}: write stage.key=value, for instance --set portraits.per_identity=40")
    return key, parse_yaml(value, f"--set {key}=…")


class _Plain(yaml.SafeDumper):
    """Writes equal values out, each time."""

    def ignore_aliases(self, data) -> bool:
        return True


def save(settings: RunSettings, folder: Path) -> None:
    """Keep the full settings of a run beside its stages; a drill is none of them."""
    document = settings.model_dump(mode="json", exclude={"drill"})
    write_atomic(folder / "settings.yaml", yaml.dump(document, Dumper=_Plain, sort_keys=False).encode())
