"""Sources in files: which shards a URL means, their indexes, kept for the next training, and reading by index."""

import glob
import hashlib
import io
import json
import math
import multiprocessing
import os
import re
import zipfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path

import fsspec
import numpy as np

from salmu.data.errors import UserError
from salmu.data.files import file_sha256, write_atomic
from salmu.data.foreign_names import is_content, is_utf8, printable
from salmu.data.keyed import digest
from salmu.data.private import told_of, without_credentials, without_folders
from salmu.model_training.pictures import Bytes
from salmu.model_training.settings import ParquetSource, WebDatasetSource
from salmu.model_training.sources import Shard, Source
from salmu.model_training.sources.parquet import as_tar
from salmu.model_training.sources.tars import DAMAGED, Index, read, scan, uid_list

VERSION = 3  # raised by hand when an index means something else
MOST_SHARDS = 1_000_000
RANGE = re.compile(r"([0-9]+)\.\.([0-9]+)")
Files = WebDatasetSource | ParquetSource


def file_source(settings: Files, folder: Path, workers: int) -> Source:
    """The pairs of a WebDataset or of Parquet files. Each shard is read once by one of the `workers`; its index lies in
    `folder` and is used again while settings and shard are the same.

    Raises UserError if a shard that the URL names is missing or cannot be opened, a column is missing or of another
    type, or no pair can be used."""
    urls = expanded(settings.urls, ".tar" if settings.kind == "webdataset" else ".parquet")
    uids = uid_list(settings.uids) if settings.kind == "webdataset" else None
    kept = None if uids is None else hashlib.sha256(uids.tobytes()).hexdigest()
    jobs = [(url, settings, folder / f"{_key(url, settings, kept)}.npz") for url in urls]
    if workers > 1 and len(jobs) > 1:
        with ProcessPoolExecutor(min(workers, len(jobs)), multiprocessing.get_context("fork")) as pool:
            contents = list(pool.map(_indexed, *zip(*jobs)))
    else:
        contents = [_indexed(*job) for job in jobs]
    shards = [
        Shard(settings.kind, without_folders(url, place=True), content["rows"], content["digest"])
        for url, content in zip(urls, contents, strict=True)
    ]
    tars = WebDatasetSource(urls="") if settings.kind == "parquet" else settings

    def pairs(shard: int, rows: np.ndarray) -> list[tuple[Bytes, str]]:
        url, _, index = jobs[shard]
        return read(str(_tar(index)) if settings.kind == "parquet" else url, _places(index)[rows], tars)

    rejects = [
        (without_credentials(url), *reject)
        for url, content in zip(urls, contents, strict=True)
        for reject in content["rejects"]
    ]
    found = Source(shards, pairs, rejects, sum(content["filtered"] for content in contents))
    if not found.rows:
        raise UserError(f"pair.retain: no pair of {settings.urls} can be used: {_commonest(found)}")
    return found


def _commonest(source: Source) -> str:
    reasons = counted((reason for _, _, reason in source.rejects), source.filtered)
    if not reasons:
        return "the shards are empty"
    reason = max(reasons, key=lambda one: (one.startswith(DAMAGED), reasons[one]))  # a cut tar explains the rest
    return f"{reason} ({reasons[reason]} of {sum(reasons.values())} samples)"


def from_environment(urls: str) -> str:
    """`${NAME}`: what this environment variable holds, so that a signed URL need not stand in the settings."""
    named = re.fullmatch(r"\$\{(\w+)\}", urls)
    if named and named[1] not in os.environ:
        raise UserError(f"pair.retain: {urls}: the environment variable {named[1]} is not set")
    return os.environ[named[1]] if named else urls


def expanded(urls: str, suffix: str) -> list[str]:
    """The files that a folder, a path or a URL with * and {a..b} means, sorted. Raises UserError if there are none, or
    a part that the braces name has none."""
    from braceexpand import UnbalancedBracesError, braceexpand

    urls = from_environment(urls)
    spans = [abs(float(last) - float(first)) + 1 for first, last in RANGE.findall(urls)]
    if not math.prod(spans) <= MOST_SHARDS:
        raise UserError(f"pair.retain: {urls}: names more than {MOST_SHARDS:,} shards; use * instead of a range")
    try:
        patterns = list(braceexpand(urls))
    except UnbalancedBracesError as error:
        raise UserError(f"pair.retain: {urls}: {error}; close every brace") from None
    found = {pattern: _matches(pattern, suffix) for pattern in patterns}
    missing = [pattern for pattern in patterns if not found[pattern]]
    if len(missing) == len(patterns):
        raise UserError(f"pair.retain: no {suffix} files at {urls}; give a folder, a path or a URL of shards")
    if missing:
        raise UserError(
            f"pair.retain: {len(missing)} of {len(patterns)} shards of {urls} are missing, the first is {missing[0]}; "
            "fetch them, or name only those that exist"
        )
    files = [file for pattern in patterns for file in found[pattern]]
    if odd := next((file for file in files if not is_utf8(file)), None):
        raise UserError(f"pair.retain: {printable(odd)}: its name is not UTF-8; rename it")
    return files


def _matches(pattern: str, suffix: str) -> list[str]:
    if "://" not in pattern:
        path = Path(pattern)
        if not path.is_dir():
            return sorted(glob.glob(pattern, recursive=True))
        found = sorted(glob.glob(f"{pattern}/**/*{suffix}", recursive=True))
        return [file for file in found if is_content(Path(file).relative_to(path).as_posix())]
    try:
        files, path = fsspec.core.url_to_fs(pattern)
        matches = files.glob(f"{path}/**/*{suffix}" if files.isdir(path) else path)
    except Exception as error:  # each object store's library has errors of its own
        raise UserError(f"pair.retain: {pattern}: cannot be listed: {told_of(pattern, error)}") from None
    return sorted(files.unstrip_protocol(match) for match in matches)


def _key(url: str, settings: Files, uids: str | None) -> str:
    files, path = fsspec.core.url_to_fs(url)
    try:
        state = str(files.checksum(path))
    except (FileNotFoundError, NotImplementedError):
        state = "unknown"
    return digest("index", VERSION, url, state, settings.model_dump(mode="json", exclude={"urls", "uids"}), uids)


def _indexed(url: str, settings: Files, path: Path) -> dict:
    """What the index file says of a shard; made first if it, or the copy of a Parquet file, is missing or damaged."""
    description = _described(path)
    if description and settings.kind == "parquet":
        whole = _tar(path).is_file() and file_sha256(_tar(path)).startswith(description["digest"])
        description = description if whole else None
    if description is None:
        if settings.kind == "parquet":
            copy = as_tar(url, settings)
            write_atomic(_tar(path), copy.tar)
            index = scan(str(_tar(path)), WebDatasetSource(urls=""))
            index = index._replace(rejects=sorted(copy.rejects + index.rejects))
        else:
            index = scan(url, settings)
        write_atomic(path, _file(index))
    return description or _described(path)


UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)  # what a damaged index file may raise


def _described(path: Path) -> dict | None:
    """The description in an index file; None if it is missing or damaged, which zip's checksums tell."""
    try:
        with np.load(path, allow_pickle=False) as content:
            content["places"]
            return json.loads(content["description"].tobytes())
    except UNREADABLE:
        return None


def _file(index: Index) -> bytes:
    description = {
        "rows": len(index.places),
        "digest": index.digest,
        "filtered": index.filtered,
        "rejects": index.rejects,
    }
    sink = io.BytesIO()
    np.savez(sink, places=index.places, description=np.frombuffer(json.dumps(description).encode(), np.uint8))
    return sink.getvalue()


def _tar(index: Path) -> Path:
    return index.with_suffix(".tar")


@lru_cache(maxsize=256)
def _places(path: Path) -> np.ndarray:
    """Raises UserError if the index was removed or damaged since the source was opened."""
    try:
        with np.load(path, allow_pickle=False) as content:
            return content["places"]
    except UNREADABLE:
        raise UserError(
            f"pair.retain: {path}: this index of a shard was removed or damaged while it was in use; run the command "
            "again, it makes the index anew"
        ) from None


def counted(reasons: Iterable[str], filtered: int) -> dict[str, int]:
    """How often each reason was given."""
    counts: dict[str, int] = {"not in the list of uids": filtered} if filtered else {}
    for reason in reasons:
        counts[reason] = counts.get(reason, 0) + 1
    return dict(sorted(counts.items()))
