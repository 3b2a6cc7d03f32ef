"""The names that a person types, known without loading what they stand for, so that `--help` is there at once."""

import pkgutil
from pathlib import Path

from salmu.evaluation.unlearning import methods as methods_folder

STAGES = ("candidates", "anchors", "portraits", "analysis", "curation", "domain", "personas", "captions", "assembly")
PARTS = (*STAGES, "dataset", "pair", "benchmark")  # of a run, in the order in which they are made

PROFILES = Path(__file__).parent / "profiles"


def parts_until(last: str) -> tuple[str, ...]:
    """The parts of a run up to this one."""
    return PARTS[: PARTS.index(last) + 1]


def profiles() -> list[str]:
    """Names of the profiles that come with the project."""
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def methods() -> list[str]:
    """Names of the unlearning methods that come with the project."""
    return [info.name for info in pkgutil.iter_modules(methods_folder.__path__)]
