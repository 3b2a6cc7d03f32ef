"""Runs a method: gives it what it may see, in a fixed order, until its budget is spent, and writes the model."""

import json
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from data.errors import UserError
from data.keyed import digest, generator
from data.readers import Dataset, open_dataset
from data.store import write_atomic
from evaluation.cost import peak_memory_mb
from evaluation.embeddings import ClipModel, decode, load_model
from evaluation.metrics.zero_shot import input_side
from evaluation.unlearning.losses import mean_cosine
from evaluation.unlearning.method import SPLITS, Batch, Encoded, Method, MethodSettings
from evaluation.unlearning.registry import get
from model_training.export import RECORD as TRAINING_RECORD
from model_training.export import WEIGHTS, whole_folder
from model_training.loop import reproducible
from model_training.retain import Pairs as Scenes
from model_training.retain import scene_pairs

VERSION = 1
RECORD = "unlearning.json"
NOT_COPIED = ("*.safetensors", "*.bin", "*.pt", "*.pth", "README.md", TRAINING_RECORD, RECORD)
CURVE_POINTS = 100
KEPT_IMAGES = 2**30  # bytes of decoded images that are kept for the next pass; others are decoded again


def unlearn(
    method: str,
    settings: MethodSettings,
    model_dir: Path,
    dataset_dir: Path,
    out_dir: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Change the model in `model_dir` by a method and write it, with unlearning.json, to `out_dir` in its layout.

    A method gets forget or retain_synth, as it declares; no other split is read. Same settings, model, data and
    threads: same bytes. An `out_dir` that holds the result already is left as it is. Raises UserError for input that
    cannot be used."""
    chosen, model_dir, out_dir = get(method), Path(model_dir), Path(out_dir)
    if not model_dir.is_dir():
        raise UserError(f"{model_dir}: no such folder; unlearning starts from a folder in open_clip's layout")
    dataset = open_dataset(dataset_dir)
    clip = load_model(model_dir, settings.device)
    inputs = {"source_model_digest": clip.weights_digest, "dataset_digest": dataset.digest}
    fingerprint = digest("unlearning", VERSION, method, settings.fingerprint(), inputs)
    if _finished(out_dir, fingerprint):
        return
    with reproducible(settings.threads):
        record = _train(chosen, settings, clip, dataset, progress)
    record = {
        "method": method,
        "source": chosen.source,
        "budget": settings.budget,
        "seed": settings.seed,
        "settings": settings.model_dump(mode="json"),
        **record,
        **inputs,
        "model_digest": clip.weights_digest,
        "fingerprint": fingerprint,
    }
    _export(clip, record, model_dir, out_dir)


class Pool:
    """The pairs of one kind, ready for training: those of a split, then procedural scenes."""

    def __init__(
        self,
        clip: ClipModel,
        dataset: Dataset,
        split: str,
        generic_captions: bool = False,
        scenes: Scenes | None = None,
    ):
        table = dataset.table(split, ["file_name", "image", "text"])
        if not len(table):
            raise UserError(f"{dataset.folder}: split {split} has no rows")
        self.clip = clip
        self.file_names = table.column("file_name").to_pylist()
        self.files = table.column("image")
        self.scenes = scenes.images if scenes else []
        texts = (
            [_generic(dataset, name) for name in self.file_names]
            if generic_captions
            else table.column("text").to_pylist()
        )
        self.tokens = clip.tokenizer(texts + (scenes.texts if scenes else []))
        self.kept: dict[int, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self.tokens)

    def order(self, count: int, *key) -> np.ndarray:
        """Indices of `count` pairs: pass after pass over all, each in an order of its own, drawn by `key`."""
        passes = [generator(*key, number).permutation(len(self)) for number in range(math.ceil(count / len(self)))]
        return np.concatenate(passes)[:count]

    def encoded(self, indices: np.ndarray) -> Encoded:
        """These pairs as the model sees them now."""
        device, network = self.clip.device, self.clip.network
        images = torch.stack([self._image(index) for index in indices.tolist()])
        return Encoded(
            network.encode_image(images.to(device), normalize=True),
            network.encode_text(self.tokens[indices].to(device), normalize=True),
        )

    def _image(self, index: int) -> torch.Tensor:
        if index in self.kept:
            return self.kept[index]
        if index < len(self.file_names):
            (image,) = decode([(self.file_names[index], self.files[index].as_py()["bytes"])])
        else:
            image = Image.fromarray(self.scenes[index - len(self.file_names)])
        tensor = self.clip.preprocess(image)
        if len(self.kept) * tensor.nbytes < KEPT_IMAGES:
            self.kept[index] = tensor
        return tensor


def _generic(dataset: Dataset, file_name: str) -> str:
    try:
        return dataset.generic_captions[file_name]
    except KeyError:
        raise UserError(
            f"{dataset.folder}: sensitive_set_generic_captions.json has no caption for {file_name}"
        ) from None


def _train(
    method: Method, settings: MethodSettings, clip: ClipModel, dataset: Dataset, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """Spend the budget on the model, in place; returns what was seen, what it cost and how it went.

    The network stays in evaluation mode: batch statistics of a single kind of image would shift its normalisation
    layers."""
    started = time.monotonic()
    count = round(settings.budget * dataset.table("forget", ["file_name"]).num_rows)
    pools = {part: _pool(part, method, settings, clip, dataset) for part in sorted(method.sees)}
    orders = {part: pool.order(count, settings.seed, "unlearning", part) for part, pool in pools.items()}
    scale = clip.network.logit_scale.detach().exp()
    weights = [weight for name, weight in clip.network.named_parameters() if name not in ("logit_scale", "logit_bias")]
    optimiser = torch.optim.AdamW(
        weights, settings.learning_rate, betas=(0.9, 0.98), eps=1e-6, weight_decay=settings.weight_decay
    )
    starts = range(0, count, settings.batch_size)
    curve, seen, stopped = [], 0, None
    for step, start in enumerate(starts):
        rows = slice(start, start + settings.batch_size)
        parts = {part: pool.encoded(orders[part][rows]) for part, pool in pools.items()}
        batch = Batch(parts.get("forget"), parts.get("retain"), scale)
        if method.stop and method.stop(batch, settings):
            stopped = step
            break
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * _schedule(step, len(starts), settings.warm_up)
        loss = method.loss(batch, settings)
        if not torch.isfinite(loss):
            raise UserError(
                f"{method.name}: the loss is {loss.item()} at step {step}; lower learning_rate, "
                f"now {settings.learning_rate}"
            )
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        seen += len(orders[min(orders)][rows])
        if step % math.ceil(len(starts) / CURVE_POINTS) == 0 or step == len(starts) - 1:
            curve.append(
                {
                    "step": step,
                    "loss": round(loss.item(), 5),
                    **{f"{part}_cosine": round(mean_cosine(encoded).item(), 5) for part, encoded in parts.items()},
                }
            )
        progress(step + 1, len(starts))
    saw = {
        part: {
            "split": SPLITS[part],
            "scenes": len(pools[part].scenes),
            "pairs": len(set(order[:seen].tolist())),
            "times": seen,
        }
        for part, order in orders.items()
    }
    return {
        "steps": len(starts) if stopped is None else stopped,
        "stopped_early": stopped is not None,
        "pairs_seen": seen * len(saw),
        "seconds": round(time.monotonic() - started, 2),
        "peak_memory_mb": peak_memory_mb(),
        "saw": saw,
        "curve": curve,
    }


def _pool(part: str, method: Method, settings: MethodSettings, clip: ClipModel, dataset: Dataset) -> Pool:
    if part == "forget":
        return Pool(clip, dataset, SPLITS[part], method.generic_captions)
    return Pool(
        clip, dataset, SPLITS[part], scenes=scene_pairs(settings.seed, settings.retain_scenes, input_side(clip.network))
    )


def _schedule(step: int, steps: int, warm_up: float) -> float:
    """Share of the peak learning rate: rises over the warm-up, then falls by a cosine."""
    rising = warm_up * steps
    if step < rising:
        return (step + 1) / (rising + 1)
    return (1 + math.cos(math.pi * (step - rising) / (steps - rising))) / 2


def _finished(out_dir: Path, fingerprint: str) -> bool:
    try:
        return (
            json.loads((out_dir / RECORD).read_text())["fingerprint"] == fingerprint and (out_dir / WEIGHTS).is_file()
        )
    except (OSError, ValueError, KeyError):
        return False


def _export(clip: ClipModel, record: dict[str, Any], model_dir: Path, out_dir: Path) -> None:
    """Write the model's folder whole or not at all: what lies beside the weights is copied from the source."""
    weights = {name: weight.detach().cpu().contiguous() for name, weight in clip.network.state_dict().items()}
    with whole_folder(out_dir) as folder:
        shutil.copytree(model_dir, folder, ignore=shutil.ignore_patterns(*NOT_COPIED), dirs_exist_ok=True)
        write_atomic(folder / WEIGHTS, save(weights, metadata={"format": "pt"}))
        write_atomic(folder / RECORD, (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
