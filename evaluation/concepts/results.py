"""concepts/results/<model>.json of a run: what each model knows of the concepts, and how methods failed."""

from pathlib import Path
from typing import Any

from salmu.data.files import listed
from salmu.data.sealed import read_sealed, write_sealed
from salmu.evaluation.concepts.questions import CONCEPT_MRR, CONCEPTS, NEW_SUBJECTS, OTHERS, PICTURES, SUBJECTS
from salmu.evaluation.metrics.bootstrap import Sums, interval
from salmu.evaluation.metrics.results_file import Bounds, Clusters, Number, Part

FOLDER, RESULTS = "concepts", "results"
FAILURES = {  # -> the questions that show it, and on which side of Retrained
    "not forgotten": ((PICTURES, CONCEPTS), 1),
    "other concepts harmed": ((OTHERS,), -1),
    "same concepts harmed": ((SUBJECTS, NEW_SUBJECTS), -1),
}


class Mean(Part):
    """The mean over the pictures of a question, with its 95 % interval over concepts."""

    value: Number
    interval: Bounds | None
    chance: Number
    clusters: Clusters


class Known(Part):
    value: Number
    chance: Number


class Chosen(Part):
    """Of the settings, those that say what a failure is."""

    seed: int
    margin: Number


class Measured(Part):
    fingerprint: str
    model_digest: str
    dataset_digest: str
    settings: Chosen
    questions: dict[str, dict[str, Mean]]
    GenKnow: Known


def results_file(home: Path, name: str) -> Path:
    """Where the results of a model lie. `home`: concepts/ of the run."""
    return home / RESULTS / f"{name}.json"


def read_measured(path: Path) -> dict[str, Any] | None:
    """The results of a model; None if there are none. Raises UserError of one line if they are damaged."""
    return read_sealed(path, Measured, "remove it, and run salmu concepts again")


def read_all(home: Path) -> dict[str, dict[str, Any]]:
    """Name -> results of every model, the pair's first."""
    names = [Path(name).stem for name in listed(home / RESULTS) if name.endswith(".json")]
    pair = [name for name in ("clean", "compromised", "retrained") if name in names]
    return {name: read_measured(results_file(home, name)) for name in [*pair, *sorted(set(names) - set(pair))]}


def write_measured(results: dict[str, Any], path: Path) -> None:
    """Write the results of a model, with a digest of their content. Raises UserError when the disk refuses."""
    write_sealed(path, results)


def apart(results: dict[str, Any], reference: dict[str, Any], question: str) -> tuple[float, list[float]]:
    """How far a model's ConceptMRR lies above the reference's, with a 95 % interval: the same concepts are drawn for
    both."""
    own, other = (Sums.read(one["questions"][question][CONCEPT_MRR]["clusters"]) for one in (results, reference))
    bounds = interval(own, results["settings"]["seed"], "concepts", question, CONCEPT_MRR, other=other)
    difference = own.mean - other.mean
    return difference, list(bounds) if bounds else [difference, difference]


def failures(results: dict[str, Any], retrained: dict[str, Any]) -> list[str]:
    """Which of FAILURES a model shows: a question's ConceptMRR lies on the wrong side of Retrained's by more than the
    margin. It is "not sure" where the interval of the difference reaches the other side."""
    found, margin = [], results["settings"]["margin"]
    for failure, (questions, side) in FAILURES.items():
        there = [one for one in questions if one in results["questions"] and one in retrained["questions"]]
        apart_by = [apart(results, retrained, question) for question in there]
        wrong = [bounds for difference, bounds in apart_by if side * difference > margin]
        if wrong:
            sure = any(min(side * bound for bound in bounds) > 0 for bounds in wrong)
            found.append(failure if sure else f"{failure} (not sure)")
    return found


def is_sound(compromised: dict[str, Any], clean: dict[str, Any]) -> bool:
    """Whether Compromised knows the concepts that are to be forgotten: more than Clean for sure, and twice as well.
    Else there is nothing to forget."""
    own, other = (one["questions"][PICTURES][CONCEPT_MRR]["value"] for one in (compromised, clean))
    return apart(compromised, clean, PICTURES)[1][0] > 0 and own >= 2 * other
