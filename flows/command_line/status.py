"""What a run has done, read from its folder alone: `salmu status`, `salmu verify`."""

from collections.abc import Iterator

import pyarrow.parquet as pq

from salmu.data.errors import UserError
from salmu.data.files import file_sha256, parquet_source
from salmu.data.store import Store
from salmu.flows.running.stages import STAGES, state
from salmu.flows.settings import RunSettings


def status_rows(store: Store, settings: RunSettings) -> list[dict]:
    """One row a stage: state, shards done and planned, rows, rejects, seconds, rows a second, seconds left at that
    rate."""
    rows = []
    for name in STAGES:
        manifest = store.manifest(name)
        seconds = sum(entry.seconds for entry in manifest.shards)
        missing = max(manifest.planned - len(manifest.shards), 0)
        rows.append(
            {
                "stage": name,
                "state": state(store, name, getattr(settings, name)),
                "shards": f"{len(manifest.shards)}/{manifest.planned}",
                "rows": manifest.rows,
                "rejects": manifest.rejects,
                "seconds": round(seconds, 1),
                "rows/s": round(manifest.rows / seconds, 1) if seconds else "",
                "left": f"{missing * seconds / len(manifest.shards):.0f} s of work"
                if missing and manifest.shards
                else "",
            }
        )
    return rows


def problems(store: Store) -> Iterator[str]:
    """Every file that is missing, damaged or does not fit its schema."""
    for name, module in STAGES.items():
        there = store.files(name)
        for entry in store.manifest(name).shards:
            files = [(store.part_path(name, entry.index), entry.bytes, entry.sha256)]
            if entry.rejects:
                files.append((store.rejects_path(name, entry.index), entry.rejects_bytes, entry.rejects_sha256))
            for path, size, sha256 in files:
                if there.get(path.name) is None:
                    yield f"{path}: missing"
                elif there[path.name] != size or file_sha256(path) != sha256:
                    yield f"{path}: differs from its manifest"
                elif path == files[0][0] and not set(module.SCHEMA.names) <= set(_columns(path)):
                    yield f"{path}: lacks columns of its schema"


def _columns(path) -> list[str]:
    return pq.read_schema(parquet_source(path)).names


def verify(store: Store) -> int:
    """Check every file against its manifest; returns how many were checked. Raises UserError with the first problem
    and their number."""
    found = list(problems(store))
    if found:
        raise UserError(
            f"{len(found)} problems, first: {found[0]}; remove damaged files and run salmu run --run "
            f"{store.folder.name} to make what is missing"
        )
    return sum(1 + bool(entry.rejects) for name in STAGES for entry in store.manifest(name).shards)
