"""unlearning.json: what a method was given, what it saw, and which weights came of it. The record of another's model is
read by this form; what it holds beyond is kept."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from salmu.data.documents import loaded

RECORD = "unlearning.json"
Number = Annotated[float, Field(allow_inf_nan=False)]


class Seen(BaseModel):
    """Pairs of one kind that a method was given."""

    model_config = ConfigDict(extra="allow", strict=True)

    split: str
    times: int | None = None
    scenes_from: str | None = None


class Point(BaseModel):
    """A step of a method."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, Number]

    step: int
    loss: Number


class Record(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    method: str | None = None
    budget: Number | None = None
    seed: int | None = None
    settings: dict[str, Any] | None = None
    not_default: list[str] = []
    files: dict[str, str] | None = None
    weights_sha256: str | None = None
    source_model_digest: str | None = None
    dataset_digest: str | None = None
    model_digest: str | None = None
    fingerprint: str | None = None
    pairs_seen: int | None = None
    seconds: Number | None = None
    cpu_seconds: Number | None = None
    peak_memory_mb: Number | None = None
    peak_gpu_memory_mb: Number | None = None
    saw: dict[str, Seen] = {}
    curve: list[Point] = []


def read_record(path: Path) -> Record:
    """The record in a file. Raises UserError of one line if it is missing, damaged or of another form."""
    return loaded(path, Record)
