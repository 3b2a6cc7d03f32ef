"""The fragile set: the neutral pairs that a pair's reference models have learned least. They break first.

It is chosen without a look at any unlearned model, by the cosine of image and own caption: standardised for each
reference model over the rows of retain_disjoint, and averaged over the models. models/fragile_set.json keeps that."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from salmu.data.files import write_atomic
from salmu.data.keyed import digest
from salmu.data.readers import open_dataset
from salmu.data.sealed import read_sealed, sealed
from salmu.evaluation.encoding.settings import EvaluationSettings

RECORD = "fragile_set.json"
REFERENCES = ("clean", "compromised", "retrained")  # that choose; further Retrained models change nothing


class Strengths(BaseModel):
    """The record: what was measured, and of which models and dataset."""

    model_config = ConfigDict(extra="allow", strict=True)
    dataset_digest: str
    models: dict[str, str]  # name -> digest of its weights
    strengths: dict[str, Annotated[float, Field(allow_inf_nan=False)]]  # file name -> mean standardised cosine


def fragile_set(models: Path, share: float, dataset_digest: str) -> list[str]:
    """The file names of a dataset's fragile set, the weakest first: this share of the rows that the pair in the folder
    `models`, a path or URL, was measured on. Empty where that is another dataset, or nothing was measured.

    Raises UserError for a damaged record."""
    record = read_strengths(models / RECORD)
    if record is None or record["dataset_digest"] != dataset_digest:
        return []
    weakest = sorted(record["strengths"].items(), key=lambda row: (row[1], row[0]))
    return [file_name for file_name, _ in weakest[: round(share * len(weakest))]]


def fragile_digest(file_names: Iterable[str]) -> str:
    """What identifies a fragile set."""
    return digest("fragile set", sorted(file_names))


def read_strengths(path: Path) -> dict | None:
    """The record in a file; None if there is none. Raises UserError if it is damaged."""
    return read_sealed(path, Strengths, "remove it and run again to have the models measured again")


def measure_strengths(
    settings: EvaluationSettings,
    models: Path,
    pair: Sequence[str],
    dataset_dir: Path,
    cache: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Measure retain_disjoint with the reference models among those of a `pair`, in the folder `models`, and write the
    record, unless it is of these weights and this dataset already.

    `cache`: as of `evaluate`, which finds there what was encoded here; `progress(done, total)` counts images. Raises
    UserError for a dataset or model that cannot be read."""
    from salmu.evaluation.encoding.embeddings import Encoder
    from salmu.evaluation.encoding.pairs import encoded_pairs
    from salmu.model_training.loading.clip import load_model
    from salmu.model_training.loop import reproducible
    from salmu.model_training.record import RECORD as TRAINING
    from salmu.model_training.record import read_training

    dataset, names = open_dataset(dataset_dir), [name for name in REFERENCES if name in pair]
    digests = {name: read_training(models / name / TRAINING)["model_digest"] for name in names}
    about = {"dataset_digest": dataset.digest, "models": digests}
    held = read_strengths(models / RECORD)
    if held and about.items() <= held.items():
        return
    rows = dataset.table("retain_disjoint", "file_name").column("file_name").to_pylist()
    done, total = 0, len(names) * dataset.table("retain_synth", "file_name").num_rows

    def tick(images: int) -> None:
        nonlocal done
        done += images
        progress(done, total)

    standardised = []
    with reproducible(settings.threads):
        for name in names:
            clip = load_model(models / name, settings.device)
            encoder = Encoder(clip, settings.batch_size, dataset.digest, cache, tick, settings.precision)
            chosen = encoded_pairs(dataset, "retain_synth", encoder).named(rows)
            cosines = chosen.cosines.astype(np.float64)
            standardised.append((cosines - cosines.mean()) / (cosines.std() or 1) if len(cosines) else cosines)
    means = np.mean(standardised, 0).round(6).tolist()
    record = sealed(about | {"strengths": dict(zip(chosen.file_name.tolist(), means, strict=True))})
    write_atomic(models / RECORD, (json.dumps(record, indent=1) + "\n").encode())
