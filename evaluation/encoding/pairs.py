"""The pairs of a split with their embeddings: all that the metrics work on."""

from dataclasses import dataclass, fields, replace

import numpy as np

from salmu.data.errors import UserError
from salmu.data.pictures import decode_files
from salmu.data.readers import Dataset
from salmu.evaluation.encoding.embeddings import Encoder


@dataclass(frozen=True)
class Pairs:
    """n pairs in the order of the dataset. Every field is an array of n rows; strings are None where there is
    nothing."""

    file_name: np.ndarray
    text: np.ndarray
    identity: np.ndarray  # identity id, or None
    person: np.ndarray  # who is on the image; also where the person has no persona: what a bootstrap draws
    name: np.ndarray  # the persona's
    field: np.ndarray  # the attribute that the caption is about
    value: np.ndarray
    gender: np.ndarray  # the person's; None where the dataset does not tell
    age_group: np.ndarray
    country: np.ndarray  # ISO code
    images: np.ndarray  # float32 [n, width], rows of length 1
    texts: np.ndarray  # the captions', likewise

    def __len__(self) -> int:
        return len(self.file_name)

    def rows(self, chosen: np.ndarray) -> "Pairs":
        """The pairs that a mask or an array of indices chooses."""
        return replace(self, **{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    def named(self, file_names: list[str]) -> "Pairs":
        """The pairs with these file names."""
        return self.rows(np.isin(self.file_name.astype(str), np.array(file_names, str)))

    @property
    def cosines(self) -> np.ndarray:
        """Cosine of image and caption of each pair."""
        return np.einsum("nd,nd->n", self.images, self.texts)


def person_on(identity: str | None, file_name: str) -> str:
    """Who is on a picture; its file name tells where the pair names no persona."""
    return identity or file_name.partition("_")[0]


def encoded_pairs(dataset: Dataset, split: str, encoder: Encoder) -> Pairs:
    """The pairs of a split of the dataset. Raises UserError if an identity is not in identities_metadata.json."""
    table = dataset.table(split, ["file_name", "text", "identity_id", "data_field", "value"])
    columns = {name: _strings(table.column(name).to_pylist()) for name in table.column_names}
    files = zip(columns["file_name"], (row["bytes"] for row in _images(dataset, split)), strict=True)
    person = list(map(person_on, columns["identity_id"], columns["file_name"]))
    return Pairs(
        file_name=columns["file_name"],
        text=columns["text"],
        identity=columns["identity_id"],
        person=_strings(person),
        name=_strings([_name(dataset, identity) for identity in columns["identity_id"]]),
        field=columns["data_field"],
        value=columns["value"],
        gender=_optional(dataset, split, "gender", len(table)),
        age_group=_optional(dataset, split, "age_group", len(table)),
        country=_strings([dataset.identities.get(one, {}).get("country_code") for one in columns["identity_id"]]),
        images=encoder.images(split, decode_files(files), len(table)),
        texts=encoder.texts(columns["text"]),
    )


def _images(dataset: Dataset, split: str):
    """The image structs, read when the first is asked for, so that embeddings found in a cache cost no reading."""
    for chunk in dataset.table(split, ["image"]).column("image").chunks:
        for image in chunk:
            yield image.as_py()


def _optional(dataset: Dataset, split: str, column: str, count: int) -> np.ndarray:
    """A column that our datasets have and the published one lacks."""
    try:
        return _strings(dataset.table(split, [column]).column(column).to_pylist())
    except UserError:
        return _strings([None] * count)


def _strings(values: list) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _name(dataset: Dataset, identity: str | None) -> str | None:
    if identity is None:
        return None
    try:
        return dataset.identities[identity]["name"]
    except KeyError:
        raise UserError(f"{dataset.folder}: identity {identity} has no name in identities_metadata.json") from None
