"""propagation/results.json of a run: what each tower's generators drew, with intervals."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from salmu.data.files import write_atomic
from salmu.data.sealed import read_sealed, sealed

START, EXACT = "compromised", "exact"  # the model that generators are built on; Retrained with generators of its own
FOLDER, RESULTS, PICTURES = "propagation", "results.json", "pictures"
# question -> what its captions are
QUESTIONS = {
    "forgotten people": "forget captions of people all of whose facts are to be forgotten",
    "forgotten facts": "forget captions of people who keep other facts, and so their name",
    "names": "the bare names of the people all of whose facts are to be forgotten",
    "names, facts kept": "the bare names of the people who keep other facts",
    "other people": "captions of holdout_identity: people whom nobody asked to forget",
    "other facts": "captions of holdout_association: facts of the forgotten people that nobody asked to forget",
    "neutral": "captions without personal data",
}
Number = Annotated[float, Field(allow_inf_nan=False)]


class Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class Share(Part):
    """The mean over the pictures of a question, with its 95 % interval over people."""

    value: Number | None
    interval: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = None
    chance: Number | None = None


class Found(Part):
    """What the recogniser says of the pictures of a question."""

    recognised: Share
    reciprocal_rank: Share
    same_gender: Share | None = None


class Tower(Part):
    model_digest: str
    ways: dict[str, dict[str, Found]]  # way -> question


class Trained(Part):
    """A generator's file, by which it is known again."""

    sha256: str
    seconds: Number


class Propagation(Part):
    fingerprint: str
    people: int
    portraits: int
    faceless: int
    asked: dict[str, int]
    real: Found
    generators: dict[str, Trained]
    towers: dict[str, Tower]


def results_file(run_folder: Path) -> Path:
    """Where the results of a run lie."""
    return run_folder / FOLDER / RESULTS


def read_propagation(run_folder: Path) -> dict[str, Any] | None:
    """The results of a run; None if there are none. Raises UserError of one line if they are damaged."""
    return read_sealed(results_file(run_folder), Propagation, "remove it, and run salmu generator again")


def write_propagation(results: dict[str, Any], run_folder: Path) -> None:
    """Write the results of a run, with a digest of their content. Raises UserError when the disk refuses."""
    content = json.dumps(sealed(results), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomic(results_file(run_folder), content.encode())
