"""Files on a local disk or in an object store.

A place is a `pathlib.Path`, or for a URL (s3://bucket/runs/tiny, gs://…, abfs://…, memory://…) a `UPath` of the package
universal-pathlib, which has the same methods over fsspec. An object store shows an object whole or not at all, and at
once, so that nothing needs a temporary name there; parts of an upload that was cut off stay invisible. Endpoint and
credentials come from the surroundings, as fsspec and the protocol's package read them.
"""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from salmu.data.errors import UserError
from salmu.data.private import has_user, told_of

if TYPE_CHECKING:
    from upath import UPath

NAMES_BEFORE_AT = ("abfs", "abfss", "wasb", "wasbs", "sftp", "ssh")  # container@account, user@host: no secret
AHEAD = 8  # files of an object store that are read at once
Read = TypeVar("Read")


def location(text: "str | Path | UPath") -> "Path | UPath":
    """The place that a path or a URL names; `location(str(place))` is the same place.

    Raises UserError for what is no path, an unknown protocol, or one whose package is not installed."""
    if isinstance(text, Path) or hasattr(text, "fs"):  # a UPath
        return text
    text = os.fspath(text) if isinstance(text, os.PathLike) else text
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"a path or a URL is expected, got {text!r}")
    protocol, separator, rest = text.partition("://")
    if not separator or protocol in ("file", "local"):
        return Path(rest if separator else text)
    if has_user(text) and (protocol not in NAMES_BEFORE_AT or ":" in rest.rpartition("@")[0]):
        raise UserError(
            f"{text}: the address holds a user or a password, which is left out here; take it out, and put credentials "
            "into the environment (for s3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
        )
    from upath import UPath

    try:
        place = UPath(text, use_listings_cache=False)  # other processes and machines write there too
        place.fs  # noqa: B018  loads the protocol's package
    except ImportError as error:
        package = getattr(error.__cause__, "name", None) or protocol
        raise UserError(f"{text}: {protocol}:// needs a package that is not installed: pip install {package}") from None
    except Exception as error:
        raise UserError(f"{text}: {told_of(text, error)}") from None
    return place


@contextlib.contextmanager
def reaching(place: "Path | UPath") -> Iterator[None]:
    """Tells what an object store's own library raises in one line. A missing file stays a FileNotFoundError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        gone = isinstance(error, FileNotFoundError) and not re.search("(bucket|container) does not exist", str(error))
        if isinstance(place, Path) or gone:
            raise
        raise refused(place, error) from None


def refused(place: "UPath", error: Exception) -> UserError:
    """What to tell when an object store does not do what it is asked."""
    return UserError(
        f"{place}: the object store refused or did not answer: {told_of(str(place), error)}; check the bucket, the "
        "credentials and the endpoint in the environment (for s3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, "
        "AWS_ENDPOINT_URL), then run again (finished work is kept)"
    )


def require_disk(folder: "Path | UPath") -> None:
    """Refuse a run in an object store, for the parts that need it on a local disk."""
    if not isinstance(folder, Path):
        bare, name = folder.path.rstrip("/"), folder.name
        copy = f"import fsspec; fsspec.filesystem('{folder.protocol}').get('{bare}/', 'runs/{name}/', recursive=True)"
        raise UserError(
            f"{folder}: models are trained and scored on a local disk; make the dataset with --until dataset, copy the "
            f'run with: python -c "{copy}" and go on with: salmu run --run {name}'
        )


def size(path: "Path | UPath") -> int | None:
    """Bytes of a file; None if there is no such file. Raises UserError if its store cannot be asked."""
    try:
        with reaching(path):
            found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def listed(folder: "Path | UPath") -> dict[str, int | None]:
    """What lies in a folder: name -> bytes, None for a folder. Empty if there is no such folder, or if it is a file."""
    try:
        if isinstance(folder, Path):
            found = {}
            with os.scandir(folder) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):  # a temporary file that has just got its name
                        found[entry.name] = entry.stat().st_size if entry.is_file() else None
            return found
        with reaching(folder):
            found = folder.fs.ls(folder.path, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {
        info["name"].rstrip("/").rpartition("/")[2]: info["size"] if info["type"] == "file" else None for info in found
    }


def write_atomic(path: "Path | UPath", content: bytes) -> None:
    """Write a file so that it is there whole or not at all. Raises UserError when the disk or the store refuses."""
    if not isinstance(path, Path):
        try:
            path.fs.pipe_file(path.path, content)
        except Exception as error:
            raise refused(path, error) from None
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):  # a disk that refuses the one may refuse the other
            temporary.unlink(missing_ok=True)
        raise _not_written(path, error) from None


def append(path: Path, content: bytes) -> None:
    """Add to the end of a file of a disk, so that it is there after a crash; a crash before may leave a part of it.
    Raises UserError when the disk refuses."""
    try:
        new = not path.exists()
        with open(path, "ab", buffering=0) as file:
            if file.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        if new:
            _sync_folder(path.parent)
    except OSError as error:
        raise _not_written(path, error) from None


def _sync_folder(folder: Path) -> None:
    """Make the names of new files survive a crash."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _not_written(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path}: cannot be written: {error.strerror or error}; free some space or choose another folder, then run "
        "again (finished work is kept)"
    )


def read_bytes(path: "Path | UPath") -> bytes:
    """The content of a file. Raises FileNotFoundError, and UserError if the disk or its store refuses."""
    try:
        with reaching(path):
            return path.read_bytes() if isinstance(path, Path) else path.fs.cat_file(path.path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None


def remove(path: "Path | UPath") -> None:
    """Remove a file or a folder, if it is there."""
    if not isinstance(path, Path):
        with contextlib.suppress(FileNotFoundError), reaching(path):
            path.fs.rm(path.path, recursive=True)
    elif path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_files(paths: "Sequence[Path | UPath]") -> None:
    """Remove files of one place, those that are there; in an object store by as few requests as it takes."""
    if paths and not isinstance(paths[0], Path):
        with contextlib.suppress(FileNotFoundError), reaching(paths[0]):
            paths[0].fs.rm([path.path for path in paths])
        return
    for path in paths:
        path.unlink(missing_ok=True)


def file_sha256(path: "Path | UPath") -> str:
    with reaching(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parquet_source(path: "Path | UPath"):
    """What pyarrow reads a Parquet file from: the path itself, or a file of the store that is read by ranges."""
    if isinstance(path, Path):
        return path
    with reaching(path):
        return path.open("rb", cache_type="none")  # pyarrow knows which ranges it needs


def parquet_file(path: "Path | UPath") -> pq.ParquetFile:
    """A Parquet file to be read piece by piece. Raises UserError if it is missing or not one."""
    with reading_parquet(path):
        return pq.ParquetFile(parquet_source(path))


def read_table(path: "Path | UPath", columns: list[str] | None = None) -> pa.Table:
    """The rows of a Parquet file; only the columns that are asked for are read.

    Raises UserError if the file is missing or cannot be read as Parquet."""
    with reading_parquet(path):
        return _validated(pq.read_table(parquet_source(path), columns=columns))


def read_row_groups(path: "Path | UPath", groups: Sequence[int], columns: list[str] | None = None) -> pa.Table:
    """The rows of some row groups, by number, of a Parquet file. Raises UserError as `read_table` does."""
    with reading_parquet(path), parquet_file(path) as file:
        table = _validated(file.read_row_groups(groups, columns))
        return table if columns is None else table.select(columns)


def values_by_row_group(path: "Path | UPath", column: str) -> list[list]:
    """A column of a Parquet file, the values of each row group. Raises UserError as `read_table` does."""
    with reading_parquet(path), parquet_file(path) as file:
        values = iter(_validated(file.read([column])).column(column).to_pylist())
        sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        return [list(islice(values, size)) for size in sizes]


def _validated(table: pa.Table) -> pa.Table:
    table.validate(full=True)  # texts are UTF-8, lengths lie within the file
    return table


@contextlib.contextmanager
def reading_parquet(path: "Path | UPath") -> Iterator[None]:
    """Tells in one line what pyarrow raises for a file that is missing, damaged or of another kind."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error).split("\n")[0]
        raise UserError(f"{path}: cannot be read as Parquet: {reason}") from None


def read_tables(
    paths: "Iterable[Path | UPath]",
    columns: list[str] | None = None,
    check: "Callable[[Path | UPath], object]" = lambda path: None,
) -> Iterator[pa.Table]:
    """A table a file, in order: one after the other from a disk, a few ahead from an object store, which is slow to
    answer. Memory stays bounded by these few. `check` is called with each path before the file is read."""

    def read(path: "Path | UPath") -> pa.Table:
        check(path)
        return read_table(path, columns)

    return in_order(read, paths)


def in_order(read: "Callable[[Path | UPath], Read]", paths: "Iterable[Path | UPath]") -> Iterator[Read]:
    """read(path) of each path, in order: one after the other from a disk, a few ahead from an object store."""
    ahead = deque()
    with ThreadPoolExecutor(AHEAD) as pool:  # starts no thread before it is used
        for path in paths:
            if isinstance(path, Path):
                yield read(path)
                continue
            ahead.append(pool.submit(read, path))
            if len(ahead) == AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
