"""The portraits that the domain check compares, as arrays."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from salmu.data.keyed import ranked
from salmu.data.store import StageView
from salmu.tasks.curation.measured import matrix

SCALARS = ("detection_score", "sharpness", "brightness")
EMBEDDINGS = ("face_embedding", "clip_embedding")


class Sample(NamedTuple):
    """Measured portraits with a face."""

    person: np.ndarray  # [n], a number for each identity
    one_each: np.ndarray  # [identities], the row of the portrait that stands for each
    faces: np.ndarray  # [n, d], unit face embeddings
    pictures: np.ndarray  # [n, d], unit CLIP embeddings
    scalars: dict[str, np.ndarray]  # of SCALARS -> [n]


def kept_sample(upstream: dict[str, StageView], seed: int, per_identity: int) -> Sample:
    """Up to `per_identity` kept portraits of each identity, drawn by key; the first drawn stands for its identity."""
    kept: dict[str, list[str]] = {}
    for row in upstream["curation"].rows(["file_name", "identity_id", "kept"]):
        if row["kept"]:
            kept.setdefault(row["identity_id"], []).append(row["file_name"])
    drawn = {identity: ranked(names, seed, "domain")[:per_identity] for identity, names in kept.items()}
    chosen = pa.array(sum(drawn.values(), []), pa.string())
    columns = ["file_name", "identity_id", *EMBEDDINGS, *SCALARS]
    tables = upstream["analysis"].tables(columns)
    table = pa.concat_tables([table.filter(pc.is_in(table.column("file_name"), chosen)) for table in tables])
    return as_sample(table, table.column("identity_id").to_pylist(), {names[0] for names in drawn.values()})


def reference_sample(view: StageView) -> Sample:
    """The reference portraits with a face, each taken for another person."""
    table = pa.concat_tables(view.tables(["file_name", *EMBEDDINGS, *SCALARS]))
    table = table.filter(table.column("face_embedding").is_valid())
    names = table.column("file_name").to_pylist()
    return as_sample(table, names, set(names))


def as_sample(table: pa.Table, people: list[str], stand_for: set[str]) -> Sample:
    """A table of measured portraits with a face as arrays. people: who is on each; stand_for: file names."""
    numbers = {person: number for number, person in enumerate(dict.fromkeys(people))}
    return Sample(
        np.array([numbers[person] for person in people], int),
        np.flatnonzero([name in stand_for for name in table.column("file_name").to_pylist()]),
        *(matrix(table.column(name)) for name in EMBEDDINGS),
        {name: table.column(name).to_numpy().astype(np.float64) for name in SCALARS},
    )
