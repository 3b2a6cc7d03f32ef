"""Parquet files that `datasets.load_dataset` opens with PIL images, laid out as the Hugging Face Hub likes them.

Content-defined chunking lets the Hub store only what changed between versions; the page index lets readers skip pages;
row groups stay under 100 MB and files under 500 MB, whatever the size of the images.
"""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from salmu.data.publish.columns import COLUMNS, Column, features, schema

GROUP_ROWS = 200
GROUP_BYTES = 90_000_000
FILE_BYTES = 450_000_000


class FileWriter:
    """Writes the samples of a split to `<split>-00000-of-000NN.parquet`, at least one file. A context manager; the
    files have their names once it is left without an error.

    A file ends at `rows_per_file` rows or before `file_bytes` bytes of images, a row group at 200 rows or before
    `group_bytes`; one image may be larger than either."""

    def __init__(
        self,
        folder: Path,
        split: str,
        rows_per_file: int,
        file_bytes: int = FILE_BYTES,
        group_bytes: int = GROUP_BYTES,
        columns: tuple[Column, ...] = COLUMNS,
    ):
        self.folder, self.split, self.rows_per_file, self.columns = folder, split, rows_per_file, columns
        self.file_bytes, self.group_bytes = file_bytes, group_bytes
        self._files: list[Path] = []

    def __enter__(self) -> "FileWriter":
        self._next()
        return self

    def __exit__(self, error, *_) -> None:
        if error is None:
            self._flush()
        self._writer.close()
        if error is None:
            for number, path in enumerate(self._files):
                os.replace(path, path.with_name(f"{self.split}-{number:05}-of-{len(self._files):05}.parquet"))

    def write(self, sample: dict) -> None:
        """Append a sample; `image` holds the bytes of its file."""
        size = len(sample["image"])
        file_full = self._rows == self.rows_per_file or (self._rows and self._bytes + size > self.file_bytes)
        group_full = len(self._group) == GROUP_ROWS or (self._group and self._waiting + size > self.group_bytes)
        if file_full or group_full:
            self._flush()
        if file_full:
            self._writer.close()
            self._next()
        self._group.append(sample | {"image": {"bytes": sample["image"], "path": sample["file_name"]}})
        self._rows, self._bytes, self._waiting = self._rows + 1, self._bytes + size, self._waiting + size

    def _next(self) -> None:
        self._rows = self._bytes = self._waiting = 0
        self._group: list[dict] = []
        self._files.append(self.folder / f".{self.split}-{len(self._files):05}.tmp")
        self._writer = _open(self._files[-1], self.columns)

    def _flush(self) -> None:
        if self._group:
            table = pa.Table.from_pylist(self._group, schema=self._writer.schema)
            self._writer.write_table(table, row_group_size=len(self._group))
        self._group, self._waiting = [], 0


def _open(path: Path, columns: tuple[Column, ...]) -> pq.ParquetWriter:
    """Images are JPEG files: no dictionary, statistics or compression."""
    names = [column.name for column in columns if column.dtype != "image"]
    metadata = {"huggingface": json.dumps({"info": {"features": features(columns)}})}
    return pq.ParquetWriter(
        path,
        schema(columns).with_metadata(metadata),
        use_content_defined_chunking=True,
        write_page_index=True,
        use_dictionary=[column.name for column in columns if column.dtype == "string"],
        write_statistics=names,
        compression=dict.fromkeys(names, "zstd"),
    )
