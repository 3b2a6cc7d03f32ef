"""propagation/results.json of a run: what each tower's generators drew, with intervals."""

from pathlib import Path
from typing import Any

from salmu.data.sealed import read_sealed, write_sealed
from salmu.evaluation.metrics.results_file import Mean, Number, Part

EXACT = "exact"  # Retrained with generators of its own
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


class Found(Part):
    """What the recogniser says of the pictures of a question."""

    recognised: Mean
    reciprocal_rank: Mean
    same_gender: Mean | None = None


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
    write_sealed(results_file(run_folder), results)
