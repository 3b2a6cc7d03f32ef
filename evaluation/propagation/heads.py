"""Portraits as the generator learns and draws them: heads of 64 pixels, and who a face recogniser takes them for."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from salmu.data.errors import UserError
from salmu.data.keyed import ranked
from salmu.data.pictures import decode_files
from salmu.data.readers import SPLITS, Dataset
from salmu.evaluation.encoding.pairs import person_on
from salmu.tasks.faces import crop_size, detect_faces, framed_crop, recognise

SIDE, FACE = 64, 0.7  # pixels; share of the sides that the aligned face takes
COLUMNS = ("file_name", "text", "identity_id")
BATCH = 256  # portraits decoded at once


class Heads(NamedTuple):
    """n portraits in the order of the dataset; strings are None where there is nothing."""

    split: np.ndarray
    file_name: np.ndarray
    text: np.ndarray  # the caption
    identity: np.ndarray
    person: np.ndarray  # who is on the picture; also where the person has no persona
    gender: np.ndarray
    pictures: np.ndarray  # uint8 [n, SIDE, SIDE, 3]

    def rows(self, chosen: np.ndarray) -> "Heads":
        """The portraits that a mask or an array of indices chooses."""
        return Heads(*(column[chosen] for column in self))


def read_heads(dataset: Dataset, app: Any, people: int, seed: int) -> tuple[Heads, int]:
    """The heads of all pairs of a dataset, of at most so many people, drawn by the seed; and the number of portraits
    left out because no face was found. `app`: see `load_faces`.

    Raises UserError where fewer than two people have a face."""
    rows, faceless, chosen = [], 0, _drawn(dataset, people, seed)
    for split in SPLITS:
        for row, picture in _portraits(dataset, split, chosen):
            pixels = np.asarray(picture)
            faces = detect_faces(app, pixels)
            if not faces:
                faceless += 1
                continue
            head = framed_crop(pixels, faces[0].kps, SIDE, FACE)
            rows.append((split, *(row[name] for name in COLUMNS), _person(row), row.get("gender"), head))
    if len({row[4] for row in rows}) < 2:
        raise UserError(
            f"{dataset.folder}: a face was found of fewer than two people; set analysis.faces to a pack that knows them"
        )
    *texts, pictures = zip(*rows, strict=True)
    return Heads(*(np.array(column, object) for column in texts), np.stack(pictures)), faceless


def _drawn(dataset: Dataset, people: int, seed: int) -> set[str]:
    rows = [row for split in SPLITS for row in dataset.table(split, ["file_name", "identity_id"]).to_pylist()]
    return set(ranked(sorted({_person(row) for row in rows}), seed, "propagation")[:people])


def _portraits(dataset: Dataset, split: str, people: set[str]) -> Iterator[tuple[dict[str, Any], Image.Image]]:
    """Row and picture of each pair of a split that shows one of the people, few in memory at a time."""
    for batch in dataset.table(split).to_batches(max_chunksize=BATCH):
        rows = [row for row in batch.to_pylist() if _person(row) in people]
        yield from zip(rows, decode_files((row["file_name"], row["image"]["bytes"]) for row in rows), strict=True)


def _person(row: dict[str, Any]) -> str:
    return person_on(row["identity_id"], row["file_name"])


class Gallery(NamedTuple):
    """The people among whom a drawn face is looked for."""

    people: np.ndarray  # [p], in order
    faces: np.ndarray  # mean embedding of each person's portraits, of length 1 [p, width]
    gender: np.ndarray  # [p]; None where the dataset does not tell


class Seen(NamedTuple):
    """What the recogniser says of n pictures of which it is known who should be on them."""

    rank: np.ndarray  # of that person among all, from 1
    same_gender: np.ndarray  # whether the nearest person has that person's gender


def gallery_of(heads: Heads, embeddings: np.ndarray) -> Gallery:
    """The people of the portraits; `embeddings` [n, width] are those of `embedded`."""
    people, first, member = np.unique(heads.person.astype(str), return_index=True, return_inverse=True)
    sums = np.zeros((len(people), embeddings.shape[1]), np.float32)
    np.add.at(sums, member, embeddings)
    return Gallery(people, sums / np.linalg.norm(sums, axis=1, keepdims=True), heads.gender[first])


def embedded(app: Any, pictures: np.ndarray) -> np.ndarray:
    """Unit embeddings [n, width] of heads, uint8 [n, SIDE, SIDE, 3]: of the middle, where the aligned face lies."""
    size, edge = crop_size(app), round(SIDE * (1 - FACE) / 2)
    middle = pictures[:, edge : SIDE - edge, edge : SIDE - edge]
    return recognise(app, [cv2.resize(one, (size, size), interpolation=cv2.INTER_LINEAR) for one in middle])


def seen(embeddings: np.ndarray, people: np.ndarray, gallery: Gallery) -> Seen:
    """How pictures with these embeddings [n, width] are recognised that should show these people [n]."""
    cosines = embeddings @ gallery.faces.T
    own = np.searchsorted(gallery.people, people.astype(str))
    rank = 1 + (cosines > cosines[np.arange(len(own)), own][:, None]).sum(1)
    return Seen(rank, gallery.gender[cosines.argmax(1)] == gallery.gender[own])


def seen_portraits(heads: Heads, embeddings: np.ndarray) -> Seen:
    """How the portraits themselves are recognised, each among people made of all others: what no drawing can exceed."""
    gallery = gallery_of(heads, embeddings)
    own = np.searchsorted(gallery.people, heads.person.astype(str))
    sums = np.zeros_like(gallery.faces)
    np.add.at(sums, own, embeddings)
    others = sums[own] - embeddings
    length = np.linalg.norm(others, axis=1)
    left = np.einsum("nd,nd->n", others, embeddings) / np.where(length > 0, length, 1)
    cosines = embeddings @ gallery.faces.T
    cosines[np.arange(len(own)), own] = left
    rank = 1 + (cosines > left[:, None]).sum(1)
    return Seen(rank, gallery.gender[cosines.argmax(1)] == gallery.gender[own])
