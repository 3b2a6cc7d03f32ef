"""Writes the published folder of a run, whole or not at all: data, metadata, card, provenance and rejects."""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from data.errors import UserError
from data.files import listed, location, reaching, remove, write_atomic
from data.licences import Model
from data.publish import card, croissant, metadata, parquet, provenance, rejects
from data.publish.images import with_images
from data.publish.webdataset import ShardWriter
from data.readers import INCOMPLETE, PROVENANCE, SPLITS, open_dataset
from data.settings import Settings
from data.store import Store

STAGES = ("candidates", "anchors", "portraits", "analysis", "curation", "domain", "personas", "captions", "assembly")
PAIRS = ("assembly", "file_name")


class PublishSettings(Settings):
    """The published folder."""

    name: str = Field("SALMU", min_length=1, description="Name of the dataset on its card.")
    scheme: Literal["facts", "published"] = Field(
        "facts",
        description=(
            "Which split scheme names the files: facts (all pairs of one persona and attribute lie on one side) or "
            "published (pairs). Both are columns in any case."
        ),
    )
    longest_side: int | None = Field(
        512,
        ge=16,
        description=(
            "Larger images are made smaller to this many pixels, as in the published set; null keeps all as generated."
        ),
    )
    jpeg_quality: int = Field(92, ge=1, le=95, description="Of the images that are made smaller.")
    rows_per_file: int = Field(5000, ge=1, description="Rows of a Parquet file; at 512 pixels 5,000 are about 300 MB.")
    samples_per_tar: int = Field(1000, ge=1, description="Samples of a tar; a loader needs a tar for each worker.")
    licence: str = Field("cc-by-4.0", description="Licence of the dataset, as the Hugging Face Hub names it.")
    creator: str = Field("The SALMU authors", description="Who made the dataset, for the card and Croissant.")


def publish(
    store: Store,
    out_dir: str | Path,
    settings: PublishSettings,
    run_settings: dict[str, Any],
    models: Sequence[Model] = (),
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """Write the dataset of a finished run to a folder, by path or URL, and return its digest.

    `run_settings`: the run's full settings; the dataset's part is recorded. `models`: the weights that made it, with
    their licences. `progress(done, total)` counts rows.
    A folder made from the same settings and stages stays as it is; another is replaced once the new one is complete:
    made beside it, or for a URL in the folder for temporary files. Raises UserError for an unfinished run, a folder
    that holds something else, or a full disk."""
    out_dir = location(out_dir)
    manifests = {stage: store.manifest(stage) for stage in STAGES if store.manifest(stage).shards}
    if "assembly" not in manifests or not manifests["assembly"].complete:
        raise UserError(f"{store.folder}: the stage assembly is not finished, run it first")
    recorded = {name: run_settings[name] for name in ("seed", *STAGES) if name in run_settings}
    made_from = provenance.inputs(manifests, recorded | {"publish": settings.model_dump(mode="json")}, models)
    if provenance.is_current(out_dir, made_from):
        return open_dataset(out_dir).digest
    there = listed(out_dir)
    if there and not {PROVENANCE, INCOMPLETE} & set(there):
        raise UserError(f"{out_dir}: not empty and not a published dataset; name another folder or remove it")
    write = partial(_write, store, settings, made_from, progress or (lambda done, total: None))
    (_write_folder if isinstance(out_dir, Path) else _upload)(out_dir, write)
    return open_dataset(out_dir).digest


def _write_folder(out_dir: Path, write: Callable[[Path], None]) -> None:
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
    """provenance.json goes first and comes last, so that a reader finds the old dataset, the new one, or none."""
    with tempfile.TemporaryDirectory(prefix="salmu-dataset-") as temporary:
        folder = Path(temporary)
        try:
            write(folder)
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"{folder}: cannot be written: {reason}; set TMPDIR to a folder with more space") from None
        new = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {PROVENANCE}
        write_atomic(out_dir / INCOMPLETE, b"")
        remove(out_dir / PROVENANCE)
        with reaching(out_dir):
            old = {name.removeprefix(f"{out_dir.path}/") for name in out_dir.fs.find(out_dir.path)}
            for name in sorted(old - new - {INCOMPLETE}):
                remove(out_dir / name)
            names = sorted(new)
            out_dir.fs.put([str(folder / name) for name in names], [(out_dir / name).path for name in names])
        write_atomic(out_dir / PROVENANCE, (folder / PROVENANCE).read_bytes())
        remove(out_dir / INCOMPLETE)


def _write(store: Store, settings: PublishSettings, made_from: dict, progress: Callable, folder: Path) -> None:
    pairs = list(store.view(*PAIRS).rows())
    column = {"facts": "split", "published": "split_published"}[settings.scheme]
    splits = {split: [row for row in pairs if row[column] == split] for split in SPLITS}
    image_bytes = _write_samples(store, folder, settings, splits, progress)
    personas = list(store.view("personas", "identity_id").rows())
    for name, document in metadata.documents(pairs, personas).items():
        write_atomic(folder / name, metadata.to_bytes(document))
    dropped = {stage: rejects.dropped(store, stage) for stage in made_from["stages"]}
    rejects.write(folder / "rejects", dropped)
    readme = card.render(settings, made_from, splits, personas, dropped, image_bytes)
    write_atomic(folder / "README.md", readme.encode())
    write_atomic(folder / "croissant.json", metadata.to_bytes(croissant.document(folder, settings)))
    write_atomic(folder / PROVENANCE, metadata.to_bytes(provenance.document(folder, made_from)))


def _write_samples(
    store: Store, folder: Path, settings: PublishSettings, splits: dict[str, list[dict]], progress: Callable
) -> dict[str, int]:
    """The Parquet files and the tars, in one pass over the images. Returns the bytes of the images of each split."""
    portraits = store.view("portraits", "file_name")
    sizes, image_bytes, done, total = {}, {}, 0, sum(map(len, splits.values()))
    for name in ("data", "webdataset"):
        (folder / name).mkdir()
    for split, rows in splits.items():
        image_bytes[split] = 0
        starts = range(0, max(len(rows), 1), settings.rows_per_file)
        files = [rows[start : start + settings.rows_per_file] for start in starts]
        with ShardWriter(folder / "webdataset", split, settings.samples_per_tar) as tars:
            for number, part in enumerate(files):
                path = folder / "data" / f"{split}-{number:05}-of-{len(files):05}.parquet"
                with parquet.open_writer(path) as writer:
                    for batch in with_images(part, portraits, settings.longest_side, settings.jpeg_quality):
                        parquet.write_samples(writer, batch)
                        for sample in batch:
                            tars.write(sample)
                            image_bytes[split] += len(sample["image"])
                        done += len(batch)
                        progress(done, total)
        sizes |= tars.sizes
    write_atomic(folder / "webdataset" / "sizes.json", metadata.to_bytes(sizes))
    return image_bytes


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
