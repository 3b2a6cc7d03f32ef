"""The files of stages and of the published dataset."""

from collections.abc import Iterator
from pathlib import Path

from salmu.data.errors import UserError
from salmu.data.files import file_sha256, listed, parquet_file, size
from salmu.data.publish.check import compare_files
from salmu.data.store import Store
from salmu.flows.running.stages import STAGES
from salmu.flows.verification.checked import Checked


def stage_files(store: Store, name: str) -> Iterator[Checked]:
    (manifest_path, *commits), there = store.manifest_files(name), store.files(name)
    if manifest_path.name not in there:
        return
    try:
        manifest = store.manifest(name)
    except UserError as error:
        damaged = next((path for path in commits if str(error).startswith(f"{path}: ")), manifest_path)
        yield Checked(name, damaged, there.get(damaged.name) or 0, str(error).removeprefix(f"{damaged}: "))
        return
    whole = not manifest.complete or manifest.planned == len(manifest.shards)
    yield Checked(name, manifest_path, there[manifest_path.name], "" if whole else "does not name all planned shards")
    yield from (Checked(name, path, there.get(path.name) or 0) for path in commits)
    columns = set(STAGES[name].SCHEMA.names)
    for entry in manifest.shards:
        path = store.part_path(name, entry.index)
        yield _shard(name, path, there, entry.bytes, entry.sha256, entry.rows, columns)
        if entry.rejects:
            path = store.rejects_path(name, entry.index)
            yield _shard(name, path, there, entry.rejects_bytes, entry.rejects_sha256, entry.rejects, set())


def _shard(name: str, path, there: dict, bytes: int, sha256: str, rows: int, columns: set[str]) -> Checked:
    held = there.get(path.name)
    if held is None:
        return Checked(name, path, 0, "missing")
    if held != bytes or file_sha256(path) != sha256:
        return Checked(name, path, held, "differs from its manifest")
    try:
        file = parquet_file(path)
    except UserError as error:
        return Checked(name, path, held, str(error).removeprefix(f"{path}: "))
    if not columns <= set(file.schema_arrow.names):
        return Checked(name, path, held, "lacks columns of its schema")
    return Checked(name, path, held, "" if file.metadata.num_rows == rows else f"does not hold {rows} rows")


def dataset_files(folder) -> Iterator[Checked]:
    if not listed(folder):
        return
    provenance = folder / "provenance.json"
    try:
        files, problems = compare_files(folder)
    except UserError as error:
        yield Checked("dataset", provenance, size(provenance) or 0, str(error).removeprefix(f"{provenance}: "))
        return
    wrong = dict(problems)
    for name in {**files, "provenance.json": None}:
        yield Checked("dataset", folder / name, size(folder / name) or 0, wrong.pop(str(folder / name), ""))
    for path, problem in wrong.items():
        yield Checked("dataset", folder / Path(path).relative_to(str(folder)), 0, problem)
