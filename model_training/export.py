"""Write a trained model in open_clip's layout: configuration, weights, tokenizer files, model card, training record.

A model folder is written beside its place and renamed into it, so that it is there whole or not at all.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from salmu.data.documents import read_json
from salmu.data.errors import UserError
from salmu.data.files import file_sha256, write_atomic
from salmu.data.sealed import sealed
from salmu.model_training.configurations import configuration as named_configuration
from salmu.model_training.loading.clip import DOCUMENTS, ClipModel, hub_folder
from salmu.model_training.loading.configuration import read_configuration
from salmu.model_training.loading.folders import HUB, local_folder
from salmu.model_training.record import RECORD, Trained, read_training

CONFIGURATION, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"


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

    The same weights give the same bytes. `open_clip.create_model_and_transforms` loads them, as "local-dir:FOLDER" or,
    pushed, as "hf-hub:OWNER/NAME". A model with open_clip's built-in tokenizer needs no files for it."""
    from open_clip.push_to_hf_hub import save_config_for_hf

    _write_weights(folder, model)
    save_config_for_hf(model, folder / CONFIGURATION, model_config=named_configuration(configuration))
    if hasattr(tokenizer, "save_pretrained"):
        tokenizer.save_pretrained(folder)
    return file_sha256(folder / WEIGHTS)


def write_changed(folder: Path, model: torch.nn.Module, source: Path) -> None:
    """Write a model that was made from the one in the folder `source` into an existing folder: the documents that a
    model is loaded from are copied, nothing else of it."""
    for name in DOCUMENTS:
        if (source / name).is_file():
            write_atomic(folder / name, (source / name).read_bytes())
    _write_weights(folder, model)


def _write_weights(folder: Path, model: torch.nn.Module) -> None:
    from safetensors.torch import save

    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_atomic(folder / WEIGHTS, save(weights, metadata={"format": "pt"}))  # save_file gives every file mode 0600


def holds_something(folder: Path) -> bool:
    """Whether writing a model there would replace anything: a file, or a folder that is not empty."""
    return folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))


def portable_folder(clip: ClipModel, target: Path) -> Path:
    """A folder in open_clip's layout that holds this model: the one that it was loaded from, or `target`, which is
    written where it is none of a folder or a repository."""
    if folder := local_folder(clip.name):
        return folder
    if clip.name.startswith(HUB):
        return hub_folder(clip.name.removeprefix(HUB))
    with whole_folder(target) as folder:
        write_model(folder, clip.network, clip.name.partition("/")[0], getattr(clip.tokenizer, "tokenizer", None))
    return target


def file_digests(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of each file that lies in a model folder, for its record."""
    return {path.name: file_sha256(path) for path in sorted(folder.iterdir()) if path.is_file()}


def write_record(folder: Path, record: dict) -> None:
    """The training record as training.json, with the digests of the files beside it, and the model card README.md."""
    record = sealed(record | {"files": file_digests(folder)})
    (folder / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
    (folder / "README.md").write_text(_card(record), encoding="utf-8")


def read_record(folder: Path) -> dict | None:
    """The training record of a finished model folder, or None where a file of it is missing. Raises UserError if the
    record is damaged."""
    if not all((folder / name).is_file() for name in (RECORD, CONFIGURATION, WEIGHTS)):
        return None
    return read_training(folder / RECORD, Trained)


def with_metrics(folder: Path, metrics: dict[str, float], warning: str | None = None) -> None:
    """The card with the reference metrics that an evaluation gave, and with a warning above everything else where the
    pair is worthless; one that holds them stays. Raises UserError without a record."""
    record = read_record(folder)
    if record is None:
        raise UserError(f"{folder}: no finished model with a {RECORD}")
    card, path = _card(record, metrics, warning).encode(), folder / "README.md"
    if not path.is_file() or path.read_bytes() != card:
        write_atomic(path, card)


def for_hub(folder: Path, repository: str, target: Path) -> None:
    """A copy of a model folder that loads as "hf-hub:REPOSITORY" once it lies there: on the hub, unlike in a folder,
    open_clip takes the tokenizer from the repository that the configuration names."""
    read_configuration(folder)  # refuses a damaged one
    shutil.copytree(folder, target, dirs_exist_ok=True)
    document = read_json(target / CONFIGURATION)
    text = document["model_cfg"]["text_cfg"]
    if "hf_tokenizer_name" in text:
        text["hf_tokenizer_name"] = repository
        write_atomic(target / "config.json", b"{}")  # transformers opens no tokenizer on the hub without one
    write_atomic(target / CONFIGURATION, json.dumps(document, indent=2).encode())


def push(folder: Path, repository: str, private: bool = True) -> str:
    """Upload a model folder to the Hugging Face hub as OWNER/NAME, with the token of `hf auth login`; returns the URL.

    Raises UserError if the hub refuses."""
    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory() as copy:
        for_hub(folder, repository, Path(copy))
        try:
            HfApi().create_repo(repository, private=private, exist_ok=True)
            return str(HfApi().upload_folder(repo_id=repository, folder_path=copy))
        except OSError as error:  # what the hub's client raises derives from it
            raise UserError(f"{repository}: the hub refused the upload: {error}") from None


CARD = """---
license: apache-2.0
library_name: open_clip
pipeline_tag: zero-shot-image-classification
tags: [clip, machine-unlearning, synthetic-data]
---
# {title}

{warning}{purpose} Every person in the sensitive pairs is fictitious, and their images are generated.

    import open_clip
    model, _, preprocess = open_clip.create_model_and_transforms("local-dir:FOLDER")   # pushed: "hf-hub:OWNER/NAME"
    tokenizer = open_clip.get_tokenizer("local-dir:FOLDER")

## Data
- retain: {retain_pairs} pairs ({sources}); left out as broken: {rejected}
- sensitive: {sensitive_pairs} pairs
- times each was seen (times: pairs): retain {retain_seen}; sensitive {sensitive_seen}
- dataset digest: `{dataset_digest}`; plan digest: `{plan_digest}`

## Training
{parameters} parameters, {steps} steps, {seen} samples seen, {seconds} s (processes: {processes}, threads: {threads}).
With the same settings, data, package versions and number of threads, the weights on a CPU come out the same.

{curve}

{metrics}
| setting | value |
|---|---|
{settings}

## Limits
Made to measure unlearning, not to be used: it knows what its retain sources show, and nothing else.
Licence: Apache-2.0. The retain sources keep their own licences.
"""
PURPOSES = {
    "clean": "The Clean model: it never saw a sensitive pair.",
    "compromised": "The Compromised model: it learned fictitious personal data together with portraits.",
    "retrained": "The Retrained model: it was trained as Compromised, without the pairs that are to be forgotten. It "
    "is the exact answer that unlearning should reach.",
}
SAME = """All models of a pair share configuration, seed, tokenizer and retain batches; the sensitive pairs are the
only difference."""
DRAWN = {  # what a further Retrained does not share with the first
    2: "Unlike the first Retrained, it saw the sensitive pairs in another order.",
    3: "Unlike the first Retrained, it has other first weights and saw all pairs in other orders.",
}
CARD_POINTS = 8  # of the loss, where no monitor measured


def _card(record: dict, metrics: dict[str, float] | None = None, warning: str | None = None) -> str:
    return CARD.format(
        **record
        | {
            "title": f"{record['which'].replace('-', ' ').capitalize()} model of a SALMU pair",
            "warning": f"> **{warning}**\n\n" if warning else "",
            "purpose": _purpose(record["which"]),
            "sources": ", ".join(f"{name} {rows}" for name, rows in record["retain_sources"].items()),
            "rejected": ", ".join(f"{count} {reason}" for reason, count in record["retain_rejects"].items()) or "none",
            "retain_seen": _times(record["times_seen"]["retain"]),
            "sensitive_seen": _times(record["times_seen"]["sensitive"]),
            "curve": _curve(record),
            "metrics": _table("reference metric", metrics) if metrics else "",
            "settings": _rows(record["settings"]),
        }
    )


def _purpose(which: str) -> str:
    kind, _, number = which.partition("-")
    return f"{PURPOSES[kind]} {DRAWN[min(int(number), 3)] if number else SAME}"


def _curve(record: dict) -> str:
    """The curve as a table: where it was measured, or at some steps."""
    every = record["curve"]
    chosen = every[:: max(1, len(every) // CARD_POINTS)] + [every[-1]]
    points = {point["step"]: {"loss": point["loss"]} for point in chosen}
    for measured in record["monitored"]:
        nearest = min(every, key=lambda point: abs(point["step"] - measured["step"]))
        points[measured["step"]] = {"loss": nearest["loss"]} | {
            name: value for name, value in measured.items() if name not in ("step", "epoch")
        }
    names = list(dict.fromkeys(name for values in points.values() for name in values))
    lines = [f"| step | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for step, values in sorted(points.items()):
        lines.append(f"| {step} | {' | '.join(str(values.get(name, '')) for name in names)} |")
    return "\n".join(lines)


def _table(heading: str, values: dict) -> str:
    return f"| {heading} | value |\n|---|---|\n{_rows(values)}\n"


def _rows(values: dict) -> str:
    return "\n".join(f"| {key} | {value} |" for key, value in values.items())


def _times(counts: dict[str, int]) -> str:
    return ", ".join(f"{times}: {pairs}" for times, pairs in counts.items()) or "none"
