"""Pairs as a network takes them."""

from typing import NamedTuple

import numpy as np
from torch import Tensor

from salmu.data.pictures import decode_files
from salmu.data.readers import Dataset
from salmu.model_training.loading.clip import ClipModel
from salmu.model_training.loading.pixels import normalised, sized


class Decoded(NamedTuple):
    pixels: Tensor  # float32 [n, 3, side, side]
    tokens: Tensor
    texts: np.ndarray


def decoded(clip: ClipModel, dataset: Dataset, split: str, rows: np.ndarray) -> Decoded:
    """These rows of a split, in memory. Raises UserError for a damaged picture."""
    table = dataset.table(split, ["file_name", "image", "text"]).take(rows)
    contents = (image["bytes"] for image in table.column("image").to_pylist())
    pictures = decode_files(zip(table.column("file_name").to_pylist(), contents, strict=True))
    texts = table.column("text").to_pylist()
    pixels = normalised(clip.preprocess, [sized(clip.preprocess, picture) for picture in pictures])
    return Decoded(pixels, clip.tokenizer(texts), np.array(texts, object))
