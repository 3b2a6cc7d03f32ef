"""What analysis measured, as arrays over all portraits: the scores of the rules. Embeddings are streamed, shard by
shard, so that memory stays bounded."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from salmu.data.schemas import AGE_GROUPS, GENDERS, REGIONS
from salmu.data.store import StageView
from salmu.tasks.curation.rules import VOTED, ZERO_SHOT, Settings
from salmu.tasks.labels import WELL

LABELS = {"gender": GENDERS, "age_group": AGE_GROUPS, "region": REGIONS}
NUMBERS = ("faces", "brightness", "detection_score", "anchor_similarity", "second_similarity")


class Measured(NamedTuple):
    """All portraits, in their stage's order; in the arrays [n] nan stands for what was not measured."""

    names: list[str]
    identity: np.ndarray  # [n], place in `identities`
    faults: list[str | None]
    identities: list[dict[str, Any]]  # identity_id, gender, age_group, region
    scores: dict[str, np.ndarray]  # rule -> [n]
    foreign: dict[str, np.ndarray]  # rule of demographics -> [n, wrong labels]: the support of labels that are wrong


def load(identities: list[dict[str, Any]], upstream: dict[str, StageView], settings: Settings) -> Measured:
    """The portraits with every score that needs no other portrait; those that analysis rejected have none."""
    places = {identity["identity_id"]: place for place, identity in enumerate(identities)}
    portraits = list(upstream["portraits"].rows(["file_name", "identity_id", "fault"]))
    names = [row["file_name"] for row in portraits]
    identity = np.array([places[row["identity_id"]] for row in portraits], int)
    rows = {name: row for row, name in enumerate(names)}
    columns = {name: np.full(len(names), np.nan) for name in NUMBERS}
    well = {rule: np.full(len(names), np.nan) for rule in ZERO_SHOT}
    voters = [
        {name: np.full((len(names), len(labels)), np.nan) for name, labels in LABELS.items()}
        for _ in ("labels", "fairface")
    ]
    asked = NUMBERS if settings.min_second_similarity is not None else NUMBERS[:-1]  # older runs lack that column
    for table in upstream["analysis"].tables(["file_name", *asked, "labels", "fairface"]):
        at = np.array([rows[name] for name in table.column("file_name").to_pylist()], int)
        for name in asked:
            columns[name][at] = table.column(name).cast(pa.float64()).to_numpy()
        for voter, name in zip(voters, ("labels", "fairface"), strict=True):
            for row, text in zip(at, table.column(name).to_pylist(), strict=True):
                answers = json.loads(text) if text else {}
                for question, values in voter.items():
                    if question in answers:
                        values[row] = [answers[question][label] for label in LABELS[question]]
                if name == "labels":
                    for rule, question in ZERO_SHOT.items():
                        if question in answers:
                            well[rule][row] = answers[question][WELL[question]]
    scores = {
        "damaged": (~np.isnan(columns["faces"])).astype(float),
        "too_dark": columns["brightness"],
        "no_face": columns["faces"],
        "several_faces": columns["faces"],
        "low_detection_score": columns["detection_score"],
        "not_the_anchor": columns["anchor_similarity"],
        "not_the_anchor_to_another": columns["second_similarity"],
    }
    foreign = {}
    for rule, question in VOTED.items():
        labels = [LABELS[question].index(row[question]) if row[question] else -1 for row in identities]
        near = settings.age_tolerance if question == "age_group" else 0
        scores[rule], foreign[rule] = vote(
            [voter[question] for voter in voters], np.array(labels)[identity], near, settings.votes_needed
        )
    return Measured(names, identity, [row["fault"] for row in portraits], identities, scores | well, foreign)


def vote(voters: list[np.ndarray], right: np.ndarray, near: int, votes_needed: int) -> tuple[np.ndarray, np.ndarray]:
    """How strongly the voters support a label: the score that is below a threshold just when `votes_needed` voters, or
    all if there are fewer, give the label less than the threshold.

    voters: each the probabilities [n, labels], all nan if it was not asked. right [n]: place of the right label, -1
    where it is not known. near: labels up to so many places apart are supported together. Returns the support of the
    right label [n] and of those that are not near it [n, labels], nan elsewhere."""
    asked = [voter for voter in voters if not np.isnan(voter).all()]
    count, size = voters[0].shape
    nothing = np.full(count, np.nan), np.full((count, size), np.nan)
    if not asked:
        return nothing
    apart = np.abs(np.arange(size)[:, None] - np.arange(size))
    supports = np.sort(np.stack([voter @ (apart <= near) for voter in asked]), axis=0)
    support = supports[min(votes_needed, len(asked)) - 1]
    known = right >= 0
    own = np.where(known, support[np.arange(count), right], np.nan)
    return own, np.where(known[:, None] & (apart[right] > near), support, np.nan)


def embeddings(measured: Measured, view: StageView, *columns: str) -> Iterator[tuple[np.ndarray, ...]]:
    """For each identity: rows [m] in `measured` of its portraits with a face, and a matrix [m, d] of each column, nan
    where it is null. A shard of analysis is in memory at a time; it holds whole identities."""
    rows = {name: row for row, name in enumerate(measured.names)}
    for table in view.tables(list(dict.fromkeys(["file_name", "face_embedding", *columns]))):
        table = table.filter(table.column("face_embedding").is_valid())
        at = np.array([rows[name] for name in table.column("file_name").to_pylist()], int)
        matrices = [matrix(table.column(column)) for column in columns]
        order = np.argsort(measured.identity[at], kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(measured.identity[at][order])) + 1):
            if len(group):
                yield at[group], *(matrix[group] for matrix in matrices)


def matrix(column: pa.ChunkedArray) -> np.ndarray:
    """A column of equally long lists as [n, d], nan in the rows that are null."""
    valid = column.is_valid().to_numpy()
    values = column.drop_null().combine_chunks().flatten().to_numpy()
    width = len(values) // max(valid.sum(), 1)
    found = np.full((len(valid), width), np.nan, np.float32)
    found[valid] = values.reshape(valid.sum(), width)
    return found
