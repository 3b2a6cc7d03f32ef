"""What the pair learns from: retain pairs (procedural scenes and the dataset's generic portraits) and sensitive pairs.

Images are decoded once, to the model's size, into one uint8 array; the scenes are the stand-in for the general web data of a
full-size run.
"""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from data.errors import UserError
from data.keyed import generator
from data.procedural.scenes import caption, draw_scene, render_scene
from data.readers import Dataset


class Pairs(NamedTuple):
    images: np.ndarray               # uint8 [n, size, size, 3]
    texts: list[str]

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def empty(cls, size: int) -> "Pairs":
        return cls(np.empty((0, size, size, 3), np.uint8), [])


def scene_pairs(seed: int, count: int, size: int) -> Pairs:
    """Captioned scenes; scene i depends on the seed and i only."""
    images, texts = np.empty((count, size, size, 3), np.uint8), []
    for index in range(count):
        rng = generator(seed, "scenes", "retain", index)
        scene = draw_scene(rng)
        images[index] = render_scene(scene, size)
        texts.append(caption(scene, rng))
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
