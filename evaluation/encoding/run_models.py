"""The models of a run that its further tests look at."""

from pathlib import Path

from salmu.data.errors import UserError
from salmu.data.files import listed
from salmu.model_training.settings import PAIR, RETRAINED

START = "compromised"  # what methods start from, and what generators and captioners are built on


def pair_of(run_folder: Path) -> dict[str, Path]:
    """Name -> folder of each model of the run's first pair, Compromised first. Raises UserError where one is
    missing."""
    there = listed(run_folder / "models")
    if missing := [name for name in PAIR if name not in there]:
        raise UserError(f"{run_folder / 'models' / missing[0]}: no model; make the run first: salmu run")
    names = [START, *(name for name in (*PAIR, *sorted(filter(RETRAINED.fullmatch, there))) if name != START)]
    return {name: run_folder / "models" / name for name in names}


def unlearned_of(run_folder: Path) -> dict[str, Path]:
    """Name -> folder of each model that was made to forget."""
    return {name: run_folder / "unlearned" / name for name in sorted(listed(run_folder / "unlearned"))}


def models_of(run_folder: Path) -> dict[str, Path]:
    """Name -> folder of each of them, those of the pair first."""
    return pair_of(run_folder) | unlearned_of(run_folder)
