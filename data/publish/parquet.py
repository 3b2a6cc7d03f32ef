"""Parquet files that `datasets.load_dataset` opens with PIL images, laid out as the Hugging Face Hub likes them.

Content-defined chunking lets the Hub store only what changed between versions; the page index lets readers skip pages.
"""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.publish.columns import FEATURES, SCHEMA

_TEXT = [field.name for field in SCHEMA if field.type == pa.string()]
_METADATA = {"huggingface": json.dumps({"info": {"features": FEATURES}})}


def open_writer(path: Path) -> pq.ParquetWriter:
    """A writer for samples, a context manager. Images are JPEG files: no dictionary, statistics or compression."""
    columns = [field.name for field in SCHEMA if field.name != "image"]
    return pq.ParquetWriter(
        path,
        SCHEMA.with_metadata(_METADATA),
        use_content_defined_chunking=True,
        write_page_index=True,
        use_dictionary=_TEXT,
        write_statistics=columns,
        compression=dict.fromkeys(columns, "zstd"),
    )


def write_samples(writer: pq.ParquetWriter, samples: list[dict]) -> None:
    """Append samples as one row group. `image` of a sample holds the bytes of its file."""
    rows = [sample | {"image": {"bytes": sample["image"], "path": sample["file_name"]}} for sample in samples]
    writer.write_table(pa.Table.from_pylist(rows, schema=writer.schema), row_group_size=len(rows))
