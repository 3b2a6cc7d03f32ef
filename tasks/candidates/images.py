"""Reads one picture of a source: its bytes out of a folder or an archive, then a small upright picture; or says why it
is refused. Each source picture is opened here, once, and nowhere else."""

import io
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from salmu.data.errors import UserError
from salmu.data.foreign_names import is_utf8, printable
from salmu.data.pictures import LARGEST_FILE, QUARTERS, PictureError, read_header, to_rgb, turn_of
from salmu.tasks.candidates.sources import Picture
from salmu.tasks.pictures import jpeg_file

SMALLEST_SIDE = 96  # pixels; a smaller picture has no face to speak of
ZIP_HEADER = struct.Struct("<4s4xH16xHH")  # of a member: signature, method, lengths of its name and extra field
STORED, DEFLATED = 0, 8
DECODED_AHEAD = 4  # pictures a thread


class Refused(NamedTuple):
    reason: str
    detail: str


class Opened(NamedTuple):
    image: np.ndarray  # uint8 RGB [h, w, 3], upright and shrunk
    file: bytes  # the same as JPEG
    width: int  # of the source picture, pixels
    height: int


def read_file(images: tuple[str, ...], picture: Picture) -> bytes | Refused:
    """The bytes of a picture file. Raises UserError if the file or archive is not there any more."""
    if not is_utf8(picture.name):
        return Refused("name is not UTF-8", f"{printable(picture.name)}; rename it")
    path = Path(images[picture.place]).expanduser() / picture.file
    try:
        with open(path, "rb") as file:
            if not picture.member:
                content = file.read(LARGEST_FILE + 1)
                return content if len(content) <= LARGEST_FILE else _too_many_bytes(path.stat().st_size)
            if max(picture.size, picture.packed) > LARGEST_FILE:
                return _too_many_bytes(picture.size)
            file.seek(picture.start)
            return file.read(picture.size) if picture.check is None else _unzipped(file, picture)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read: {error.strerror}; it was there when it was listed, run again"
        ) from None


def _too_many_bytes(size: int) -> Refused:
    return Refused("too large", f"{size} bytes")


def _unzipped(file, picture: Picture) -> bytes | Refused:
    """A zip's member, from its header on. No more is unpacked than the archive's list of contents allows."""
    try:
        signature, method, *lengths = ZIP_HEADER.unpack(file.read(ZIP_HEADER.size))
        file.seek(sum(lengths), io.SEEK_CUR)
        packed = file.read(picture.packed)
        content = packed if method == STORED else zlib.decompressobj(-15).decompress(packed, picture.size + 1)
    except (struct.error, zlib.error) as error:
        return Refused("damaged image", f"in its archive: {error}")
    if signature != b"PK\3\4" or len(content) != picture.size or zlib.crc32(content) != picture.check:
        return Refused("damaged image", "does not fit its checksum in the archive")
    return content


def decode(content: bytes, keep_side: int, quality: int) -> Opened | Refused:
    """A picture file as an upright RGB image of at most keep_side pixels a side. A JPEG to be shrunk by 2 or more is
    decoded at a smaller scale."""
    try:
        picture = read_header(content)
        width, height = picture.size
        if min(width, height) < SMALLEST_SIDE:
            return Refused("too small", f"{width} x {height} pixels")
        shrink = max(width, height) / keep_side
        if shrink >= 2:
            picture.draft("RGB", (int(width / shrink), int(height / shrink)))  # does nothing to other formats
        upright = to_rgb(picture, upright=True)
        if turn_of(picture) in QUARTERS:
            width, height = height, width
    except PictureError as error:
        return Refused(error.reason, error.detail)
    return shrunk(upright, keep_side, quality, width, height)


def shrunk(picture: Image.Image, keep_side: int, quality: int, width: int, height: int) -> Opened:
    """An RGB picture, which may be changed, of at most keep_side pixels a side; width and height: of its source."""
    picture.thumbnail((keep_side, keep_side), Image.Resampling.LANCZOS)
    return Opened(np.asarray(picture), jpeg_file(picture, quality), width, height)


def ahead(function: Callable, items: Iterable, threads: int) -> Iterator:
    """function(item) of each item, in order, a few of them under way in threads while the caller works."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > DECODED_AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
