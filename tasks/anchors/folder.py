"""Anchors from a folder of pictures with one face each, such as SFHQ; an unusable picture is refused with a reason."""

import hashlib
import re
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from data.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
FORMATS = ("JPEG", "PNG", "WEBP")
SMALLEST_SIDE = 96  # pixels; a smaller picture has no face to speak of
LARGEST_SIDE = 1024  # a larger picture is shrunk
LARGEST_PIXELS = 50_000_000  # more is refused before it is decoded
INDEX = re.compile(r"(?<![0-9])[0-9]{8}(?![0-9])")


class Refused(NamedTuple):
    reason: str
    detail: str


def list_images(folder: str | None) -> list[str]:
    """Names, relative to the folder, of all pictures under it, sorted. Raises UserError if there are none."""
    kinds = ", ".join(SUFFIXES)
    if not folder:
        raise UserError(f"anchors.source is 'folder', but anchors.folder is not set: set it to a folder with {kinds}")
    root = Path(folder).expanduser()
    if not root.is_dir():
        problem = "is not a folder" if root.exists() else "does not exist"
        raise UserError(f"anchors.folder: {root} {problem}; set it to a folder of pictures ({kinds})")
    files = (path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    names = sorted(path.relative_to(root).as_posix() for path in files)
    if not names:
        raise UserError(f"anchors.folder: no pictures ({kinds}) in {root}; set it to a folder that holds some")
    return names


def identity_ids(names: list[str]) -> list[str]:
    """The identity of each file: the first number of eight digits in its name (SFHQ_pt4_00011747.jpg, 00011747.png,
    00011747_080_ar-0.61.png), or a hash of the name where it has none or an earlier file has the same."""
    files: dict[str, str] = {}
    for name in names:
        if match := INDEX.search(Path(name).stem):
            files.setdefault(match[0], name)
    numbered = set(files.values())
    for name in names:
        if name not in numbered:
            attempt = 0
            while (number := _hashed(name, attempt)) in files:
                attempt += 1
            files[number] = name
    ids = {name: number for number, name in files.items()}
    return [ids[name] for name in names]


def _hashed(name: str, attempt: int) -> str:
    value = int.from_bytes(hashlib.blake2b(f"{attempt}/{name}".encode(), digest_size=8).digest(), "big")
    return f"{value % 10**8:08}"


def stamp(folder: str, name: str) -> list:
    """What changes when a file does: its size in bytes and the time of the last change."""
    status = (Path(folder).expanduser() / name).stat()
    return [status.st_size, status.st_mtime_ns]


def read_image(folder: str, name: str) -> np.ndarray | Refused:
    """A file as an upright RGB image (uint8 [h, w, 3]) of at most LARGEST_SIDE pixels a side; or why it is refused."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(Path(folder).expanduser() / name, formats=FORMATS) as picture:
                width, height = picture.size
                if width * height > LARGEST_PIXELS:
                    return Refused("too large", f"{width} x {height} pixels")
                if min(width, height) < SMALLEST_SIDE:
                    return Refused("too small", f"{width} x {height} pixels")
                upright = ImageOps.exif_transpose(picture).convert("RGB")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        return Refused("too large", str(error))
    except UnidentifiedImageError:
        return Refused("not an image", "no JPEG, PNG or WebP file")
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow's decoders raise
        return Refused("damaged image", str(error))
    upright.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(upright)
