"""What did not make it into the dataset, and why: one table for each stage that dropped something."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from salmu.data.schemas import REJECTS
from salmu.data.store import Store


def dropped(store: Store, stage: str) -> list[dict]:
    """Rejects of a stage; for curation also the portraits that it did not keep."""
    rows = [reject._asdict() for reject in store.view(stage, "").rejects()]
    if stage == "curation":
        for row in store.view(stage, "file_name").rows(["file_name", "kept", "reason", "identity_similarity"]):
            if not row["kept"]:
                similarity = row["identity_similarity"]
                detail = "" if similarity is None else f"similarity to its identity {similarity:.3f}"
                rows.append({"item": row["file_name"], "reason": row["reason"], "detail": detail})
    return rows


def write(folder: Path, rejects: dict[str, list[dict]]) -> None:
    """`<stage>.parquet` for each stage with rejects."""
    for stage, rows in rejects.items():
        if rows:
            folder.mkdir(exist_ok=True)
            pq.write_table(pa.Table.from_pylist(rows, schema=REJECTS), folder / f"{stage}.parquet", compression="zstd")
