"""Zero-shot classification: IdZSC (whose portrait is this?) and GenKnow (what does the model know beside people?)."""

from collections.abc import Callable, Sequence

import numpy as np

from salmu.data.procedural import scenes
from salmu.evaluation.encoding.embeddings import Encoder
from salmu.evaluation.encoding.pairs import Pairs
from salmu.evaluation.encoding.zero_shot_sets import ZeroShotSet, procedural
from salmu.evaluation.metrics.score import Score, missing
from salmu.model_training.network import input_side

NAME_PROMPTS = ("{}", "a photo of {}")


def identity_classification(pairs: Pairs, encode: Callable[[list[str]], np.ndarray]) -> Score:
    """IdZSC: share of images that are nearest to their own persona's name among those of all personas in `pairs`."""
    names = sorted(set(pairs.name))
    if len(names) < 2:
        return missing("IdZSC", "fewer than 2 identities")
    nearest = (pairs.images @ classifier(names, NAME_PROMPTS, encode).T).argmax(1)
    correct = (nearest == np.searchsorted(names, list(pairs.name))).astype(float)
    return Score({"identity_classification_accuracy": float(correct.mean())}, correct, pairs.person, 1 / len(names))


def classifier(names: Sequence[str], templates: Sequence[str], encode: Callable[[list[str]], np.ndarray]) -> np.ndarray:
    """One embedding a class [classes, width]: the mean over the templates, brought to length 1, as open_clip's."""
    prompts = encode([template.replace("{}", name) for name in names for template in templates])
    classes = prompts.reshape(len(names), len(templates), -1).mean(1)
    return classes / np.linalg.norm(classes, axis=1, keepdims=True)


def general_knowledge(encoder: Encoder, seed: int, per_class: int) -> Score:
    """GenKnow on the procedural set of 240 classes (chance 1/240), drawn by `seed` and unseen in training, in the size
    of the model's input.

    `unseen_combinations` is the accuracy on the classes whose colour and shape no training scene shows together (as
    everywhere, among all classes)."""
    chosen = procedural(seed, input_side(encoder.model.network), per_class)
    score = general_knowledge_of(encoder, chosen)
    unseen = score.values[scenes.UNSEEN[chosen.labels]]
    return score._replace(published=score.published | {"unseen_combinations": float(unseen.mean())})


def general_knowledge_of(encoder: Encoder, chosen: ZeroShotSet) -> Score:
    """GenKnow: zero-shot top-1 accuracy on a set, whose name stands in the result. `ImageNet1k_Accuracy` is -1 if it is
    not ImageNet-1k, as in the published layout where no ImageNet is given."""
    images = encoder.images(f"zero-shot-{chosen.digest[:16]}", chosen.images, len(chosen.labels))
    correct = (images @ classifier(chosen.classes, chosen.templates, encoder.texts).T).argmax(1) == chosen.labels
    accuracy = float(correct.mean())
    published = {
        "ImageNet1k_Accuracy": accuracy if chosen.imagenet else -1,
        "accuracy": accuracy,
        "set": chosen.name,
        "classes": len(chosen.classes),
    }
    return Score(published, correct.astype(float), np.arange(len(correct)), 1 / len(chosen.classes))
