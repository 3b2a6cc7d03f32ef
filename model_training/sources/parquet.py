"""Parquet files of image-text pairs, copied once into tar shards: Parquet gives no pair without its row group."""

import io
import tarfile

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from salmu.data.errors import UserError
from salmu.model_training.settings import ParquetSource

BATCH_ROWS = 256


def as_tar(url: str, settings: ParquetSource) -> bytes:
    """The pairs of a Parquet file as a tar shard: members 000000000.jpg and .txt, the number of the row; a null or an
    empty cell leaves its member out, which the index then counts.

    Raises UserError if the file is damaged or lacks a column."""
    sink = io.BytesIO()
    try:
        with fsspec.open(url, "rb") as source, tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            file, row = pq.ParquetFile(source), 0
            _check(file.schema_arrow, url, settings)
            for batch in file.iter_batches(BATCH_ROWS, columns=[settings.image, settings.text]):
                images, texts = (batch.column(name).to_pylist() for name in (settings.image, settings.text))
                for image, text in zip(images, texts, strict=True):
                    content = image.get("bytes") if isinstance(image, dict) else image
                    _add(tar, f"{row:09d}.jpg", content)
                    _add(tar, f"{row:09d}.txt", text.encode() if text else None)
                    if not content and not text:
                        _add(tar, f"{row:09d}.empty", b"0")
                    row += 1
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{url}: cannot be read as Parquet: {str(error).splitlines()[0]}") from None
    return sink.getvalue()


def _check(schema: pa.Schema, url: str, settings: ParquetSource) -> None:
    for name in (settings.image, settings.text):
        if name not in schema.names:
            raise UserError(f"{url}: no column {name!r}; there are {', '.join(schema.names)}")
    kind = schema.field(settings.image).type
    if pa.types.is_struct(kind) and "bytes" in {field.name for field in kind}:
        return
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise UserError(f"{url}: column {settings.image!r} must be binary or a struct with `bytes`, not {kind}")


def _add(tar: tarfile.TarFile, name: str, content: bytes | None) -> None:
    if content:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
