"""A result file as it is read: the published layout, and what this project puts under "extended".

Both are checked where numbers are taken from; what a file holds beyond is kept."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from salmu.data.documents import MIB, read_checked

LIMIT = 512 * MIB  # the published layout holds a number a row
Number = Annotated[float, Field(allow_inf_nan=False)]
Bounds = Annotated[list[Number], Field(min_length=2, max_length=2)]


class Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class Score(Part):
    """One metric, with the statistics that are headline numbers."""

    mean: Number | None = None
    MRR: Number | None = None
    AUC: Number | None = None
    accuracy: Number | None = None
    acs_accuracy: Number | None = None
    identity_classification_accuracy: Number | None = None
    ImageNet1k_Accuracy: Number | None = None
    set: str | None = None
    outcomes: list[Number] = []
    scores: list[Number] = []
    forgotten: list[Number] = []  # a number a person
    outsiders: list[Number] = []


class Clusters(Part):
    """Sums and numbers of rows by person, for paired intervals."""

    sums: list[Number]
    rows: list[int]


class Point(Part):
    """A step of relearning, with the 95 % intervals."""

    step: int
    RetFail: Number
    RetFail_low: Number | None = None
    RetFail_high: Number | None = None
    AssocStr: Number
    AssocStr_low: Number | None = None
    AssocStr_high: Number | None = None


class Curve(Part):
    """One training of the attack `relearning`; rank 0: all weights."""

    source: str
    learning_rate: Number
    rank: int
    trained_on: int
    points: Annotated[list[Point], Field(min_length=1)]


class Mean(Part):
    """A mean with its 95 % interval over people, as attacks/outcome.py writes it; no value where nothing was asked."""

    value: Number | None = None
    interval: Bounds | None = None
    chance: Number | None = None
    clusters: Clusters | None = None


class Attack(Mean):
    """What an attack found; `reason`: why it found nothing."""

    reason: str | None = None
    curves: list[Curve] = []
    strongest: int | None = None


class Attribute(Part):
    """RetFail of the pairs with one attribute."""

    data_field: str
    rows: int
    RetFail: Number | None = None


class Extended(Part):
    model_digest: str | None = None
    dataset_digest: str | None = None
    fragile_digest: str | None = None
    version: int | None = None
    split_scheme: str | None = None
    captions: dict[str, int] = {}  # of reading.py
    seed: int | None = None
    settings: dict[str, Any] = {}
    cost: dict[str, Any] = {}
    intervals: dict[str, Bounds | None] = {}
    clusters: dict[str, Clusters | None] = {}
    chance: dict[str, Number | None] = {}
    InterIdMRR: Score = Score()
    IntraIdMRR: Score = Score()
    ValueMRR: Score = Score()
    NameMRR: Score = Score()
    ACS_mean: Score = Score()
    ACS_matched: Score = Score()
    AssocAUC: Score = Score()
    ParaMRR: Score = Score()
    ParaStr: Score = Score()
    ImgRes: Score = Score()
    DeletionTrace: Score = Score()
    Membership: Score = Score()
    fingerprint: str | None = None
    attacks: dict[str, Attack] = {}
    per_attribute: list[Attribute] = []
    per_demographic: dict[str, list[dict[str, Any]]] = {}


class Results(Part):
    efficacy: dict[str, Score] = {}
    utility: dict[str, Score] = {}
    extended: Extended = Extended()


def read_results(path: Path) -> dict[str, Any]:
    """The results in a file, as they stand there. Raises UserError of one line if it is missing, damaged or of another
    form."""
    return read_checked(path, Results, LIMIT)
