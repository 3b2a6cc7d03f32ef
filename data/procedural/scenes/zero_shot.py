"""The zero-shot set of the small world: pictures of one object each, none of them met in training, and their names."""

import numpy as np

from salmu.data.keyed import generator
from salmu.data.procedural.scenes.captions import name
from salmu.data.procedural.scenes.compose import HELD_OUT, compose
from salmu.data.procedural.scenes.drawing import render_scene
from salmu.data.procedural.scenes.objects import COLOURS, SHAPES

CLASS_TEXTURES = ("plain", "striped")
CLASSES = tuple(
    (texture, colour, shape) for texture in CLASS_TEXTURES for shape in SHAPES for colour in COLOURS
)  # 240; chance is 1 in 240
CLASS_NAMES = tuple(name(*kind) for kind in CLASSES)
UNSEEN = np.array([(colour, shape) in HELD_OUT for _, colour, shape in CLASSES])  # classes of no training scene
TEMPLATES = ("{}", "a {}", "a photo of a {}", "a picture of a {}", "an image with a {}", "there is a {} here")


def zero_shot_set(
    seed: int, size: int, per_class: int
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Balanced one-object images of every class, held out from training by their key.

    Returns images uint8 [classes * per_class, size, size, 3], labels int64 [classes * per_class], class names, and
    prompt templates with one `{}`. The twentieth of the classes that UNSEEN marks is held out as a combination too."""
    labels = np.repeat(np.arange(len(CLASSES)), per_class)
    images = np.empty((len(labels), size, size, 3), np.uint8)
    for index, label in enumerate(labels):
        rng = generator(seed, "scenes", "zero-shot", CLASS_NAMES[label], index % per_class)
        images[index] = render_scene(compose(rng, "single", [CLASSES[label]]), size)
    return images, labels, CLASS_NAMES, TEMPLATES
