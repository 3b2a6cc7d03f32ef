"""Reads picture files that nobody vouches for. Every reader of pictures uses this: face folders, retain sources,
datasets, zero-shot sets, reference folders, the gallery.

    picture = decode(content)                     # RGB
    picture = decode(content, upright=True)       # RGB, turned as its EXIF says

A file of another format, or beyond the limits, is refused before it is decoded. Whatever else goes wrong with a file is
a PictureError with a reason, so that one file costs one reject.
"""

import io
import re
import warnings
from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image, UnidentifiedImageError

from salmu.data.errors import UserError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # of Pillow's others one starts an outside program
NAMES = "JPEG, PNG, WebP, GIF, BMP or TIFF"
NO_IMAGE = "not an image"  # the reason of an empty file and of another format
LARGEST_FILE = 64_000_000  # bytes
LARGEST_PIXELS = 50_000_000
LARGEST_RATIO = 50  # of the longer to the shorter side; a narrower strip explodes when its shorter side is fitted
ORIENTATION = 0x0112  # EXIF
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
QUARTERS = {turn for orientation, turn in TURNS.items() if orientation >= 5}  # those that swap width and height
OVERSHOOT = 1.1  # a resized float picture may be a little above white
WHITE = {"I": (2**8 - 1, 2**16 - 1, 2**31 - 1), "F": (1, 2**8 - 1, 2**16 - 1)}  # values that white may have in a mode

warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # a reject tells what cannot be read
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # refused here, by a lower limit


class PictureError(ValueError):
    """A picture file that cannot be used. `reason` is one of a few words, `detail` tells about this file."""

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def read_header(content: bytes | None) -> Image.Image:
    """A picture file with its limits checked, not decoded yet. Raises PictureError."""
    if not content:
        raise PictureError(NO_IMAGE, "no bytes")
    if len(content) > LARGEST_FILE:
        raise PictureError("too large", f"{len(content)} bytes")
    try:
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        raise PictureError(NO_IMAGE, f"no {NAMES} file") from None
    except Image.DecompressionBombError as error:
        pixels = re.search(r"[0-9]+", str(error))  # Pillow raises before it tells width and height
        raise PictureError("too large", f"{int(pixels[0]):,} pixels" if pixels else "far too many pixels") from None
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever they meet
        raise _damaged(error) from None
    width, height = picture.size
    if max(width, height) > LARGEST_RATIO * min(width, height):
        raise PictureError("too narrow", f"{width} x {height} pixels")
    if width * height > LARGEST_PIXELS:
        raise PictureError("too large", f"{width} x {height} pixels")
    return picture


def to_rgb(picture: Image.Image, upright: bool = False) -> Image.Image:
    """Decodes what read_header gives, as RGB. 16 and 32 bits and floats are scaled to 8 bits, not clipped.

    `upright`: turned as its EXIF says; an EXIF that cannot be read turns nothing. Raises PictureError."""
    try:
        turn = None
        if upright:
            picture.load()  # first, since turn_of takes what the decoder raises for an odd EXIF
            turn = turn_of(picture)
        if picture.mode[0] in WHITE:
            picture = Image.fromarray(_eight_bits(np.asarray(picture), picture.mode[0]))
        picture.load()
        picture = picture if picture.mode == "RGB" else picture.convert("RGB")
        return picture if turn is None else picture.transpose(turn)
    except MemoryError:
        raise
    except Exception as error:
        raise _damaged(error) from None


def decode(content: bytes | None, upright: bool = False) -> Image.Image:
    """A picture file as RGB: read_header and to_rgb."""
    return to_rgb(read_header(content), upright)


def decode_files(files: Iterable[tuple[str, bytes | None]]) -> Iterator[Image.Image]:
    """The pictures in (file name, content) pairs. Raises UserError that names the first file that cannot be used."""
    for file_name, content in files:
        try:
            yield decode(content)
        except PictureError as error:
            raise UserError(f"{file_name}: {error}; replace it, or get the dataset again") from None


def turn_of(picture: Image.Image) -> Image.Transpose | None:
    """What turns a decoded picture upright by its EXIF; None where nothing does, or the EXIF cannot be read."""
    try:
        return TURNS.get(picture.getexif().get(ORIENTATION))
    except MemoryError:
        raise
    except Exception:
        return None


def _eight_bits(values: np.ndarray, kind: str) -> np.ndarray:
    """Values [h, w] as uint8. What is white follows from the largest value, the lowest is black where it is negative.

    Raises ValueError if a value is not finite."""
    if values.dtype.itemsize == 2:
        return np.round(values / 257).astype(np.uint8)
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("a value is not finite")
    values -= min(values.min(), 0)
    most = values.max()
    white = next((white for white in WHITE[kind] if most <= OVERSHOOT * white), most)
    return np.round(values * (255 / max(white, most))).astype(np.uint8)


def _damaged(error: Exception) -> PictureError:
    text = " ".join(str(error).split(" <")[0].split())[:200]  # without the address of an object in memory
    return PictureError("damaged image", text or type(error).__name__)
