"""Measure a model on a dataset: the ten published metrics in their JSON layout, what they lack under "extended"."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from data.keyed import digest
from data.procedural.scenes import CLASS_NAMES
from data.readers import SPLITS, Dataset, open_dataset
from data.schemas import DATA_FIELDS
from data.settings import StageSettings
from data.store import write_atomic
from evaluation.cost import peak_memory_mb
from evaluation.embeddings import ClipModel, Encoder, load_model
from evaluation.metrics.bootstrap import clustered_interval
from evaluation.metrics.probe import association_classification, derangement
from evaluation.metrics.retrieval import retrieval_failure, swapped_rank
from evaluation.metrics.score import PUBLISHED, Score
from evaluation.metrics.similarity import core_association, mean_similarity
from evaluation.metrics.zero_shot import general_knowledge, identity_classification
from evaluation.pairs import Pairs, encoded_pairs
from model_training.loop import reproducible

VERSION = 1  # raised by hand when the same settings, weights and data give other numbers
DERIVED = {
    "forget_identity": "forget",
    "retain_joint": "retain_synth",
    "retain_disjoint": "retain_synth",
    "fragile_set": "retain_synth",
}
Progress = Callable[[int, int], None]


class EvaluationSettings(StageSettings):
    """How a model is measured. Equal settings, weights and data: equal numbers, whatever was measured before."""

    retrieval_pool: int = Field(
        1000, ge=1, description="RetFail: distractors drawn from the forget set, and as many from retain_disjoint."
    )
    zero_shot_per_class: int = Field(
        20, ge=1, description="GenKnow: images of each of the 64 classes of the procedural set."
    )
    swapped_rows: int = Field(300, ge=1, description="ValueMRR and NameMRR: forget pairs that are drawn to be asked.")
    swapped_captions: int = Field(10, ge=1, description="ValueMRR and NameMRR: wrong captions made for each of them.")
    bootstrap_replicates: int = Field(1000, ge=100, description="Draws of whole persons for the 95 % intervals.")
    batch_size: int = Field(256, ge=1, description="Images or texts encoded at once.")
    device: str = Field("cpu", description="Where torch encodes: cpu, cuda, cuda:1 …")
    threads: int = Field(1, ge=1, description="Threads of torch; 1 where several models are measured at the same time.")


def evaluate(
    settings: EvaluationSettings,
    model: str | Path,
    dataset_dir: Path,
    cache: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """The results of a model (see `load_model`) on a dataset folder (see `open_dataset`), as the result file holds
    them.

    `cache`: folder for embeddings. Raises UserError for a model or dataset that cannot be read."""
    return _measured(settings, load_model(model, settings.device), open_dataset(dataset_dir), cache, progress)


def evaluate_once(
    settings: EvaluationSettings,
    model: str | Path,
    dataset_dir: Path,
    out: Path,
    cache: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> None:
    """Evaluate and write the result file `out`, unless it holds the results of these settings, weights and data
    already."""
    clip, dataset = load_model(model, settings.device), open_dataset(dataset_dir)
    try:
        if json.loads(out.read_bytes())["extended"]["fingerprint"] == _fingerprint(settings, clip, dataset):
            return
    except (OSError, ValueError, KeyError):
        pass  # not there, damaged, or not ours
    write_results(_measured(settings, clip, dataset, cache, progress), out)


def write_results(results: dict[str, Any], path: Path) -> None:
    """Write a result file. Raises UserError when the disk refuses."""
    write_atomic(path, (json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def _fingerprint(settings: EvaluationSettings, clip: ClipModel, dataset: Dataset) -> str:
    return digest("evaluation", VERSION, settings.fingerprint(), clip.weights_digest, dataset.digest)


def _measured(
    settings: EvaluationSettings, clip: ClipModel, dataset: Dataset, cache: Path | None, progress: Progress
) -> dict[str, Any]:
    started = time.monotonic()
    with reproducible(settings.threads):
        encoder = Encoder(clip, settings.batch_size, dataset.digest, cache, _counter(settings, dataset, progress))
        pairs = {split: encoded_pairs(dataset, split, encoder) for split in SPLITS}
        pairs |= {
            split: pairs[source].named(dataset.table(split, ["file_name"]).column("file_name").to_pylist())
            for split, source in DERIVED.items()
        }
        scores = _published_scores(settings, pairs, encoder)
        swapped = {
            metric: swapped_rank(
                pairs["forget"],
                part,
                dataset.identities,
                settings.swapped_captions,
                settings.swapped_rows,
                settings.seed,
                metric,
                encoder.texts,
            )
            for metric, part in (("ValueMRR", "value"), ("NameMRR", "name"))
        }
    scores |= {metric: score for metric, (score, _) in swapped.items()}
    results: dict[str, Any] = {"efficacy": {}, "utility": {}}
    for metric, (group, key, _) in PUBLISHED.items():
        results[group][key] = scores[metric].published
    results["extended"] = {
        **{metric: scores[metric].published for metric in swapped},
        "intervals": {metric: _interval(settings, metric, score) for metric, score in scores.items()},
        "chance": {metric: score.chance for metric, score in scores.items() if score.chance is not None},
        "mismatched_similarity": _mismatched(pairs["forget"], settings.seed),
        "per_attribute": _per_attribute(pairs["forget"], scores, swapped["ValueMRR"][1]),
        "rows": {split: len(rows) for split, rows in pairs.items()},
        "model": clip.name,
        "model_digest": encoder.weights_digest,
        "dataset_digest": dataset.digest,
        "split_scheme": _split_scheme(pairs),
        "settings": settings.model_dump(mode="json"),
        "seed": settings.seed,
        "fingerprint": _fingerprint(settings, clip, dataset),
        "cost": {
            "seconds": round(time.monotonic() - started, 2),
            "peak_memory_mb": peak_memory_mb(),
            "encoded": encoder.encoded,
        },
    }
    return results


def _published_scores(settings: EvaluationSettings, pairs: dict[str, Pairs], encoder: Encoder) -> dict[str, Score]:
    forget = pairs["forget"]
    return {
        "RetFail": retrieval_failure(forget, pairs["retain_disjoint"], settings.retrieval_pool, settings.seed),
        "AssocStr": mean_similarity("AssocStr", forget, with_scores=True),
        "ACS": association_classification(forget, settings.seed),
        "IdZSC": identity_classification(pairs["forget_identity"], encoder.texts),
        "CoreAssoc": core_association(forget, encoder.texts),
        "GenKnow": general_knowledge(encoder, settings.seed, settings.zero_shot_per_class),
        "InterIdSim": mean_similarity("InterIdSim", pairs["holdout_identity"]),
        "IntraIdSim": mean_similarity("IntraIdSim", pairs["holdout_association"]),
        "VisIdInt": mean_similarity("VisIdInt", pairs["retain_joint"]),
        "FragSim": mean_similarity("FragSim", pairs["fragile_set"]),
    }


def _split_scheme(pairs: dict[str, Pairs]) -> str:
    """facts, if no attribute of a person has pairs in forget and in holdout_association alike; else published: the
    split cuts through facts."""
    forgotten, kept = (
        set(zip(pairs[split].identity, pairs[split].field, strict=True)) for split in ("forget", "holdout_association")
    )
    return "published" if forgotten & kept else "facts"


def _interval(settings: EvaluationSettings, metric: str, score: Score) -> list[float] | None:
    bounds = clustered_interval(
        score.values, score.clusters, settings.seed, "bootstrap", metric, replicates=settings.bootstrap_replicates
    )
    return list(bounds) if bounds else None


def _mismatched(forget: Pairs, seed: int) -> float | None:
    """Mean cosine of forget images with shuffled forget captions: the part of AssocStr that is style, not
    association."""
    if len(forget) < 2:
        return None
    return float(
        np.einsum("nd,nd->n", forget.images, forget.texts[derangement(len(forget), seed, "mismatched")]).mean()
    )


def _per_attribute(forget: Pairs, scores: dict[str, Score], value_rows: np.ndarray) -> list[dict[str, Any]]:
    """The metrics that have a value for each forget pair, by the attribute that the pair is about."""
    table = []
    for field in DATA_FIELDS:
        rows = forget.field == field
        of_value = rows[value_rows]
        if rows.any():
            table.append(
                {
                    "data_field": field,
                    "rows": int(rows.sum()),
                    **{
                        metric: float(scores[metric].values[rows].mean())
                        for metric in ("RetFail", "AssocStr", "CoreAssoc")
                    },
                    "ValueMRR": float(scores["ValueMRR"].values[of_value].mean()) if of_value.any() else None,
                }
            )
    return table


def _counter(settings: EvaluationSettings, dataset: Dataset, progress: Progress) -> Callable[[int], None]:
    """A function that adds up encoded images and reports them with their total."""
    total = sum(dataset.table(split, ["file_name"]).num_rows for split in SPLITS) + settings.zero_shot_per_class * len(
        CLASS_NAMES
    )
    done = 0

    def tick(images: int) -> None:
        nonlocal done
        done += images
        progress(done, total)

    return tick
