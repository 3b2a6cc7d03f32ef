"""The files of parts that few runs have."""

from collections.abc import Iterator
from pathlib import Path

from salmu.data.errors import UserError
from salmu.data.files import file_sha256
from salmu.flows.verification.checked import Checked, or_none, visible
from salmu.flows.verification.dataset import dataset_files
from salmu.flows.verification.models import model_files, unlearned_files


def request_files(home: Path) -> Iterator[Checked]:
    """The receipts of the benchmark's requests, each with its record and its model."""
    from salmu.evaluation.requests.receipt import check_receipt

    for path in visible(home / "requests", "receipt-*.json"):
        try:
            check_receipt(path)
            problem = ""
        except UserError as error:
            problem = str(error).removeprefix(f"{path}: ")
        yield Checked("requests", path, path.stat().st_size, problem)


def generator_files(home: Path) -> Iterator[Checked]:
    """What `salmu generator` left: its results, and the generators that they name."""
    from salmu.evaluation.propagation.results import FOLDER, read_propagation, results_file

    path = results_file(home)
    if not path.is_file():
        return
    results = or_none(lambda: read_propagation(home))
    yield Checked("generator", path, path.stat().st_size, "" if results else "damaged")
    for name, record in (results or {"generators": {}})["generators"].items():
        file = home / FOLDER / f"{name}.safetensors"
        there = file.is_file()
        problem = "missing" if not there else "" if file_sha256(file) == record["sha256"] else "damaged"
        yield Checked("generator", file, file.stat().st_size if there else 0, problem)


def concept_files(home: Path) -> Iterator[Checked]:
    """What `salmu concepts` left: its dataset, its models, and what was measured of them."""
    from salmu.evaluation.concepts.results import FOLDER, RESULTS, read_measured

    folder, digests = home / FOLDER, {}
    for file in (*dataset_files(folder / "dataset"), *model_files(folder, digests), *unlearned_files(folder, digests)):
        yield file._replace(part="concepts")
    for path in visible(folder / RESULTS, "*.json"):
        results = or_none(lambda path=path: read_measured(path))
        problem = "" if results else "damaged"
        if results and digests.get(path.stem, results["model_digest"]) != results["model_digest"]:
            problem = "was measured on weights other than those in the folder"
        yield Checked("concepts", path, path.stat().st_size, problem)


def granularity_files(home: Path) -> Iterator[Checked]:
    """What `salmu granularity` left: its results, and the coarse model."""
    from salmu.evaluation.granularity.results import FOLDER, RESULTS, read_granularity

    path = home / FOLDER / RESULTS
    if path.is_file():
        problem = "" if or_none(lambda: read_granularity(home)) else "damaged"
        yield Checked("granularity", path, path.stat().st_size, problem)
    yield from (file._replace(part="granularity") for file in model_files(home / FOLDER, {}))


def captioner_files(home: Path) -> Iterator[Checked]:
    """What `salmu captioner` left: its results."""
    from salmu.evaluation.captioner.results import FOLDER, RESULTS, read_captions

    path = home / FOLDER / RESULTS
    if path.is_file():
        problem = "" if or_none(lambda: read_captions(home)) else "damaged"
        yield Checked("captioner", path, path.stat().st_size, problem)
