"""Re-attachment: a linear map takes the texts of the start model into the space of the unlearned one.

Somebody who kept the model from before the unlearning has everything already. What this attack shows is where the
forgotten associations are left: if the old texts still find the forgotten portraits in the new image tower, then only
the texts were moved away, and whoever moves them back has it all again. The map is learned on retain captions only."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from salmu.evaluation.attacks.outcome import Outcome, nothing
from salmu.evaluation.encoding.pairs import Pairs
from salmu.evaluation.encoding.settings import EvaluationSettings
from salmu.evaluation.metrics.retrieval import retrieval_failure


def reattachment(
    settings: EvaluationSettings, pairs: dict[str, Pairs], start: Callable[[list[str]], np.ndarray]
) -> Outcome:
    """RetFail with the captions as the start model embeds them, mapped; the stronger of two maps: onto the texts of the
    unlearned model, and onto its images. `start`: texts -> embeddings of the start model."""
    forget, others, retain = (pairs[name] for name in ("forget", "retain_disjoint", "retain_synth"))
    if not len(forget) or len(retain) < 2:
        return nothing("no forget pairs, or no retain captions to learn a map on")
    before, found = start(list(retain.text)), {}
    for onto, wanted in (("texts", retain.texts), ("images", retain.images)):
        moved = ridge(before, wanted, settings.attacks.ridge)
        mapped = [replace(part, texts=unit(start(list(part.text)) @ moved)) for part in (forget, others)]
        found[onto] = retrieval_failure(*mapped, settings.retrieval_pool, settings.seed)
    onto = max(found, key=lambda name: found[name].values.mean())
    by_map = {name: float(score.values.mean()) for name, score in found.items()}
    about = {"onto": onto, "learned_on": len(retain), "by_map": by_map}
    return Outcome(found[onto].values, found[onto].clusters, found[onto].chance, about)


def ridge(before: np.ndarray, wanted: np.ndarray, penalty: float) -> np.ndarray:
    """The map [d, width] that brings `before` [n, d] nearest to `wanted` [n, width], with a penalty on its distance
    from the identity; from zero where the widths differ. `penalty` is a multiple of the mean variance of `before` along
    its axes."""
    before, wanted = before.astype(np.float64), wanted.astype(np.float64)
    width = before.shape[1]
    first = np.eye(width) if width == wanted.shape[1] else np.zeros((width, wanted.shape[1]))
    gram = before.T @ before
    gram_and_penalty = gram + penalty * np.trace(gram) / width * np.eye(width)
    return (first + np.linalg.solve(gram_and_penalty, before.T @ (wanted - before @ first))).astype(np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
