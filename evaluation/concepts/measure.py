"""Measures a model of the concepts' pair, or one that was to forget: concepts/results/<model>.json."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from salmu.data.keyed import digest
from salmu.data.pictures import decode_files
from salmu.data.readers import Dataset, open_dataset
from salmu.evaluation.attacks.outcome import Outcome, document
from salmu.evaluation.concepts.plan import UNSEEN, plan
from salmu.evaluation.concepts.questions import answers, question_of
from salmu.evaluation.concepts.results import read_measured, results_file, write_measured
from salmu.evaluation.concepts.settings import ConceptSettings
from salmu.evaluation.encoding.embeddings import Encoder
from salmu.evaluation.encoding.settings import EvaluationSettings
from salmu.evaluation.metrics.zero_shot import general_knowledge
from salmu.model_training.loading.clip import load_model
from salmu.model_training.loop import reproducible

VERSION = 3  # raised by hand when the same settings, weights and data give other numbers
ASKED = ("forget", "holdout_association", UNSEEN)  # splits with pictures that are asked about


def measure(
    settings: ConceptSettings,
    evaluation: EvaluationSettings,
    home: Path,
    name: str,
    model: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """The results of a model on the dataset in home/dataset, written to home/results/NAME.json; kept if they are up to
    date. Raises UserError for a model or a dataset that cannot be read."""
    dataset, clip = open_dataset(home / "dataset"), load_model(model, evaluation.device)
    drawn_by = (settings.seed, evaluation.bootstrap_replicates, evaluation.zero_shot_per_class, evaluation.precision)
    about = (VERSION, settings.fingerprint(), *drawn_by, evaluation.threads)
    fingerprint = digest("concepts", *about, dataset.digest, clip.weights_digest)
    path = results_file(home, name)
    if (held := read_measured(path)) and held["fingerprint"] == fingerprint:
        return held
    made = plan(settings)
    total, done = sum(item.split in ASKED for item in made.items), 0

    def tick(images: int) -> None:
        nonlocal done
        done = min(done + images, total)
        progress(done, total)

    with reproducible(evaluation.threads):
        encoder = Encoder(clip, evaluation.batch_size, dataset.digest, None, tick, evaluation.precision)
        items, images = [], []
        for split in ASKED:
            own = [item for item in made.items if item.split == split]
            embedded = _images(dataset, split, encoder)
            chosen = [question_of(item) is not None for item in own]
            items += [item for item, wanted in zip(own, chosen, strict=True) if wanted]
            images.append(embedded[chosen])
        found = answers(made, items, np.concatenate(images), encoder.texts)
        known = general_knowledge(encoder, settings.seed, evaluation.zero_shot_per_class)
    replicates = evaluation.bootstrap_replicates
    results = {
        "version": VERSION,
        "fingerprint": fingerprint,
        "model_digest": clip.weights_digest,
        "dataset_digest": dataset.digest,
        "settings": settings.fingerprint(),
        "questions": {
            question: {
                measured: document(
                    Outcome(part.values, part.concepts, part.chance, {}),
                    *(settings.seed, "concepts", question, measured),
                    replicates=replicates,
                    share=True,
                )
                for measured, part in parts.items()
            }
            for question, parts in found.items()
        },
        "GenKnow": {"value": float(known.values.mean()), "chance": known.chance},
    }
    write_measured(results, path)
    return results


def _images(dataset: Dataset, split: str, encoder: Encoder) -> np.ndarray:
    """Embeddings of a split's pictures, in the order of its file."""
    table = dataset.table(split, ["file_name", "image"])
    files = ((row["file_name"], row["image"]["bytes"]) for row in table.to_pylist())
    return encoder.images(split, decode_files(files), len(table))
