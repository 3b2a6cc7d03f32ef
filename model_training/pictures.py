"""Pictures as the trainer wants them: uint8 squares, whole or randomly cropped."""

import math

import numpy as np
from PIL import Image

from salmu.data.pictures import read_header, to_rgb

Bytes = bytes | np.ndarray  # an encoded picture, or a finished uint8 square


def square(image: bytes, size: int, resize: str = "squash") -> np.ndarray:
    """An image file as uint8 [size, size, 3], as open_clip's preprocessing in that resize mode gives it.

    Raises PictureError if it cannot be decoded."""
    picture = _opened(image)
    if resize == "squash":
        return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC))
    scale = size / min(picture.size)
    width, height = (max(size, int(side * scale)) for side in picture.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    whole = picture.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(whole.crop((left, top, left + size, top + size)))


def random_crop(image: bytes, size: int, smallest: float, rng: np.random.Generator) -> np.ndarray:
    """A random part of an image file as uint8 [size, size, 3]: area in [smallest, 1], aspect ratio in [3/4, 4/3], the
    law of torchvision's RandomResizedCrop, which open_clip trains with.

    A large JPEG is decoded at the scale that is needed. Raises PictureError if it cannot be decoded."""
    picture = _opened(image, at_least=2 * size)
    width, height = picture.size
    for _ in range(10):
        area = width * height * rng.uniform(smallest, 1)
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = rng.integers(width - w + 1), rng.integers(height - h + 1)
            break
    else:
        w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
        left, top = (width - w) // 2, (height - h) // 2
    box = (left, top, left + w, top + h)
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC, box=box))


def fitted(image: Bytes, size: int, resize: str, crop: float, rng: np.random.Generator | None) -> np.ndarray:
    """uint8 [size, size, 3] for training. Drawn pictures come in their size and are not cropped."""
    if isinstance(image, np.ndarray):
        return image
    return square(image, size, resize) if crop >= 1 else random_crop(image, size, crop, rng)


def _opened(image: bytes, at_least: int | None = None) -> Image.Image:
    picture = read_header(image)
    if at_least:
        picture.draft("RGB", (at_least, at_least))
    return to_rgb(picture)
