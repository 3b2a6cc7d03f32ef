"""training.json: what a model of a pair was trained on, and how. What the file holds beyond this form is kept."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from salmu.data.documents import read_checked
from salmu.data.errors import UserError

RECORD = "training.json"
Number = Annotated[float, Field(allow_inf_nan=False)]


class Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class Point(Part):
    """A point of a curve."""

    step: int
    loss: Number


class Training(Part):
    """What everybody who reads a record asks for."""

    fingerprint: str | None = None
    settings: dict[str, Any] | None = None
    dataset_digest: str | None = None
    model_digest: str | None = None
    weights_sha256: str | None = None
    files: dict[str, str] | None = None  # SHA-256 of each; older records have none
    seconds: Number | None = None
    curve: list[Point] = []
    monitored: list[dict[str, Number | None]] = []


class Trained(Training):
    """What the model's card tells too."""

    which: str
    settings: dict[str, Any]
    dataset_digest: str
    plan_digest: str
    retain_pairs: int
    retain_sources: dict[str, int]
    retain_rejects: dict[str, int]
    sensitive_pairs: int
    times_seen: dict[str, dict[str, int]]
    parameters: int
    steps: int
    seen: int
    seconds: Number
    processes: int
    threads: int
    curve: Annotated[list[Point], Field(min_length=1)]


def read_training(path: Path, form: type[Training] = Training) -> dict[str, Any]:
    """The record in a file, as it stands there. Raises UserError of one line if it is missing, damaged or of another
    form."""
    try:
        return read_checked(path, form)
    except UserError as error:
        raise UserError(f"{error}; remove {path.parent} to have the model trained again") from None
