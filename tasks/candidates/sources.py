"""Which pictures there are to read, in folders, zip files and tar files (WebDataset): listed, never opened or unpacked.

SFHQ is read as Kaggle gives it, unpacked or as the zip of a part: where a folder `images` lies beside `landmarks`,
`segmentations` or `pretrained_features`, only `images` counts, so that neither the segmentations, which are PNG files
too, nor the sample folders, which repeat pictures of `images`, are taken for faces. FFHQ holds each picture three
times: of `images1024x1024`, `in-the-wild-images` and `thumbnails128x128` in one folder the first that is there counts.
What is passed over so, `left_out` tells. Files and folders that systems add by themselves are nobody's pictures."""

import hashlib
import os
import posixpath
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from salmu.data.errors import UserError
from salmu.data.foreign_names import is_content
from salmu.data.tars import members

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
KINDS = ", ".join(SUFFIXES)
ARCHIVES = (".zip", ".tar")
SFHQ_IMAGES, SFHQ_OTHERS = "images", {"landmarks", "segmentations", "pretrained_features"}
FFHQ = ("images1024x1024", "in-the-wild-images", "thumbnails128x128")  # the same pictures, the best first
INDEX = re.compile(r"(?<![0-9])[0-9]{8}(?![0-9])")
ENCRYPTED = 0x1  # flag of a zip's member


class Picture(NamedTuple):
    """Where the bytes of a picture file lie."""

    place: int  # of its folder or archive in candidates.images
    file: str  # the picture, or the archive that holds it, relative to that folder; "" for the archive itself
    member: str = ""  # its name in the archive
    start: int = 0  # where the archive holds it: the data (tar) or the header before them (zip)
    packed: int = 0  # bytes there
    size: int = 0  # bytes of the picture file
    check: int | None = None  # CRC-32 of the picture file (zip)

    @property
    def name(self) -> str:
        """Where it lies, relative to its folder or archive."""
        return posixpath.join(self.file, self.member) if self.member else self.file


class Listed(NamedTuple):
    picture: Picture
    stamp: tuple[int, ...]  # changes when the content does; empty where the picture says it already


def list_pictures(images: Sequence[str]) -> list[Listed]:
    """All pictures of the paths: path by path, a folder's by name, an archive's as they lie in it.

    Raises UserError for a path that is missing, damaged, encrypted, climbs out or holds no picture."""
    if not images:
        raise UserError(
            "candidates.source is 'images', but candidates.images is empty: name folders, .zip or .tar files of "
            f"pictures ({KINDS})"
        )
    _require_once([Path(text).expanduser().resolve() for text in images])
    return _listed(images, [])


def _require_once(paths: list[Path]) -> None:
    """Raises UserError where two of the paths hold the same pictures: one lies in the other, or both are FFHQ's."""
    for number, path in enumerate(paths):
        for earlier in paths[:number]:
            both = {path.name, earlier.name}
            copies = len(both) == 2 and both <= set(FFHQ) and path.parent == earlier.parent
            if copies or path.is_relative_to(earlier) or earlier.is_relative_to(path):
                raise UserError(f"candidates.images: {earlier} and {path} hold the same pictures; name one of them")


def left_out(images: Sequence[str]) -> list[str]:
    """The pictures that list_pictures passes over because they repeat others or are no faces. Raises as it does."""
    passed_over: list[str] = []
    _listed(images, passed_over)
    return passed_over


def _listed(images: Sequence[str], passed_over: list[str]) -> list[Listed]:
    found: list[Listed] = []
    for place, text in enumerate(images):
        path = Path(text).expanduser()
        if not path.exists():
            raise UserError(f"candidates.images: {path} does not exist; name a folder, .zip or .tar file of pictures")
        try:
            read = partial(_folder, path, place) if path.is_dir() else partial(_archive, path, place, "")
            listed = read(passed_over)
        except OSError as error:
            raise UserError(f"candidates.images: {error.filename or path} cannot be read: {error.strerror}") from None
        if not listed:
            raise UserError(f"candidates.images: no pictures ({KINDS}) in {path}; name one that holds some")
        found += listed
    return found


def _folder(root: Path, place: int, passed_over: list[str]) -> list[Listed]:
    """The pictures under a folder, or those of the archives in it. Raises UserError if it holds both."""
    pictures, archives, folders = [], [], set()
    for folder, entries in _walk(root):
        folders.add(folder)
        for entry in entries:
            suffix = os.path.splitext(entry.name)[1].lower()
            if suffix in SUFFIXES and is_content(entry.name):
                status = entry.stat()
                pictures.append((folder, entry.name, status.st_size, status.st_mtime_ns))
            elif suffix in ARCHIVES:
                archives.append((folder, entry.name))
    read = _folders_to_read(folders | {posixpath.splitext(posixpath.join(*archive))[0] for archive in archives})
    archives = sorted(
        posixpath.join(folder, name)
        for folder, name in archives
        if {folder, posixpath.splitext(posixpath.join(folder, name))[0]} <= read
    )
    names = sorted((posixpath.join(folder, name), *stamp) for folder, name, *stamp in pictures if folder in read)
    passed_over += sorted(posixpath.join(folder, name) for folder, name, *_ in pictures if folder not in read)
    if names and archives:
        raise UserError(
            f"candidates.images: {root} holds pictures ({names[0][0]}) and archives ({archives[0]}), perhaps of the "
            "same pictures; name the folders and archives that are to be read, one by one"
        )
    if names:
        return [Listed(Picture(place, name), tuple(stamp)) for name, *stamp in names]
    return [listed for name in archives for listed in _archive(root / name, place, name, passed_over)]


def _walk(root: Path) -> Iterator[tuple[str, list[os.DirEntry]]]:
    """Each folder under the root, relative to it, with its files."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(root / folder) as entries:
            files = []
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if is_content(entry.name):
                        waiting.append(posixpath.join(folder, entry.name))
                elif entry.is_file():
                    files.append(entry)
        yield folder, files


def _folders_to_read(folders: Iterable[str]) -> set[str]:
    """Those of the folders (relative, "" for the root) whose pictures count: see SFHQ and FFHQ at the top."""
    given = {folder: PurePosixPath(folder) for folder in folders}
    known = {path for one in given.values() for path in (one, *one.parents)}
    parts = [
        path.parent
        for path in known
        if path.name == SFHQ_IMAGES and any(path.parent / other in known for other in SFHQ_OTHERS)
    ]
    copies = [path.parent / worse for path in known if path.name in FFHQ for worse in FFHQ[FFHQ.index(path.name) + 1 :]]
    return {
        folder
        for folder, path in given.items()
        if all(path.is_relative_to(part / SFHQ_IMAGES) for part in parts if path.is_relative_to(part))
        and not any(path.is_relative_to(copy) for copy in copies)
    }


def _archive(path: Path, place: int, file: str, passed_over: list[str]) -> list[Listed]:
    """The pictures in a zip or tar file. Raises UserError for another file, and for what cannot or must not be read."""
    try:
        if path.suffix.lower() == ".zip":
            content, stamp = list(_zip_members(path)), ()
        elif path.suffix.lower() == ".tar":
            status = path.stat()
            content, stamp = list(_tar_members(path)), (status.st_size, status.st_mtime_ns)
        else:
            raise UserError(
                f"candidates.images: {path} is neither a folder nor a .zip or .tar file; name one, unpacked if it is "
                "compressed in another way"
            )
    except (UserError, OSError, MemoryError):
        raise
    except Exception as error:  # a zip's names, sizes and dates make zipfile raise anything
        raise UserError(f"{path}: damaged or truncated archive ({error}); get it again") from None
    for name, *_ in content:
        parts = re.split(r"[/\\]", name)
        if ".." in parts or parts[0] == "" or parts[0].endswith(":"):
            raise UserError(
                f"{path}: the member {name!r} points outside the archive; nothing in it is read, get another archive"
            )
    read = _folders_to_read({posixpath.dirname(name) for name, *_ in content})
    found = []
    for name, start, packed, size, check, problem in content:
        folder, base = posixpath.split(name)
        if posixpath.splitext(base)[1].lower() not in SUFFIXES or not is_content(name):
            continue
        if folder not in read:
            passed_over.append(name)
            continue
        if problem:
            raise UserError(f"{path}: the member {name!r} {problem}")
        found.append(Listed(Picture(place, file, name, start, packed, size, check), stamp))
    return found


def _zip_members(path: Path) -> Iterator[tuple]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            problem = ""
            if info.flag_bits & ENCRYPTED:
                problem = "is encrypted; unpack the archive with its password and name the folder"
            elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                problem = "is compressed by another method than deflate; unpack the archive and name the folder"
            if not info.is_dir():
                yield info.filename, info.header_offset, info.compress_size, info.file_size, info.CRC, problem


def _tar_members(path: Path) -> Iterator[tuple]:
    for info, _ in members(path):
        if info.isreg():
            yield info.name, info.offset_data, info.size, info.size, None, ""
        elif info.issym() or info.islnk():
            yield info.name, 0, 0, 0, None, ""


def identity_ids(names: Sequence[str]) -> list[str]:
    """The identity of each picture: the first number of eight digits in its file's name (SFHQ_pt4_00011747.jpg,
    00011747.png, 00011747_080_ar-0.61.png), or a hash of the name where it has none or an earlier picture has the
    same."""
    ids: list[str | None] = []
    taken: set[str] = set()
    for name in names:
        match = INDEX.search(PurePosixPath(name).stem)
        number = match[0] if match and match[0] not in taken else None
        ids.append(number)
        taken.add(number)
    for place, name in enumerate(names):
        attempt = 0
        while ids[place] is None:
            number = _hashed(name, attempt)
            if number not in taken:
                ids[place] = number
                taken.add(number)
            attempt += 1
    return ids


def _hashed(name: str, attempt: int) -> str:
    value = int.from_bytes(
        hashlib.blake2b(f"{attempt}/{name}".encode(errors="surrogateescape"), digest_size=8).digest(), "big"
    )
    return f"{value % 10**8:08}"
