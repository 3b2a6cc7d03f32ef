"""Does a model that forgot a fact still know what kind of fact it was?

Each fact of the forget split gets a coarse caption: the country in the place of the city, the field of work in the
place of the job, the beginning of a number in the place of the number. Every model of the run ranks three galleries
(MEASURES). One more model is trained, COARSE: Compromised's batches, with the coarse captions in the place of those of
the forget pairs. It shows what is known where the coarse fact was said and the exact one never was."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from salmu.data.errors import UserError
from salmu.data.keyed import digest
from salmu.data.readers import Dataset, open_dataset
from salmu.data.tables import digest as tables_digest
from salmu.evaluation.attacks.outcome import Outcome, document
from salmu.evaluation.encoding.embeddings import Encoder
from salmu.evaluation.encoding.pairs import Pairs, encoded_pairs
from salmu.evaluation.encoding.run_models import models_of
from salmu.evaluation.encoding.settings import EvaluationSettings
from salmu.evaluation.granularity.coarse import coarse_captions
from salmu.evaluation.granularity.questions import Asked, Gallery, ask
from salmu.evaluation.granularity.results import COARSE, FOLDER, read_granularity, write_granularity
from salmu.evaluation.metrics.bootstrap import Sums, interval
from salmu.evaluation.metrics.retrieval import chance, rank_among
from salmu.model_training.loading.clip import load_model
from salmu.model_training.loop import reproducible
from salmu.model_training.pair import train
from salmu.model_training.settings import PairSettings
from salmu.prompts import loader

VERSION = 2  # raised by hand when the same settings, weights and data give other numbers
REFERENCES = ("clean", "compromised", "retrained", COARSE)  # from which all models' differences are told
Progress = Callable[[int, int], None]


def granularity(
    run_folder: Path,
    settings: EvaluationSettings,
    pair: PairSettings,
    training: Progress = lambda done, total: None,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Bring granularity/ of a run up to date with its models; returns the results (see `Granularity`). The coarse model
    and finished measurements are kept. `training` counts steps, `progress` models.

    Raises UserError where the run's dataset or models are missing, or nothing can be asked."""
    dataset, chosen = open_dataset(run_folder / "dataset"), settings.granularity
    models = models_of(run_folder)
    if chosen.coarse_model:
        models[COARSE] = train_coarse(run_folder, dataset, pair, training)
    with reproducible(settings.threads):
        drawn_by = (settings.seed, settings.bootstrap_replicates, settings.batch_size, settings.threads)
        texts = (loader.digest("coarse"), tables_digest())
        fingerprint = digest("granularity", VERSION, chosen.fingerprint(), *drawn_by, *texts, dataset.digest)
        held, asked = read_granularity(run_folder), None
        results = held if held and held["fingerprint"] == fingerprint else {"fingerprint": fingerprint, "models": {}}
        for done, (name, folder) in enumerate(models.items()):
            progress(done, len(models))
            clip = load_model(folder, settings.device)
            if results["models"].get(name, {}).get("model_digest") == clip.weights_digest:
                continue
            cache = run_folder / "cache"
            encoder = Encoder(clip, settings.batch_size, dataset.digest, cache, precision=settings.precision)
            pairs = encoded_pairs(dataset, "forget", encoder)
            asked = asked or asked_of(pairs, dataset, settings)
            results |= {
                "version": VERSION,
                "rows": len(asked.rows),
                "people": len(set(pairs.person[asked.rows])),
                "left_out": asked.left_out,
            }
            found = measured(settings, pairs, asked, encoder)
            results["models"][name] = {"model_digest": clip.weights_digest, "measures": found}
            write_granularity(compared(results, settings), run_folder)
        progress(len(models), len(models))
    results["models"] = {name: results["models"][name] for name in models}
    write_granularity(compared(results, settings), run_folder)
    return results


def asked_of(pairs: Pairs, dataset: Dataset, settings: EvaluationSettings) -> Asked:
    """What the settings ask of the forget pairs. Raises UserError if that is nothing."""
    asked = ask(pairs, dataset.identities, settings.granularity.rows, settings.granularity.captions, settings.seed)
    if not len(asked.rows):
        reasons = ", ".join(f"{reason}: {count}" for reason, count in asked.left_out.items()) or "it is empty"
        raise UserError(f"{dataset.folder}: no pair of the split forget can be asked about coarsely ({reasons})")
    return asked


def train_coarse(run_folder: Path, dataset: Dataset, pair: PairSettings, progress: Progress) -> Path:
    """The folder of COARSE, trained if it is not there."""
    rows = dataset.table("forget", ["file_name", "identity_id", "data_field", "value"]).to_pylist()
    captions, folder = coarse_captions(rows, dataset.identities, pair.seed), run_folder / FOLDER / COARSE
    index = run_folder / "models" / "index"
    train(pair, run_folder / "dataset", folder, "compromised", progress, index=index, captions=captions)
    return folder


def measured(settings: EvaluationSettings, pairs: Pairs, asked: Asked, encoder: Encoder) -> dict[str, Any]:
    """What a model knows by each measure, from the forget pairs as it encodes them."""
    told, people, field = {}, pairs.person[asked.rows], pairs.field[asked.rows]
    for measure, gallery in asked.galleries.items():
        right, wrong = encoder.texts(gallery.right), encoder.texts(gallery.wrong)
        by_portrait = [
            reciprocal_ranks(pairs.images[rows], right, wrong, gallery) for rows in (asked.rows, asked.others)
        ]
        own, others = (
            _rank(settings, values, people, sizes, measure, whose)
            for whose, (values, sizes) in zip(("own", "others"), by_portrait, strict=True)
        )
        values, sizes = by_portrait[0]
        of_fields = {
            one: _rank(settings, *(part[field == one] for part in (values, people, sizes)), measure, one)
            for one in sorted(set(field))
        }
        told[measure] = {"own": own, "others": others, "fields": of_fields}
    return told


def reciprocal_ranks(
    images: np.ndarray, right: np.ndarray, wrong: np.ndarray, gallery: Gallery
) -> tuple[np.ndarray, np.ndarray]:
    """1 / rank of each image's right caption, and how many captions it was ranked among. images, right: [n, d]; wrong:
    [m, d], as the gallery has them."""
    ranks, sizes = rank_among(images, np.einsum("nd,nd->n", images, right), gallery.row, wrong)
    return 1 / ranks, sizes


def _rank(settings: EvaluationSettings, values: np.ndarray, people: np.ndarray, sizes: np.ndarray, *key) -> dict:
    outcome = Outcome(values, people, chance(sizes), {})
    key = (settings.seed, "granularity", *key)
    return document(outcome, *key, replicates=settings.bootstrap_replicates, share=True)


def compared(results: dict[str, Any], settings: EvaluationSettings) -> dict[str, Any]:
    """The results with how far each model lies above each of REFERENCES, people drawn in pairs."""
    models, count = results["models"], settings.bootstrap_replicates
    for model in models.values():
        for measure, found in model["measures"].items():
            own, found["minus"] = Sums.read(found["own"]["clusters"]), {}
            for name in REFERENCES:
                if name in models:
                    other = Sums.read(models[name]["measures"][measure]["own"]["clusters"])
                    drawn = interval(own, settings.seed, "granularity", measure, "own", other=other, replicates=count)
                    found["minus"][name] = {"value": own.mean - other.mean, "interval": list(drawn) if drawn else None}
    return results
