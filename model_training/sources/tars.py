"""Pairs in tar shards: each shard is read once whole, which gives its index and its rejects; training then reads single
pairs by their place.

The index makes the order of training a matter of arithmetic: any number of processes and decoders reads any number of
shards, a training goes on at any step, and nothing broken turns up in the middle of it.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import fsspec
import numpy as np

from salmu.data.errors import UserError
from salmu.data.foreign_names import is_content, printable
from salmu.data.pictures import LARGEST_FILE, NO_IMAGE, PictureError, decode
from salmu.data.private import told_of
from salmu.data.tars import members
from salmu.model_training.settings import WebDatasetSource

TEXT_BYTES, JSON_BYTES = 2**16, 2**20  # of a caption; of a .json member
DAMAGED = "shard damaged from here on"  # how the reason begins why the rest of a shard is left out
JSON_KINDS = {list: "a list", dict: "an object", bool: "true or false", int: "a number", float: "a number"}


class Index(NamedTuple):
    """What one shard holds: places int64 [n, 4] (first byte and length of image and caption), and what was left out."""

    places: np.ndarray
    rejects: list[tuple[str, str]]  # key of the sample, reason
    filtered: int
    digest: str  # of the shard's bytes, as far as they could be read


def scan(url: str, settings: WebDatasetSource) -> Index:
    """Read a shard from beginning to end and decode every picture once.

    Samples without image or caption, unusable pictures and what a cut shard lost are rejects with a reason. Raises
    UserError if the shard cannot be opened or read to its end, or `uids` is given and no sample has one."""
    places, rejects, filtered, hasher = [], [], 0, hashlib.sha256()
    extensions, wanted, with_uid = settings.image.split(";"), uid_list(settings.uids), 0
    limits = dict.fromkeys(extensions, LARGEST_FILE) | {settings.text: TEXT_BYTES}
    if wanted is not None or settings.text == "json":
        limits["json"] = JSON_BYTES
    with _opened(url) as file:
        for key, found in samples(_Hashed(file, hasher), limits, url):
            if isinstance(found, str):
                rejects.append((printable(key), told_of(url, found)))
                continue
            if wanted is not None:
                uid = _uid(found)
                with_uid += uid is not None
                if uid is None or not _holds(wanted, uid):
                    filtered += 1
                    continue
            image = next((found[name] for name in extensions if name in found), None)
            text = found.get(settings.text)
            reason = _unusable(image, extensions) or _no_caption(text, settings)
            if reason:
                rejects.append((printable(key), reason))
            else:
                places.append((image.start, image.size, text.start, text.size))
    if wanted is not None and filtered and not with_uid:
        raise UserError(f"{url}: no sample has a uid in a .json member; leave `uids` out or use shards that keep them")
    return Index(np.array(places, np.int64).reshape(-1, 4), rejects, filtered, hasher.hexdigest()[:32])


def read(url: str, places: np.ndarray, settings: WebDatasetSource) -> list[tuple[bytes, str]]:
    """Encoded pictures and captions of these places, one request of bytes for each pair."""
    files, path = fsspec.core.url_to_fs(url)
    starts = np.minimum(places[:, 0], places[:, 2])
    ends = np.maximum(places[:, 0] + places[:, 1], places[:, 2] + places[:, 3])
    try:
        ranges = files.cat_ranges([path] * len(places), starts.tolist(), ends.tolist(), on_error="raise")
    except Exception as error:  # each object store's library has errors of its own
        reason = told_of(url, error)
        raise UserError(f"{url}: cannot be read: {reason}; restore it, then run the same command to continue") from None
    pairs = []
    for content, start, end, (image, image_size, text, text_size) in zip(ranges, starts, ends, places, strict=True):
        if len(content) != end - start:
            raise UserError(
                f"{url}: shorter than when it was indexed; restore it, then run the same command to continue"
            )
        caption = content[text - start : text - start + text_size]
        pairs.append((bytes(content[image - start : image - start + image_size]), _caption(caption, settings)))
    return pairs


class Member(NamedTuple):
    start: int
    size: int
    content: bytes | None  # None for one beyond its limit


class _Hashed(io.RawIOBase):
    """A stream that hashes what is read from it."""

    def __init__(self, file, hasher):
        self.file, self.hasher = file, hasher

    def read(self, size: int = -1) -> bytes:
        try:
            content = self.file.read(size)
        except Exception as error:  # an object store's library raises errors of its own
            raise OSError(str(error) or type(error).__name__) from error
        self.hasher.update(content)
        return content


def _opened(url: str):
    try:
        return fsspec.open(url, "rb").open()
    except Exception as error:  # each object store's library has errors of its own
        raise UserError(f"{url}: cannot be opened: {told_of(url, error)}") from None


def samples(file, limits: dict[str, int], where) -> Iterator[tuple[str, dict[str, Member] | str]]:
    """Key and members by extension of each sample; a reason instead of the members where the shard is damaged.

    `limits`: the extensions that are read, with the most bytes of one; files that systems add are passed over. Raises
    UserError, beginning with `where`, if the disk or the network fails: what lies behind may be whole."""
    try:
        yield from _samples(file, limits)
        while file.read(2**20):
            pass
    except OSError as error:
        raise UserError(f"{where}: cannot be read: {error}; run the same command again") from None


def _samples(file, limits: dict[str, int]) -> Iterator[tuple[str, dict[str, Member] | str]]:
    current, found = None, {}
    try:
        for member, content in members(file):
            if not member.isfile() or not is_content(member.name):
                continue
            folder, _, name = member.name.rpartition("/")
            stem, _, extension = name.partition(".")
            key, extension = f"{folder}/{stem}" if folder else stem, extension.lower()
            if key != current or extension in found:
                if found:
                    yield current, found
                current, found = key, {}
            read = member.size <= limits.get(extension, -1)
            found[extension] = Member(member.offset_data, member.size, content() if read else None)
        if found:
            yield current, found
    except (tarfile.TarError, EOFError) as error:
        # the members so far may lack the last one, which is where the damage is
        yield current or "", f"{DAMAGED}: {error}"


def _unusable(image: Member | None, extensions: list[str]) -> str | None:
    if image is None:
        return f"no image member ({', '.join(extensions)})"
    if image.content is None:
        return f"image: longer than {LARGEST_FILE} bytes"
    try:
        decode(image.content)
    except PictureError as error:  # of a reason that is the same for many pictures
        return f"image: {error if error.reason == NO_IMAGE else error.reason}"
    return None


def _no_caption(text: Member | None, settings: WebDatasetSource) -> str | None:
    if text is None:
        return f"no caption member ({settings.text})"
    if text.content is None:
        return f"caption longer than {JSON_BYTES if settings.text == 'json' else TEXT_BYTES} bytes"
    try:
        caption = _caption(text.content, settings)
        return "caption has a NUL character" if "\0" in caption else None if caption else "caption empty"
    except UnicodeError:
        return "caption is not UTF-8"
    except (ValueError, RecursionError) as error:
        return f"caption: {str(error) or 'nested too deeply'}"


def _caption(content: bytes, settings: WebDatasetSource) -> str:
    if settings.text != "json":
        return content.decode().strip()
    document: Any = json.loads(content)
    if not isinstance(document, dict) or settings.caption_key not in document:
        raise ValueError(f"no field {settings.caption_key!r} in the json")
    caption = document[settings.caption_key]
    if not isinstance(caption, str | None):
        raise ValueError(f"field {settings.caption_key!r} is {JSON_KINDS[type(caption)]}, not text")
    return (caption or "").strip().encode().decode()  # raises UnicodeError for half a character, as "\\ud83d"


def _uid(found: dict[str, Member]) -> int | None:
    """The sample's 128-bit uid, which DataComp writes in hexadecimal; None if it is none."""
    try:
        uid = int(json.loads(found["json"].content)["uid"], 16)
    except (KeyError, ValueError, TypeError, RecursionError):
        return None
    return uid if 0 <= uid < 2**128 else None


def uid_list(path: str | None) -> np.ndarray | None:
    """DataComp's list, sorted: a structured array of the upper and lower 64 bits of each uid. Raises UserError if the
    file is no such list."""
    if path is None:
        return None
    try:
        return _uid_list(path, os.stat(path).st_mtime_ns)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


@lru_cache(maxsize=1)
def _uid_list(path: str, changed: int) -> np.ndarray:
    """The list, which is read only if the header is that of one and the file is as long as it says."""
    with open(path, "rb") as file:
        try:
            shape, dtype = _npy_header(file)
        except OSError:
            raise
        except Exception as error:  # numpy takes the header for Python and raises whatever it meets
            reason = str(error).partition("\n")[0][:120]
            raise UserError(f"{path}: not a list of uids in numpy's format .npy: {reason}") from None
        if dtype.names is None or [dtype[name].str[1:] for name in dtype.names] != ["u8", "u8"]:
            raise UserError(f"{path}: pairs of uint64 are expected (dtype u8,u8), not {str(dtype)[:120]}")
        if len(shape) != 1:
            raise UserError(f"{path}: a list of uids has one dimension, not {len(shape)}")
        there = (os.fstat(file.fileno()).st_size - file.tell()) // dtype.itemsize
        if not 0 <= shape[0] <= there:
            raise UserError(f"{path}: {shape[0]} uids in its header, {there} in the file; fetch it again")
        return np.sort(np.fromfile(file, dtype, shape[0]))


def _npy_header(file) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _holds(uids: np.ndarray, uid: int) -> bool:
    wanted = np.array((uid >> 64, uid & (2**64 - 1)), uids.dtype)
    place = np.searchsorted(uids, wanted)
    return bool(place < len(uids) and uids[place] == wanted)
