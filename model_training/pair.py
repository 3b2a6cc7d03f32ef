"""Train one model of the pair: Clean on the retain pairs, Compromised on the same batches plus the sensitive pairs.

Seed, configuration, tokenizer and retain batches are the same in both runs, sample for sample. The sensitive pairs are
added to those batches, spread evenly, each once an epoch; they replace nothing.
"""

import logging
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from pydantic import Field

from data.errors import UserError
from data.keyed import digest, integer
from data.readers import open_dataset
from data.settings import StageSettings
from model_training import export, loop
from model_training.configurations import configuration, create_model
from model_training.retain import Pairs, dataset_pairs, joined, scene_pairs
from model_training.tokenizer import train_tokenizer

WHICH = ("clean", "compromised")
VERSION = 1  # raised by hand when the same settings give other weights
PACKAGES = ("torch", "open_clip_torch", "timm", "tokenizers", "faker", "pillow")
log = logging.getLogger(__name__)


class PairSettings(StageSettings):
    """How both models of the pair are trained."""

    model: str = Field("salmu-small", description="Name of a configuration in model_training/model_configs/.")
    scenes: int = Field(7000, ge=0, description="Procedural captioned scenes in the retain set.")
    epochs: int = Field(8, ge=1, description="Passes over the retain set; in each, a sensitive pair is seen once.")
    batch_size: int = Field(64, ge=2, description="Retain pairs in a batch; Compromised adds some sensitive pairs.")
    learning_rate: float = Field(2e-3, gt=0, description="Peak of the one-cycle schedule (AdamW).")
    weight_decay: float = Field(0.1, ge=0, description="AdamW's decay of matrices and kernels.")
    threads: int = Field(
        1,
        ge=0,
        description=(
            "Threads of each training; 0: all cores. 1 fits two trainings side by side and the same weights on any "
            "number of cores; another number gives slightly other weights."
        ),
    )


def train(
    settings: PairSettings,
    dataset_dir: Path,
    out_dir: Path,
    which: str,
    progress: Callable[[int, int], None] | None = None,
) -> bool:
    """Train the `clean` or the `compromised` model on a dataset folder and write it to `out_dir` in open_clip's layout.

    Returns False if a finished model with the same settings, dataset and `which` is there already, and leaves it alone.
    `progress(done, total)` is called after each step. Raises UserError for an unknown `which` or configuration, a
    dataset without retain_synth or (for Compromised) the sensitive splits, an unreadable image, a disk that refuses."""
    if which not in WHICH:
        raise UserError(f"pair: no model {which!r}; choose one of {', '.join(WHICH)}")
    size, out_dir = configuration(settings.model)["vision_cfg"]["image_size"], Path(out_dir)
    dataset = open_dataset(dataset_dir)
    fingerprint = digest("pair", VERSION, settings.fingerprint(), configuration(settings.model), dataset.digest, which)
    record = export.read_record(out_dir)
    if record and record.get("fingerprint") == fingerprint:
        log.info("%s: finished already with these settings and this dataset, not trained again", out_dir)
        return False
    began, threads = time.perf_counter(), settings.threads or os.cpu_count() or 1
    scenes = scene_pairs(settings.seed, settings.scenes, size)
    portraits = dataset_pairs(dataset, "retain_synth", size)
    sensitive = dataset_pairs(dataset, "sensitive", size) if which == "compromised" else Pairs.empty(size)
    retain = joined(scenes, portraits)
    with export.whole_folder(out_dir) as folder:
        tokenizer = _tokenizer(settings, retain.texts, folder)
        model = create_model(settings.model, integer(settings.seed, "pair", "weights"))
        pairs = joined(retain, sensitive)
        epochs = loop.plan(settings.seed, settings.epochs, len(retain), len(sensitive), settings.batch_size)
        with loop.reproducible(threads):
            curve = loop.fit(
                model,
                pairs.images,
                tokenizer(pairs.texts),
                epochs,
                settings.learning_rate,
                settings.weight_decay,
                progress,
            )
        weights_sha256 = export.write_model(folder, model, settings.model, tokenizer)
        export.write_record(
            folder,
            {
                "which": which,
                "fingerprint": fingerprint,
                "settings": settings.model_dump(mode="json"),
                "dataset_digest": dataset.digest,
                "retain_pairs": len(retain),
                "scenes": len(scenes),
                "retain_synth": len(portraits),
                "sensitive_pairs": len(sensitive),
                "seen": len(pairs) * settings.epochs,
                "steps": curve[-1]["step"],
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
                "threads": threads,
                "seconds": round(time.perf_counter() - began, 2),
                "weights_sha256": weights_sha256,
                "versions": {package: version(package) for package in PACKAGES},
                "curve": curve,
            },
        )
    return True


def _tokenizer(settings: PairSettings, captions: list[str], folder: Path):
    """The pair's tokenizer, written into the folder and read from there as a user of the model will."""
    from open_clip.tokenizer import HFTokenizer

    text = configuration(settings.model)["text_cfg"]
    train_tokenizer(captions, settings.seed, text["vocab_size"], text["context_length"]).save_pretrained(folder)
    return HFTokenizer(str(folder), context_length=text["context_length"])
