"""granularity/results.json of a run: what each model knows exactly and coarsely, with intervals."""

from pathlib import Path
from typing import Any

from salmu.data.sealed import read_sealed, write_sealed
from salmu.evaluation.metrics.results_file import Bounds, Clusters, Number, Part

FOLDER, RESULTS = "granularity", "results.json"
COARSE = "coarse"  # the model that was told the coarse facts in the place of those to be forgotten
# measure -> what its right and wrong captions are
MEASURES = {
    "fine": "the fact's own caption, among the same sentence with other values of the same kind",
    "kind": "the sentence with another value of the right kind, among the same sentence with values of other kinds",
    "coarse": "the sentence that names the right kind, among the same sentence with other kinds",
}


class Rank(Part):
    """A mean reciprocal rank with its 95 % interval over people."""

    value: Number
    interval: Bounds | None
    chance: Number
    clusters: Clusters


class Difference(Part):
    """How far above another model, people drawn in pairs."""

    value: Number
    interval: Bounds | None


class Known(Part):
    """What a model knows by one measure."""

    own: Rank  # on the person's portraits
    others: Rank  # on portraits of other people: what the caption alone gives away
    fields: dict[str, Rank]
    minus: dict[str, Difference]  # by the other model


class Model(Part):
    model_digest: str
    measures: dict[str, Known]


class Granularity(Part):
    fingerprint: str
    rows: int
    people: int
    left_out: dict[str, int]
    models: dict[str, Model]


def read_granularity(run_folder: Path) -> dict[str, Any] | None:
    """The results of a run; None if there are none. Raises UserError of one line if they are damaged."""
    return read_sealed(run_folder / FOLDER / RESULTS, Granularity, "remove it, and run salmu granularity again")


def write_granularity(results: dict[str, Any], run_folder: Path) -> None:
    """Write the results of a run, with a digest of their content. Raises UserError when the disk refuses."""
    write_sealed(run_folder / FOLDER / RESULTS, results)
