"""The pictures that the analysis models are trained and measured on: procedural people that no run draws, in all
circumstances.

What a portrait shows is drawn as for a run (data/procedural), and so are the faults that a run plants: two faces, or
nobody."""

import io
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tqdm import tqdm

from salmu.data import keyed
from salmu.data.files import write_atomic
from salmu.data.procedural.person import Person, draw_person
from salmu.data.procedural.render import render
from salmu.data.procedural.view import anchor_view, draw_view
from salmu.data.schemas import AGE_GROUPS, GENDERS, REGIONS

SHORT_SIDE, QUALITY = 128, 92  # as in the profile `tiny`


class Portrait(NamedTuple):
    """A rendered picture: who is on it, what it shows (anchor, portrait, two_faces, no_face), JPEG file, true faces."""

    identity: int
    kind: str
    image: bytes
    boxes: np.ndarray  # [faces, 4] pixels
    landmarks: np.ndarray  # [faces, 5, 2] pixels


def draw_people(seed: int, split: str, count: int) -> list[Person]:
    """People of a split ("train" or "test"), spread evenly over genders, age groups and regions."""
    people = []
    for index in range(count):
        rng = keyed.generator(seed, "analysis models", split, index)
        demographics = (
            GENDERS[index % 2],
            AGE_GROUPS[index // 2 % len(AGE_GROUPS)],
            REGIONS[int(rng.integers(len(REGIONS)))],
        )
        people.append(draw_person(rng, *demographics))
    return people


def draw_portraits(people: list[Person], seed: int, split: str, views: int, every: int, workers: int) -> list[Portrait]:
    """For each person an anchor and `views` portraits; for every so many also a picture with somebody else, and one of
    nobody.

    Whatever the number of workers, the portraits are the same."""
    draw = partial(_draw_all_of, people, seed, split, views, every)
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        drawn = map(draw, range(len(people))) if workers == 1 else pool.map(draw, range(len(people)), chunksize=4)
        return [
            portrait
            for portraits in tqdm(drawn, f"portraits of {split}", len(people), mininterval=2)
            for portrait in portraits
        ]


def _draw_all_of(people: list[Person], seed: int, split: str, views: int, every: int, identity: int) -> list[Portrait]:
    kinds = ["anchor", *["portrait"] * views, *(["two_faces", "no_face"] if identity % every == 0 else [])]
    return [
        _draw(people, identity, kind, keyed.generator(seed, "analysis models", split, identity, index))
        for index, kind in enumerate(kinds)
    ]


def _draw(people: list[Person], identity: int, kind: str, rng: np.random.Generator) -> Portrait:
    person, other = people[identity], None
    view = anchor_view(rng, person) if kind == "anchor" else draw_view(rng, person)
    if kind == "two_faces":
        other = people[(identity + int(rng.integers(1, len(people)))) % len(people)]
    ratio = view.aspect_ratio
    width, height = round(SHORT_SIDE * max(ratio, 1)), round(SHORT_SIDE * max(1 / ratio, 1))
    picture = render(None if kind == "no_face" else person, view, width, height, other)
    sink = io.BytesIO()
    Image.fromarray(picture.image).save(sink, "JPEG", quality=QUALITY)
    return Portrait(identity, kind, sink.getvalue(), picture.boxes, picture.landmarks)


def save(portraits: list[Portrait], path: Path) -> None:
    """Keep portraits in a Parquet file."""
    rows = [
        portrait._asdict()
        | {"boxes": portrait.boxes.ravel().tolist(), "landmarks": portrait.landmarks.ravel().tolist()}
        for portrait in portraits
    ]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    write_atomic(path, sink.getvalue())


def load(path: Path) -> list[Portrait]:
    """Portraits kept by `save`."""
    return [
        Portrait(
            row["identity"],
            row["kind"],
            row["image"],
            np.array(row["boxes"], np.float32).reshape(-1, 4),
            np.array(row["landmarks"], np.float32).reshape(-1, 5, 2),
        )
        for row in pq.read_table(path).to_pylist()
    ]


def decode(image: bytes) -> np.ndarray:
    """RGB pixels [h, w, 3] of an image file."""
    return cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR_RGB)


def shade(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Other light and colour balance by chance."""
    gain = rng.uniform(0.85, 1.15) * rng.uniform(0.95, 1.05, size=3)
    return np.clip(image * gain + rng.uniform(-12, 12), 0, 255).astype(np.uint8)


def darken(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture nearly black."""
    return (image * rng.uniform(0.02, 0.09)).astype(np.uint8)
