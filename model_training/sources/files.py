"""Sources in files: which shards a URL means, their indexes, kept for the next training, and reading by index."""

import glob
import hashlib
import io
import json
import multiprocessing
import os
import re
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path

import fsspec
import numpy as np

from salmu.data.errors import UserError
from salmu.data.files import write_atomic
from salmu.data.keyed import digest
from salmu.data.private import without_folders
from salmu.model_training.pictures import Bytes
from salmu.model_training.settings import ParquetSource, WebDatasetSource
from salmu.model_training.sources import Shard, Source
from salmu.model_training.sources.parquet import as_tar
from salmu.model_training.sources.tars import Index, read, scan, uid_list

VERSION = 1  # raised by hand when an index means something else
Files = WebDatasetSource | ParquetSource


def file_source(settings: Files, folder: Path, workers: int) -> Source:
    """The pairs of a WebDataset or of Parquet files. Each shard is read once by one of the `workers`; its index lies in
    `folder` and is used again while settings and shard are the same.

    Raises UserError if nothing matches the URL, a shard cannot be opened, or a column is missing."""
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

    rejects = [(url, *reject) for url, content in zip(urls, contents, strict=True) for reject in content["rejects"]]
    return Source(shards, pairs, rejects, sum(content["filtered"] for content in contents))


def from_environment(urls: str) -> str:
    """`${NAME}`: what this environment variable holds, so that a signed URL need not stand in the settings."""
    named = re.fullmatch(r"\$\{(\w+)\}", urls)
    if named and named[1] not in os.environ:
        raise UserError(f"pair.retain: {urls}: the environment variable {named[1]} is not set")
    return os.environ[named[1]] if named else urls


def expanded(urls: str, suffix: str) -> list[str]:
    """The files that a folder, a path or a URL with * and {a..b} means, sorted. Raises UserError if there are none."""
    from braceexpand import braceexpand

    found: list[str] = []
    urls = from_environment(urls)
    for pattern in braceexpand(urls):
        if "://" not in pattern:
            folder = Path(pattern).is_dir()
            found += sorted(glob.glob(f"{pattern}/**/*{suffix}" if folder else pattern, recursive=True))
            continue
        try:
            files, path = fsspec.core.url_to_fs(pattern)
            matches = files.glob(f"{path}/**/*{suffix}" if files.isdir(path) else path)
        except (OSError, ImportError, ValueError) as error:
            raise UserError(f"pair.retain: {pattern}: cannot be listed: {error}") from None
        found += sorted(files.unstrip_protocol(match) for match in matches)
    if not found:
        raise UserError(f"pair.retain: no {suffix} files at {urls}; give a folder, a path or a URL of shards")
    return found


def _key(url: str, settings: Files, uids: str | None) -> str:
    files, path = fsspec.core.url_to_fs(url)
    try:
        state = str(files.checksum(path))
    except (FileNotFoundError, NotImplementedError):
        state = "unknown"
    return digest("index", VERSION, url, state, settings.model_dump(mode="json", exclude={"urls", "uids"}), uids)


def _indexed(url: str, settings: Files, path: Path) -> dict:
    """What the index file says of a shard; made first if it is not there."""
    if not path.is_file():
        if settings.kind == "parquet":
            write_atomic(_tar(path), as_tar(url, settings))
            index = scan(str(_tar(path)), WebDatasetSource(urls=""))
        else:
            index = scan(url, settings)
        write_atomic(path, _file(index))
    with np.load(path, allow_pickle=False) as content:
        return json.loads(content["description"].tobytes())


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
    with np.load(path, allow_pickle=False) as content:
        return content["places"]


def counted(reasons: Iterable[str], filtered: int) -> dict[str, int]:
    """How often each reason was given."""
    counts: dict[str, int] = {"not in the list of uids": filtered} if filtered else {}
    for reason in reasons:
        counts[reason] = counts.get(reason, 0) + 1
    return dict(sorted(counts.items()))
