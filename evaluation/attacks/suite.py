"""All attacks on one model, in the order of the report. Each stands in a file of its own."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from salmu.data.readers import Dataset
from salmu.evaluation.attacks.few_shot import few_shot
from salmu.evaluation.attacks.gradient_membership import gradient_membership
from salmu.evaluation.attacks.name_search import name_search
from salmu.evaluation.attacks.outcome import Outcome, document, nothing
from salmu.evaluation.attacks.reattachment import reattachment
from salmu.evaluation.attacks.relearning import relearning
from salmu.evaluation.attacks.rounding import rounding
from salmu.evaluation.encoding.embeddings import Encoder
from salmu.evaluation.encoding.pairs import Pairs
from salmu.evaluation.encoding.settings import EvaluationSettings
from salmu.model_training.loading.clip import ClipModel

NO_START = "no start model is known; name it with --start"


def attack(
    settings: EvaluationSettings,
    clip: ClipModel,
    dataset: Dataset,
    pairs: dict[str, Pairs],
    encoder: Encoder,
    start: Encoder | None,
) -> tuple[dict[str, Any], dict[str, float]]:
    """Name of each attack -> what it found, as the result file holds it; and -> its seconds. The model stays as it is.

    `pairs`: those of every split and derived split. `start`: encodes with the model from before the unlearning."""
    chosen, seed, forget = settings.attacks, settings.seed, pairs["forget"]
    attacks: dict[str, Callable[[], Outcome]] = {
        "relearning": partial(relearning, settings, clip, dataset),
        **{f"rounding_{bits}_bits": partial(rounding, settings, clip, dataset, pairs, bits) for bits in chosen.bits},
        "reattachment": partial(reattachment, settings, pairs, start.texts) if start else partial(nothing, NO_START),
        **{f"few_shot_{shots}": partial(few_shot, forget, shots, chosen.draws, seed) for shots in chosen.shots},
        "name_search": partial(
            name_search, pairs["forget_identity"], dataset.identities, chosen.made_names, seed, encoder.texts
        ),
        "gradient_membership": partial(gradient_membership, clip, dataset, pairs, chosen.gradient_pairs, seed),
    }
    found, seconds = {}, {}
    for name, run in attacks.items():
        began = time.monotonic()
        found[name] = document(run(), seed, "bootstrap", name, replicates=settings.bootstrap_replicates)
        seconds[name] = round(time.monotonic() - began, 2)
    return found, seconds
