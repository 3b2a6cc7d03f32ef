"""What the pair learns from: retain pairs (procedural scenes and portraits, the dataset's generic portraits, files) and
sensitive pairs.

The scenes take the place of the general web data of a full-size run.
"""

import hashlib
import itertools
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from salmu.data.errors import UserError
from salmu.data.keyed import digest, generator
from salmu.data.pictures import PictureError, read_header
from salmu.data.procedural import scenes
from salmu.data.readers import Dataset
from salmu.model_training.configurations import input_size
from salmu.model_training.settings import PairSettings
from salmu.model_training.sources import Shard, Source, numbered
from salmu.model_training.web_text import invented_lines

# What a scene's caption ends with; every fourth carries an invented line.
ENDINGS = ("{text}", "{text}.", "{text}.", "{text}. {line}.")
DIGEST_PAIRS = 64


class Pairs(NamedTuple):
    images: np.ndarray  # uint8 [n, size, size, 3]
    texts: list[str]

    def __len__(self) -> int:
        return len(self.texts)


def scene_pairs(seed: int, count: int, size: int, first: int = 0) -> Pairs:
    """`count` captioned scenes from number `first` on; scene i depends on the seed and i only."""
    images, texts = np.empty((count, size, size, 3), np.uint8), []
    for index in range(count):
        images[index], text = scene_pair(seed, size, first + index)
        texts.append(text)
    return Pairs(images, texts)


def scene_pair(seed: int, size: int, index: int) -> tuple[np.ndarray, str]:
    """The index-th retain scene of a seed and its caption.

    As on the web, some captions carry names and numbers that have nothing to do with the picture. A model that met
    such text nowhere would take any long sentence for the description of a portrait, personal data too."""
    rng, lines = generator(seed, "scenes", "retain", index), invented_lines(seed)
    scene = scenes.draw_scene(rng)
    image = scenes.render_scene(scene, size)
    text, line = scenes.caption(scene, rng), lines[rng.integers(len(lines))]
    return image, ENDINGS[rng.integers(len(ENDINGS))].format(text=text, line=line)


def scene_captions(seed: int, count: int) -> list[str]:
    """Captions of scenes that no pair is trained on, without their pictures; none holds the name of a class of the
    zero-shot set, not even in the plural. Held captions with those names would hold the answers of GenKnow."""
    captions: list[str] = []
    for index in itertools.count():
        if len(captions) == count:
            return captions
        rng = generator(seed, "scenes", "captions", index)
        caption = scenes.caption(scenes.draw_scene(rng), rng)
        if not any(name in caption for name in scenes.CLASS_NAMES):
            captions.append(caption)


def everyday_pair(seed: int, size: int, index: int) -> tuple[np.ndarray, str]:
    """The index-th portrait of somebody who is in no run, and a caption without personal data."""
    return scenes.everyday_pair(seed, index, size)


def drawn_source(name: str, count: int, pair: Callable[[int], tuple[np.ndarray, str]]) -> Source:
    """Drawn pairs. Their digest is that of a few of them, so that it changes with the drawing and the wording."""
    hasher = hashlib.sha256()
    for index in range(0, count, -(-count // DIGEST_PAIRS)):
        image, text = pair(index)
        hasher.update(image.tobytes() + text.encode())
    return numbered(name, count, hasher.hexdigest()[:32], pair)


def split_shards(dataset: Dataset, split: str) -> list[Shard]:
    """The shards of a split; no picture is read. Raises UserError if the split is missing."""
    rows = len(dataset.table(split, ["file_name"]))
    return numbered(split, rows, digest(dataset.digest, split), lambda _: None).shards


def split_source(dataset: Dataset, split: str, captions: Mapping[str, str] | None = None) -> Source:
    """The pairs of a split, pictures encoded; `captions` (file name -> caption) take the place of their own.

    Raises UserError if the split is missing or the header of a picture is bad."""
    table = dataset.table(split, ["image", "text", "file_name"])
    images, texts, names = table.column("image"), table.column("text"), table.column("file_name").to_pylist()
    for name, image in zip(names, images, strict=True):
        try:
            read_header(image["bytes"].as_py())
        except PictureError as error:
            raise UserError(f"{dataset.folder}: split {split}, {name}: {error}; get the dataset again") from None
    return numbered(
        split,
        len(table),
        digest(dataset.digest, split),
        lambda index: (images[index]["bytes"].as_py(), (captions or {}).get(names[index], texts[index].as_py())),
    )


def retain_sources(settings: PairSettings, dataset: Dataset, index_dir: Path) -> list[Source]:
    """All retain sources of the settings: scenes, everyday portraits, retain_synth, files. Indexes of files lie in
    `index_dir`. Raises UserError where one cannot be had."""
    from salmu.model_training.sources.files import file_source

    size = input_size(settings.model)
    drawn = [
        drawn_source(name, count, partial(pair, settings.seed, size))
        for name, count, pair in (
            ("scenes", settings.scenes, scene_pair),
            ("everyday", settings.everyday, everyday_pair),
        )
        if count
    ]
    files = [file_source(source, index_dir, settings.workers) for source in settings.retain]
    return [*drawn, split_source(dataset, "retain_synth"), *files]
