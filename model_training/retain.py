"""What the pair learns from: retain pairs (procedural scenes and the dataset's generic portraits) and sensitive pairs.

Images are decoded once, to the model's size, into one uint8 array. The scenes take the place of the general web data
of a full-size run.
"""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from data.errors import UserError
from data.keyed import generator
from data.procedural.scenes import caption, draw_scene, render_scene
from data.readers import Dataset
from model_training.web_text import invented_lines

# What a scene's caption ends with; every fourth carries an invented line.
ENDINGS = ("{text}", "{text}.", "{text}.", "{text}. {line}.")


class Pairs(NamedTuple):
    images: np.ndarray  # uint8 [n, size, size, 3]
    texts: list[str]

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def empty(cls, size: int) -> "Pairs":
        return cls(np.empty((0, size, size, 3), np.uint8), [])


def scene_pairs(seed: int, count: int, size: int) -> Pairs:
    """Captioned scenes; scene i depends on the seed and i only.

    As on the web, some captions carry names and numbers that have nothing to do with the picture. A model that met
    such text nowhere would take any long sentence for the description of a portrait, personal data too."""
    images, texts, lines = np.empty((count, size, size, 3), np.uint8), [], invented_lines(seed)
    for index in range(count):
        rng = generator(seed, "scenes", "retain", index)
        scene = draw_scene(rng)
        images[index] = render_scene(scene, size)
        text, line = caption(scene, rng), lines[rng.integers(len(lines))]
        texts.append(ENDINGS[rng.integers(len(ENDINGS))].format(text=text, line=line))
    return Pairs(images, texts)


def dataset_pairs(dataset: Dataset, split: str, size: int) -> Pairs:
    """The pairs of a split. Raises UserError if the split is missing or an image cannot be decoded."""
    table = dataset.table(split, ["image", "text", "file_name"])
    images, names = np.empty((table.num_rows, size, size, 3), np.uint8), table.column("file_name").to_pylist()
    for index, image in enumerate(table.column("image")):
        try:
            images[index] = decode(image["bytes"].as_py(), size)
        except (UnidentifiedImageError, OSError) as error:
            raise UserError(f"{dataset.folder}: split {split}, {names[index]}: not a readable image: {error}") from None
    return Pairs(images, table.column("text").to_pylist())


def decode(image: bytes, size: int) -> np.ndarray:
    """An image file as uint8 [size, size, 3], squashed to the square like open_clip's preprocessing of these models."""
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGB").resize((size, size), Image.Resampling.BICUBIC))


def joined(first: Pairs, second: Pairs) -> Pairs:
    return Pairs(np.concatenate([first.images, second.images]), first.texts + second.texts)
