"""Writes the published folder of a run, whole or not at all: data, metadata, card, provenance and rejects."""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from salmu.data.errors import UserError
from salmu.data.files import listed, location, write_atomic
from salmu.data.licences import Model
from salmu.data.provenance import PROVENANCE, read_provenance
from salmu.data.publish import card, clip_benchmark, copies, croissant, metadata, parquet, provenance, rejects
from salmu.data.publish.fragile import write_fragile_set
from salmu.data.publish.front_matter import SCHEMES
from salmu.data.publish.images import with_images
from salmu.data.publish.settings import PublishSettings
from salmu.data.publish.webdataset import ShardWriter
from salmu.data.readers import INCOMPLETE, SPLITS
from salmu.data.schemas import OUTSIDERS
from salmu.data.store import Store

STAGES = ("candidates", "anchors", "portraits", "analysis", "curation", "domain", "personas", "captions", "assembly")
PAIRS = ("assembly", "file_name")


def publish(
    store: Store,
    out_dir: str | Path,
    settings: PublishSettings,
    run_settings: dict[str, Any],
    models: Sequence[Model] = (),
    progress: Callable[[int, int], None] | None = None,
    fragile: Callable[[str], Sequence[str]] = lambda digest: (),
) -> str:
    """Write the dataset of a finished run to a folder, by path or URL, and return its digest.

    `run_settings`: the run's full settings; the dataset's part is recorded. `models`: the weights that made it, with
    their licences. `progress(done, total)` counts rows. `fragile(digest)`: the file names of the fragile set of the
    dataset with this digest.
    A folder made from the same settings and stages stays as it is, but for its fragile set. Another is replaced once
    the new one is complete: made beside it, or for a URL in the folder for temporary files. Raises UserError for an
    unfinished run, a folder that holds something else, or a full disk."""
    out_dir = location(out_dir)
    if not store.manifest("assembly").complete:
        raise UserError(f"{store.folder}: the stage assembly is not finished, run it first")
    made_from = inputs_of(store, settings, run_settings, models)
    if provenance.is_current(out_dir, made_from):
        digest = read_provenance(out_dir).dataset_digest
        write_fragile_set(out_dir, fragile(digest))
        return digest
    there = listed(out_dir)
    if there and not {PROVENANCE, INCOMPLETE} & set(there):
        raise UserError(f"{out_dir}: not empty and not a published dataset; name another folder or remove it")
    write = partial(_write, store, settings, made_from, progress or (lambda done, total: None), fragile)
    (write_folder if isinstance(out_dir, Path) else _upload)(out_dir, write)
    return read_provenance(out_dir).dataset_digest


def inputs_of(
    store: Store, settings: PublishSettings, run_settings: dict[str, Any], models: Sequence[Model] = ()
) -> dict[str, Any]:
    """What decides the bytes of the folder, as its provenance records it; arguments as those of `publish`."""
    manifests = {stage: manifest for stage in STAGES if (manifest := store.manifest(stage)).shards}
    recorded = {name: run_settings[name] for name in ("seed", *STAGES) if name in run_settings}
    return provenance.inputs(manifests, recorded | {"publish": settings.model_dump(mode="json")}, models)


def write_folder(out_dir: Path, write: Callable[[Path], None]) -> None:
    """Write a folder whole or not at all: `write` fills one beside it, which then takes its place. Raises UserError
    when the disk refuses."""
    temporary, old = (out_dir.with_name(f".{out_dir.name}.{kind}") for kind in ("new", "old"))
    try:
        for leftover in (temporary, old):
            shutil.rmtree(leftover, ignore_errors=True)
        temporary.mkdir(parents=True)
        write(temporary)
        _sync(temporary)
        if out_dir.exists():
            os.replace(out_dir, old)
        os.replace(temporary, out_dir)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{out_dir}: cannot be written: {reason}; free some space or choose another folder") from None
    finally:
        if old.exists() and not out_dir.exists():
            os.replace(old, out_dir)
        for leftover in (temporary, old):
            shutil.rmtree(leftover, ignore_errors=True)


def _upload(out_dir, write: Callable[[Path], None]) -> None:
    with tempfile.TemporaryDirectory(prefix="salmu-dataset-") as temporary:
        folder = Path(temporary)
        try:
            write(folder)
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"{folder}: cannot be written: {reason}; set TMPDIR to a folder with more space") from None
        copies.copy(folder, out_dir, {name: file.model_dump() for name, file in read_provenance(folder).files.items()})


def _write(
    store: Store, settings: PublishSettings, made_from: dict, progress: Callable, fragile: Callable, folder: Path
) -> None:
    pairs = list(store.view(*PAIRS).rows())
    splits = {split: [row for row in pairs if row[SCHEMES[settings.scheme]] == split] for split in (*SPLITS, OUTSIDERS)}
    if not splits[OUTSIDERS]:
        del splits[OUTSIDERS]
    image_bytes = _write_samples(store, folder, settings, splits, progress)
    personas = list(store.view("personas", "identity_id").rows())
    for name, document in metadata.documents(pairs, personas).items():
        write_atomic(folder / name, metadata.to_bytes(document))
    dropped = {stage: rejects.dropped(store, stage) for stage in made_from["stages"]}
    rejects.write(folder / "rejects", dropped)
    files = provenance.listing(folder)
    digest = provenance.digest_of(folder, files)
    readme = card.render(settings, made_from, splits, personas, dropped, image_bytes, folder, digest)
    groups = card.demographics_text([row for row in personas if row["identity_id"] in _identities(pairs)])
    write_atomic(folder / "README.md", readme.encode())
    write_atomic(folder / "croissant.json", metadata.to_bytes(croissant.document(files, settings, made_from, groups)))
    files = provenance.listing(folder, files)
    write_atomic(folder / PROVENANCE, metadata.to_bytes(provenance.document(folder, made_from, files)))
    write_fragile_set(folder, fragile(digest))


def _identities(pairs: list[dict]) -> set[str]:
    return {row["identity_id"] for row in pairs}


def _write_samples(
    store: Store, folder: Path, settings: PublishSettings, splits: dict[str, list[dict]], progress: Callable
) -> dict[str, int]:
    """The Parquet files and the tars, in one pass over the images. Returns the bytes of each file name's image."""
    portraits = store.view("portraits", "file_name")
    sizes, image_bytes, total = {}, {}, sum(map(len, splits.values()))
    for name in ("data", "webdataset"):
        (folder / name).mkdir()
    for split, rows in splits.items():
        with (
            parquet.FileWriter(folder / "data", split, settings.rows_per_file) as files,
            ShardWriter(folder / "webdataset", split, settings.samples_per_tar) as tars,
        ):
            for batch in with_images(rows, portraits, settings.longest_side, settings.jpeg_quality):
                for sample in batch:
                    files.write(sample)
                    tars.write(sample)
                    image_bytes[sample["file_name"]] = len(sample["image"])
                progress(len(image_bytes), total)
        sizes |= tars.sizes
        if split in settings.clip_benchmark:
            clip_benchmark.write(folder, split, tars.sizes)
    write_atomic(folder / "webdataset" / "sizes.json", metadata.to_bytes(sizes))
    return image_bytes


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
