"""Thumbnails: a small JPEG file for each picture.

One file a picture, since a browser forgets a picture that is out of sight, but keeps whole sheets of them decoded: on
the way through 6,000 portraits the page took 240 MB with files and 490 MB with sheets of 25.
"""

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from salmu.data.pictures import read_header, to_rgb

QUALITY = 80  # of the JPEG files
PER_FOLDER = 1000
IN_FLIGHT = 64  # pictures held in memory at a time


class Thumbnails:
    """Writes `<kind>/<number / 1000>/<number>.jpg` into a folder, by threads (Pillow works outside the interpreter's
    lock) and with bounded memory. A context manager; `damaged` then holds (kind, number) of what are no pictures."""

    def __init__(self, folder: Path, side: int):
        self.folder, self.side = folder, side
        self.damaged: set[tuple[str, int]] = set()
        self._work: deque[Future] = deque()
        self._folders: set[Path] = set()
        self._pool = ThreadPoolExecutor(os.cpu_count())

    def __enter__(self) -> "Thumbnails":
        return self

    def __exit__(self, kind, *_) -> None:
        while self._work and kind is None:
            self._collect()
        self._pool.shutdown(cancel_futures=True)

    def add(self, kind: str, number: int, picture: bytes) -> None:
        """Write the thumbnail of a picture file."""
        folder = self.folder / kind / str(number // PER_FOLDER)
        if folder not in self._folders:
            folder.mkdir(parents=True)
            self._folders.add(folder)
        self._work.append(self._pool.submit(self._write, folder, kind, number, picture))
        if len(self._work) > IN_FLIGHT:
            self._collect()

    def _collect(self) -> None:
        if broken := self._work.popleft().result():
            self.damaged.add(broken)

    def _write(self, folder: Path, kind: str, number: int, picture: bytes) -> tuple[str, int] | None:
        small = thumbnail(picture, self.side)
        if small is None:
            return kind, number
        small.save(folder / f"{number}.jpg", "JPEG", quality=QUALITY)
        return None


def thumbnail(content: bytes, side: int) -> Image.Image | None:
    """A picture file as RGB, made smaller where its longest side is more than `side` pixels; None if it is damaged."""
    try:
        picture = read_header(content)
        if not isinstance(picture, JpegImageFile):
            picture = to_rgb(picture)
        picture.thumbnail((side, side), reducing_gap=1.0)  # JPEG files are decoded at a fraction of their size
        return to_rgb(picture)
    except MemoryError:
        raise
    except Exception:  # decoders raise whatever they meet
        return None
