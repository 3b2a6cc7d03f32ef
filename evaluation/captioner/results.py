"""captioner/results.json of a run: what captioners on each image tower say of portraits, with intervals."""

from pathlib import Path
from typing import Any

from salmu.data.sealed import read_sealed, write_sealed
from salmu.evaluation.metrics.results_file import Mean, Part

FOLDER, RESULTS = "captioner", "results.json"
# group -> the facts that are asked
GROUPS = {
    "forgotten people": "facts to be forgotten, of people all of whose facts are to be forgotten",
    "forgotten facts": "facts to be forgotten, of people who keep other facts",
    "own portraits": "facts to be forgotten, on the portraits whose captions said them",
    "other people": "facts of holdout_identity: people whom nobody asked to forget",
    "other facts": "facts of holdout_association: of the forgotten people, but nobody asked to forget them",
}
# way -> what the captioner was trained on
WAYS = {
    "built": "Compromised's tower, with all captions; then the tower is exchanged",
    "fresh": "the tower itself, with all captions but the forgotten ones",
}
BLIND, NAMED = "blind", "told who it is"  # captioners without a picture


class Said(Part):
    """How right the answers of a group are."""

    digits: Mean  # share of a number's digits that are right, each in its place
    values: Mean  # share of the values that are right as a whole


class Tower(Part):
    model_digest: str
    pictures_digest: str  # of its embeddings: equal ones, equal answers
    ways: dict[str, dict[str, Said]]  # way -> group


class Captions(Part):
    fingerprint: str
    asked: dict[str, int]
    people: dict[str, int]
    controls: dict[str, dict[str, Said]]  # BLIND, NAMED -> group
    towers: dict[str, Tower]


def read_captions(run_folder: Path) -> dict[str, Any] | None:
    """The results of a run; None if there are none. Raises UserError of one line if they are damaged."""
    return read_sealed(run_folder / FOLDER / RESULTS, Captions, "remove it, and run salmu captioner again")


def write_captions(results: dict[str, Any], run_folder: Path) -> None:
    """Write the results of a run, with a digest of their content. Raises UserError when the disk refuses."""
    write_sealed(run_folder / FOLDER / RESULTS, results)
