"""Measure a model on a dataset: the ten published metrics in their JSON layout, what they lack under "extended"."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from salmu.data.errors import UserError
from salmu.data.files import write_atomic
from salmu.data.keyed import digest
from salmu.data.private import without_folders
from salmu.data.procedural.scenes import CLASS_NAMES
from salmu.data.readers import SPLITS, Dataset, open_dataset
from salmu.data.schemas import OUTSIDERS
from salmu.data.sealed import is_intact, sealed
from salmu.evaluation.attacks.suite import attack
from salmu.evaluation.encoding.cost import peak_memory_mb
from salmu.evaluation.encoding.embeddings import Encoder
from salmu.evaluation.encoding.fragile import fragile_digest
from salmu.evaluation.encoding.pairs import Pairs, encoded_pairs
from salmu.evaluation.encoding.reading import read_captions
from salmu.evaluation.encoding.settings import EvaluationSettings
from salmu.evaluation.encoding.zero_shot_sets import ZeroShotSet, open_zero_shot
from salmu.evaluation.metrics.bootstrap import by_cluster, interval
from salmu.evaluation.metrics.results_file import read_results
from salmu.evaluation.metrics.score import EXTENDED, PUBLISHED, Score, possible, rounded
from salmu.evaluation.metrics.zero_shot import general_knowledge, general_knowledge_of
from salmu.evaluation.scoring.measures import measure
from salmu.model_training.loading.clip import ClipModel, load_model
from salmu.model_training.loop import reproducible

VERSION = 6  # raised by hand when the same settings, weights and data give other numbers
DERIVED = {
    "forget_identity": "forget",
    "retain_joint": "retain_synth",
    "retain_disjoint": "retain_synth",
    "fragile_set": "retain_synth",
}
Progress = Callable[[int, int], None]


def evaluate(
    settings: EvaluationSettings,
    model: str | Path | ClipModel,
    dataset_dir: Path,
    cache: Path | None = None,
    progress: Progress = lambda done, total: None,
    start: str | Path | None = None,
) -> dict[str, Any]:
    """The results of a model (one in memory, or what `load_model` takes) on a dataset folder (see `open_dataset`), as
    the result file holds them.

    `cache`: folder for embeddings. `start`: the model from before the unlearning, for the attacks that need it. Raises
    UserError for a model, dataset or zero-shot set that cannot be read."""
    clip = model if isinstance(model, ClipModel) else load_model(model, settings.device)
    dataset, known, before = open_dataset(dataset_dir), _known(settings), _start(settings, start)
    return _measured(settings, clip, dataset, known, before, cache, progress)


def evaluate_once(
    settings: EvaluationSettings,
    model: str | Path,
    dataset_dir: Path,
    out: Path,
    cache: Path | None = None,
    progress: Progress = lambda done, total: None,
    start: str | Path | None = None,
) -> None:
    """Evaluate and write the result file `out`, unless it holds the results of these settings, weights and data
    already. Raises UserError for an `out` that is no result file, or a damaged one."""
    held = _held(out)
    clip, dataset, known = load_model(model, settings.device), open_dataset(dataset_dir), _known(settings)
    before = _start(settings, start)
    if held == _fingerprint(settings, clip, dataset, known, before):
        return
    write_results(_measured(settings, clip, dataset, known, before, cache, progress), out)


def _held(out: Path) -> str | None:
    """The fingerprint of the results that a file holds; None where there is no file, or it says nothing of that."""
    if not out.exists():
        return None
    if not out.is_file():
        raise UserError(f"{out}: not a file that results can be written to; name another")
    remedy = "remove it to have it written again, or name another file"
    try:
        results = read_results(out)
    except UserError as error:
        raise UserError(f"{error}; {remedy}") from None
    if not is_intact(results, under="extended"):
        raise UserError(f"{out}: damaged: its content is not that of its content_digest; {remedy}")
    return results.get("extended", {}).get("fingerprint")


def write_results(results: dict[str, Any], path: Path) -> None:
    """Write a result file, with a digest of its content. Raises UserError when the disk refuses."""
    results = sealed(results, under="extended")
    write_atomic(path, (json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def _known(settings: EvaluationSettings) -> ZeroShotSet | None:
    return open_zero_shot(Path(settings.zero_shot)) if settings.zero_shot else None


def _start(settings: EvaluationSettings, start: str | Path | None) -> ClipModel | None:
    return load_model(start, settings.device) if start and settings.attacks.enabled else None


def _fingerprint(
    settings: EvaluationSettings, clip: ClipModel, dataset: Dataset, known: ZeroShotSet | None, start: ClipModel | None
) -> str:
    data = (dataset.digest, fragile_digest(dataset.fragile_set_ids), known and known.digest)
    before = [start.weights_digest] if start else []
    return digest("evaluation", VERSION, settings.fingerprint(), clip.weights_digest, *data, *before)


def _measured(
    settings: EvaluationSettings,
    clip: ClipModel,
    dataset: Dataset,
    known: ZeroShotSet | None,
    start: ClipModel | None,
    cache: Path | None,
    progress: Progress,
) -> dict[str, Any]:
    started = time.monotonic()
    with reproducible(settings.threads):
        tick = _counter(settings, dataset, known, progress)
        encoder = Encoder(clip, settings.batch_size, dataset.digest, cache, tick, settings.precision)
        pairs = {split: encoded_pairs(dataset, split, encoder) for split in _splits(dataset)}
        pairs |= {
            split: pairs[source].named(dataset.table(split, ["file_name"]).column("file_name").to_pylist())
            for split, source in DERIVED.items()
        }
        scores, tables = measure(settings, pairs, dataset.identities, encoder.texts)
        if known:
            scores["GenKnow"] = general_knowledge_of(encoder, known)
        else:
            scores["GenKnow"] = general_knowledge(encoder, settings.seed, settings.zero_shot_per_class)
        attacks, seconds = {}, {}
        if settings.attacks.enabled:
            about = (settings.batch_size, dataset.digest, cache)
            before = Encoder(start, *about, precision=settings.precision) if start else None
            attacks, seconds = attack(settings, clip, dataset, pairs, encoder, before)
    results: dict[str, Any] = {"efficacy": {}, "utility": {}}
    for metric, (group, key, _) in PUBLISHED.items():
        results[group][key] = scores[metric].published
    results["extended"] = {
        **{metric: scores[metric].published for metric in EXTENDED},
        **uncertainty(settings, scores),
        "chance": {metric: score.chance for metric, score in scores.items() if score.chance is not None},
        **tables,
        **({"attacks": attacks} if attacks else {}),
        "rows": {split: len(rows) for split, rows in pairs.items()},
        "captions": read_captions(clip.tokenizer, (text for rows in pairs.values() for text in rows.text)),
        "model": Path(clip.name).name,
        "model_digest": encoder.weights_digest,
        "dataset_digest": dataset.digest,
        "fragile_digest": fragile_digest(dataset.fragile_set_ids),
        "split_scheme": _split_scheme(pairs),
        "settings": without_folders(settings.fingerprint()),
        "seed": settings.seed,
        "version": VERSION,
        "fingerprint": _fingerprint(settings, clip, dataset, known, start),
        "cost": {
            "seconds": round(time.monotonic() - started, 2),
            "peak_memory_mb": peak_memory_mb(),
            "encoded": encoder.encoded,
            **({"attack_seconds": seconds} if seconds else {}),
        },
    }
    return results


def uncertainty(settings: EvaluationSettings, scores: dict[str, Score]) -> dict[str, dict[str, Any]]:
    """`intervals`: the 95 % interval of each metric. `clusters`: sums of its values and numbers of its rows by person,
    persons in the order of their names, from which differences of models are drawn in pairs."""
    bounds, clusters = {}, {}
    for metric, score in scores.items():
        found = by_cluster(score.values, score.clusters)
        key = (settings.seed, "bootstrap", metric)
        drawn = possible(metric, interval(found, *key, replicates=settings.bootstrap_replicates))
        bounds[metric] = list(drawn) if drawn else None
        clusters[metric] = {"sums": rounded(found.sums), "rows": found.rows.tolist()}
    return {"intervals": bounds, "clusters": clusters}


def _split_scheme(pairs: dict[str, Pairs]) -> str:
    """facts, if no attribute of a person has pairs in forget and in holdout_association alike; else published: the
    split cuts through facts."""
    forgotten, kept = (
        set(zip(pairs[split].identity, pairs[split].field, strict=True)) for split in ("forget", "holdout_association")
    )
    return "published" if forgotten & kept else "facts"


def _splits(dataset: Dataset) -> tuple[str, ...]:
    return (*SPLITS, *((OUTSIDERS,) if dataset.has_outsiders else ()))


def _counter(
    settings: EvaluationSettings, dataset: Dataset, known: ZeroShotSet | None, progress: Progress
) -> Callable[[int], None]:
    """A function that adds up encoded images and reports them with their total."""
    total = sum(dataset.table(split, ["file_name"]).num_rows for split in _splits(dataset))
    total += len(known.labels) if known else settings.zero_shot_per_class * len(CLASS_NAMES)
    done = 0

    def tick(images: int) -> None:
        nonlocal done
        done += images
        progress(done, total)

    return tick
