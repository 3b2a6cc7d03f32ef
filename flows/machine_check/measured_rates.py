"""Seconds an item as a check measured them, kept in a run's folder for `salmu plan`."""

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from salmu.data.documents import MIB, loaded
from salmu.data.files import size, write_atomic
from salmu.data.keyed import digest
from salmu.data.schemas import DATA_FIELDS
from salmu.flows.settings import RunSettings
from salmu.tasks.captions.grammar import STYLES

FILE = "check.json"
DECIDE = {  # stage -> settings that decide how long an item takes
    "candidates": ("source", "keep_side", "size", "faces", "fairface", "clip"),
    "portraits": ("engine", "short_side", "faceid"),
    "analysis": ("faces", "second_faces", "clip", "questions", "fairface", "device", "batch_size"),
    "captions": ("engine", "prompts", "vllm", "openai", "retries"),
}


class Measured(NamedTuple):
    """What an item of a stage takes."""

    seconds: float  # on one core, or one GPU
    on: str  # core | GPU
    source: str


class KeptRate(BaseModel):
    """A measurement, and the settings that it was made with."""

    model_config = ConfigDict(extra="forbid")
    seconds: float = Field(gt=0, allow_inf_nan=False)
    on: Literal["core", "GPU"]
    machine: str = Field(max_length=200)
    settings: str


class KeptRates(BaseModel):
    """check.json in a run's folder."""

    model_config = ConfigDict(extra="forbid")
    rates: dict[Literal["candidates", "portraits", "analysis", "captions"], KeptRate]


def keep(folder, settings: RunSettings, measured: dict[str, Measured]) -> None:
    """Write the rates into the folder of a run. Raises UserError when the disk refuses."""
    rates = {
        stage: KeptRate(seconds=one.seconds, on=one.on, machine=one.source, settings=_key(stage, settings))
        for stage, one in measured.items()
    }
    write_atomic(folder / FILE, KeptRates(rates=rates).model_dump_json(indent=1).encode() + b"\n")


def kept(folder, settings: RunSettings) -> dict[str, Measured]:
    """The rates in the folder of a run that were measured with these settings. Raises UserError for a damaged file."""
    if size(folder / FILE) is None:
        return {}
    found = loaded(folder / FILE, KeptRates, MIB).rates
    return {
        stage: Measured(one.seconds, one.on, one.machine)
        for stage, one in found.items()
        if one.settings == _key(stage, settings)
    }


def of_stage(stage: str, seconds: float, settings: RunSettings) -> float:
    """Seconds an item as a plan counts items, from those that a trial took for one of its own. A trial of captions
    words facts, of a few captions each; a language model is asked for those alone, and the plan counts the captions
    without personal data too, which the grammar words in no time."""
    if stage != "captions":
        return seconds
    seconds /= len(STYLES)
    gpus = settings.captions.vllm.tensor_parallel_size if settings.captions.engine == "vllm" else 1
    return seconds if settings.captions.engine == "grammar" else seconds * gpus * _share(settings)


def _share(settings: RunSettings) -> float:
    """Of the captions that state a fact among all, if nothing but what is surplus is dropped."""
    curation = settings.curation
    facts = curation.identities * len(DATA_FIELDS) * len(STYLES)
    kept_portraits = (curation.identities + curation.retain_identities) * settings.portraits.per_identity
    return facts / (facts + kept_portraits)


def _key(stage: str, settings: RunSettings) -> str:
    own = getattr(settings, stage).model_dump(mode="json", include=set(DECIDE[stage]))
    return digest(own, round(_share(settings), 6) if stage == "captions" else None)
