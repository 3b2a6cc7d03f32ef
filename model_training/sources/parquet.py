"""Parquet files of image-text pairs, copied once into tar shards: Parquet gives no pair without its row group."""

import io
import tarfile
from typing import NamedTuple

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from salmu.data.errors import UserError
from salmu.data.foreign_columns import as_bytes, check_column, holds_files, is_binary, is_text, only_paths
from salmu.data.pictures import LARGEST_FILE
from salmu.data.private import told_of
from salmu.model_training.settings import ParquetSource
from salmu.model_training.sources.tars import TEXT_BYTES

BATCH_ROWS = 32
LARGEST_TAR = 2**31  # bytes; a small Parquet file can hold a picture a million times


class Copy(NamedTuple):
    """A Parquet file as a tar shard, and what was left out."""

    tar: bytes
    rejects: list[tuple[str, str]]  # number of the row, reason


def as_tar(url: str, settings: ParquetSource) -> Copy:
    """The pairs of a Parquet file: members 000000000.jpg and .txt, the number of the row; a null or an empty cell
    leaves its member out, which the index then counts. Rows beyond the limits are rejects.

    Raises UserError if the file is damaged, lacks a column, has one of another type, or holds too much."""
    sink, rejects = io.BytesIO(), []
    try:
        with fsspec.open(url, "rb") as source, tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            file, row = pq.ParquetFile(source), 0
            _check(file, url, settings)
            for batch in file.iter_batches(BATCH_ROWS, columns=[settings.image, settings.text]):
                for image, text in zip(*(as_bytes(batch.column(name)) for name in (settings.image, settings.text))):
                    key, row = f"{row:09d}", row + 1
                    if reason := _beyond(image, text):
                        rejects.append((key, reason))
                        continue
                    _add(tar, f"{key}.jpg", image)
                    _add(tar, f"{key}.txt", text)
                    if not image and not text:
                        _add(tar, f"{key}.empty", b"0")
                    if sink.tell() > LARGEST_TAR:
                        raise UserError(f"{url}: holds more than {LARGEST_TAR:,} bytes of pairs; split it")
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = told_of(url, str(error).partition("\n")[0])
        raise UserError(f"{url}: cannot be read as Parquet: {reason}") from None
    return Copy(sink.getvalue(), rejects)


def _beyond(image: bytes | None, text: bytes | None) -> str | None:
    if image and len(image) > LARGEST_FILE:
        return f"image: longer than {LARGEST_FILE} bytes"
    if text and len(text) > TEXT_BYTES:
        return f"caption longer than {TEXT_BYTES} bytes"
    return None


def _check(file: pq.ParquetFile, url: str, settings: ParquetSource) -> None:
    schema = file.schema_arrow
    check_column(schema, settings.text, lambda kind: is_text(kind) or is_binary(kind), "text", url)
    check_column(schema, settings.image, holds_files, "binary or a struct with `bytes`", url)
    if only_paths(file.metadata, settings.image):
        raise UserError(
            f"{url}: column {settings.image!r} holds paths only, no bytes; write the pictures into the file (datasets: "
            "map each row to {'bytes': open(path, 'rb').read()})"
        )


def _add(tar: tarfile.TarFile, name: str, content: bytes | None) -> None:
    if content:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
