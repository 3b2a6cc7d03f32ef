"""Runs a method on a model folder and writes the model that is to have forgotten."""

import json
import math
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from salmu.data.errors import UserError
from salmu.data.files import write_atomic
from salmu.data.keyed import digest
from salmu.data.private import without_folders
from salmu.data.readers import Dataset, open_dataset
from salmu.data.sealed import sealed
from salmu.evaluation.encoding.cost import peak_memory_mb
from salmu.evaluation.unlearning.low_rank import Edit, write_edit
from salmu.evaluation.unlearning.method import Anchor, Work
from salmu.evaluation.unlearning.pair_streams import Pool
from salmu.evaluation.unlearning.record import RECORD, read_record
from salmu.evaluation.unlearning.registry import get, origin
from salmu.evaluation.unlearning.retain_scenes import scene_source
from salmu.evaluation.unlearning.settings import MethodSettings
from salmu.evaluation.unlearning.training import spend
from salmu.evaluation.unlearning.wordings import file_digest
from salmu.model_training.export import WEIGHTS, file_digests, holds_something, whole_folder, write_changed
from salmu.model_training.loading.clip import ClipModel, load_model
from salmu.model_training.loop import reproducible
from salmu.model_training.network import input_side

VERSION = 10  # raised by hand when the same settings give other weights
CHECKPOINTS = "checkpoints"


def unlearn(
    method: str,
    settings: MethodSettings,
    model_dir: Path,
    dataset: Path | Dataset,
    out_dir: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
    replace: bool = True,
    anchor: tuple[Path, list[str]] | None = None,
) -> None:
    """Change the model in `model_dir` by a method and write it, with unlearning.json, to `out_dir` in its layout.
    `dataset`: its folder, or opened. `anchor`: the folder and the captions of method.Anchor.

    A method gets forget or retain_synth, as it declares; no other split is read. Same settings, model, data and
    threads: same bytes, also when the run was killed and started again. An `out_dir` that holds the result already is
    left as it is; one that holds anything else is replaced. Raises UserError for input that cannot be used, and, with
    `replace` False, for such a folder."""
    chosen, source, model_dir, out_dir = get(method), origin(method), Path(model_dir), Path(out_dir)
    if not model_dir.is_dir():
        raise UserError(f"{model_dir}: no such folder; unlearning starts from a folder in open_clip's layout")
    dataset = dataset if isinstance(dataset, Dataset) else open_dataset(dataset)
    clip = load(model_dir, settings.device)
    inputs = {"source_model_digest": clip.weights_digest, "dataset_digest": dataset.digest}
    held = load(anchor[0], settings.device) if anchor else None
    if anchor:
        inputs |= {"anchor_digest": held.weights_digest, "settled_digest": digest("settled", anchor[1])}
    code = [source.digest] if source else []  # VERSION speaks for the project's own methods
    scenes = scene_source(clip, settings.seed) if settings.retain_scenes and "retain" in chosen.sees else None
    drawn = list(scenes or [])
    if sentences := file_digest(settings):
        inputs["wordings_digest"] = sentences
    fingerprint = digest("unlearning", VERSION, method, settings.fingerprint(), inputs, drawn, *code)
    if _finished(out_dir, fingerprint):
        return
    if not replace and holds_something(out_dir):
        raise UserError(f"{out_dir}: holds something other than this result; name another folder, or add --force")
    about = {
        "method": method,
        "description": chosen.description,
        "source": chosen.source,
        **({"from_outside": source._asdict()} if source else {}),
        "budget": settings.budget,
        "seed": settings.seed,
        "settings": without_folders(settings.model_dump(mode="json")),
        "not_default": settings.not_default(),
        **inputs,
        **({"drawn": scenes.drawn} if scenes and scenes.drawn else {}),
    }
    unfinished = out_dir.with_name(f".{out_dir.name}.unfinished")

    def keep(budget: float, record: dict[str, Any]) -> None:
        _write(work, clip, about | {"budget": budget} | _cost(clip, record), model_dir, unfinished / f"{budget:g}x")

    try:
        with reproducible(settings.threads):
            count = budgeted(settings, dataset)
            held = Anchor(held.network, anchor[1]) if anchor else None
            work = Work(chosen, settings, clip, pools(chosen.sees, settings, clip, dataset), count, held)
            record = spend(work, progress, unfinished, fingerprint, keep)
        record = about | _cost(clip, record) | {"fingerprint": fingerprint}
        _write(work, clip, record, model_dir, out_dir, unfinished)
    except UserError:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    shutil.rmtree(unfinished, ignore_errors=True)


def load(model_dir: Path, device: str) -> ClipModel:
    """A model to be changed, on its device."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"device is {device!r}, but torch sees no CUDA GPU: install torch with CUDA, or set it to cpu")
    return load_model(model_dir, device)


def budgeted(settings: MethodSettings, dataset: Dataset) -> int:
    """Pairs of each kind that the budget allows. Raises UserError if it, or a lower one that is kept, allows none."""
    return pairs_of(settings, dataset.table("forget", ["file_name"]).num_rows)


def pairs_of(settings: MethodSettings, forget_pairs: int) -> int:
    """As `budgeted`, for a forget set of so many pairs."""
    for budget in (settings.budget, *getattr(settings, "keep_at", ())):
        if forget_pairs and not round(budget * forget_pairs):
            raise UserError(
                f"a budget of {budget:g} on a forget set of {forget_pairs} rounds to no pair; give at least "
                f"{math.ceil(100 / forget_pairs) / 100:g}"
            )
    return round(settings.budget * forget_pairs)


def pools(
    sees: Iterable[str],
    settings: MethodSettings,
    clip: ClipModel,
    dataset: Dataset,
    forget_rows: np.ndarray | None = None,
    retain_rows: np.ndarray | None = None,
) -> dict[str, Pool]:
    """The pairs of each kind that a method sees; rows if it is to see a part of a split only. Its scenes are among
    those that the start model was trained on, where its training record tells."""
    made = {}
    for part in sorted(sees):
        if part == "forget":
            made[part] = Pool(clip, dataset, part, forget_rows)
        else:
            source = scene_source(clip, settings.seed) if settings.retain_scenes else None
            scenes = source and source.pairs(settings.retain_scenes, input_side(clip.network))
            made[part] = Pool(clip, dataset, part, retain_rows, scenes, source and source.told_by)
    return made


def _cost(clip: ClipModel, record: dict[str, Any]) -> dict[str, Any]:
    """The record with peak memory in MiB: that of the process plus that on the GPU, and the latter alone."""
    cost = {"peak_memory_mb": peak_memory_mb()}
    if clip.device.startswith("cuda"):
        cost["peak_gpu_memory_mb"] = round(torch.cuda.max_memory_allocated(clip.device) / 2**20, 1)
    return record | cost | {"model_digest": clip.weights_digest}


def _finished(out_dir: Path, fingerprint: str) -> bool:
    try:
        return read_record(out_dir / RECORD).fingerprint == fingerprint and (out_dir / WEIGHTS).is_file()
    except UserError:
        return False


def _write(
    work: Work, clip: ClipModel, record: dict[str, Any], source: Path, out_dir: Path, kept: Path | None = None
) -> None:
    """Write the model's folder whole or not at all: the documents that a model is loaded from are copied from the
    source, nothing else; models at lower budgets are taken from `kept`."""
    with whole_folder(out_dir) as folder:
        write_changed(folder, clip.network, source)
        if work.change:
            digests = {key: record[key] for key in ("source_model_digest", "model_digest")}
            write_edit(folder, work.change, Edit(method=record["method"], **digests))
        record = sealed(record | {"files": file_digests(folder)})
        write_atomic(folder / RECORD, (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
        for lower in sorted(kept.glob("*x")) if kept else ():
            shutil.copytree(lower, folder / CHECKPOINTS / lower.name)
