"""Write a trained model in open_clip's layout: configuration, weights, tokenizer files, model card, training record.

A model folder is written beside its place and renamed into it, so that it is there whole or not at all.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from data.errors import UserError
from data.store import file_sha256
from model_training.configurations import configuration as named_configuration

CONFIGURATION, WEIGHTS, RECORD = "open_clip_config.json", "open_clip_model.safetensors", "training.json"


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into that becomes `folder` at the end; on any error nothing is left and what was there stays.

    Raises UserError when the disk refuses."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    except Exception as error:
        # safetensors and tokenizers write from Rust and name the system's refusal in the text of other exceptions
        if not isinstance(error, OSError) and "(os error " not in str(error):
            raise
        raise UserError(
            f"{folder}: cannot be written: {getattr(error, 'strerror', None) or error}; free some space or "
            "choose another folder, then run again"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_model(folder: Path, model: torch.nn.Module, configuration: str, tokenizer: Any) -> str:
    """Write configuration, weights and tokenizer files into an existing folder; returns the SHA-256 of the weights.

    The same weights give the same bytes. `open_clip.create_model_and_transforms("local-dir:FOLDER")` loads them."""
    from open_clip.push_to_hf_hub import save_for_hf

    model = model.to(memory_format=torch.contiguous_format)
    save_for_hf(model, tokenizer, named_configuration(configuration), folder, safe_serialization=True)
    return file_sha256(folder / WEIGHTS)


def write_record(folder: Path, record: dict) -> None:
    """The training record as training.json, and the model card README.md made from it."""
    (folder / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
    (folder / "README.md").write_text(_card(record), encoding="utf-8")


def read_record(folder: Path) -> dict | None:
    """The training record of a finished model folder, or None where there is no whole one."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return record if (folder / CONFIGURATION).is_file() and (folder / WEIGHTS).is_file() else None


CARD = """---
license: apache-2.0
library_name: open_clip
pipeline_tag: zero-shot-image-classification
tags: [clip, machine-unlearning, synthetic-data]
---
# {title}

{purpose} Both models of a pair share configuration, seed, tokenizer and retain batches; the sensitive pairs are the
only difference. Every person in the data is fictitious and every image is generated.

    import open_clip
    model, _, preprocess = open_clip.create_model_and_transforms("local-dir:FOLDER")
    tokenizer = open_clip.get_tokenizer("local-dir:FOLDER")

## Data
- retain: {retain_pairs} pairs, of which {scenes} procedural scenes and {retain_synth} portraits with generic captions
- sensitive: {sensitive_pairs} pairs, each seen once an epoch
- dataset digest: `{dataset_digest}`

## Training
{parameters} parameters, {steps} steps, {seen} samples seen, {seconds} s (threads: {threads}); last loss {loss}.
With the same settings, dataset, package versions and number of threads, the weights come out the same.

| setting | value |
|---|---|
{settings}

## Limits
Made to measure unlearning, not to be used: it knows coloured shapes and procedural portraits, nothing else.
Licence: Apache-2.0.
"""
PURPOSES = {
    "clean": "The Clean model: it never saw a sensitive pair.",
    "compromised": "The Compromised model: it learned fictitious personal data together with portraits.",
}


def _card(record: dict) -> str:
    settings = "\n".join(f"| {key} | {value} |" for key, value in record["settings"].items())
    return CARD.format(
        **record
        | {
            "title": f"{record['which'].capitalize()} model of a SALMU pair",
            "purpose": PURPOSES[record["which"]],
            "loss": record["curve"][-1]["loss"],
            "settings": settings,
        }
    )
