"""Zero-shot classification: IdZSC (whose portrait is this?) and GenKnow (what does the model know beside people?)."""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from data.procedural import scenes
from evaluation.embeddings import Encoder
from evaluation.metrics.score import Score, missing
from evaluation.pairs import Pairs

NAME_PROMPTS = ("{}", "a photo of {}")
PROCEDURAL = "procedural scenes"


def identity_classification(pairs: Pairs, encode: Callable[[list[str]], np.ndarray]) -> Score:
    """IdZSC: share of images that are nearest to their own persona's name among the names of all personas in `pairs`.

    A name's embedding is the mean over NAME_PROMPTS, brought to length 1, as in open_clip's classifier."""
    names = sorted(set(pairs.name))
    if len(names) < 2:
        return missing("IdZSC", "fewer than 2 identities")
    prompts = encode([prompt.format(name) for name in names for prompt in NAME_PROMPTS])
    classes = prompts.reshape(len(names), len(NAME_PROMPTS), -1).mean(1)
    classes /= np.linalg.norm(classes, axis=1, keepdims=True)
    correct = (_nearest(pairs.images, classes) == np.searchsorted(names, list(pairs.name))).astype(float)
    return Score({"identity_classification_accuracy": float(correct.mean())}, correct, pairs.person, 1 / len(names))


def general_knowledge(encoder: Encoder, seed: int, per_class: int) -> Score:
    """GenKnow: zero-shot top-1 accuracy on the procedural set of coloured shapes, drawn by `seed` and unseen in
    training, in the size of the model's input.

    `ImageNet1k_Accuracy` stays -1, which the published layout has where no ImageNet is given."""
    import open_clip

    model = encoder.model
    images, labels, names, templates = scenes.zero_shot_set(seed, input_side(model.network), per_class)
    embeddings = encoder.images(
        f"procedural-{seed}-{per_class}", (Image.fromarray(image) for image in images), len(images)
    )
    classifier = open_clip.build_zero_shot_classifier(
        model.network, model.tokenizer, names, templates, device=model.device
    )
    correct = (_nearest(embeddings, classifier.T.float().cpu().numpy()) == labels).astype(float)
    published = {"ImageNet1k_Accuracy": -1, "accuracy": float(correct.mean()), "set": PROCEDURAL, "classes": len(names)}
    return Score(published, correct, np.arange(len(labels)), 1 / len(names))


def input_side(network: torch.nn.Module) -> int:
    """The side of a model's square input in pixels."""
    size = network.visual.image_size
    return size if isinstance(size, int) else max(size)


def _nearest(images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    return (images @ classes.T).argmax(1)
