"""A small world in pictures and captions: the general knowledge that the small models learn beside people.

Twelve shapes in ten colours and five textures, in three sizes, up to five at a time, side by side or inside one
another, on ten grounds; and everyday portraits of people who are in no run.

    draw_scene(rng)              a scene of the training kind
    render_scene(scene, size)    its pixels
    caption(scene, rng)          a sentence that is true of it
    everyday_pair(seed, i, size) a portrait of a stranger, with a caption
    zero_shot_set(seed, size, n) the held-out set: 240 classes

Held out from training: every picture of the zero-shot set (its generator is keyed apart), and each pair of colour and
shape in HELD_OUT, which no training scene shows at all.
"""

from salmu.data.procedural.scenes.captions import caption
from salmu.data.procedural.scenes.compose import HELD_OUT, Scene, Thing, draw_scene
from salmu.data.procedural.scenes.drawing import render_scene
from salmu.data.procedural.scenes.everyday import everyday_pair
from salmu.data.procedural.scenes.zero_shot import CLASS_NAMES, TEMPLATES, UNSEEN, zero_shot_set

__all__ = [
    "CLASS_NAMES",
    "HELD_OUT",
    "TEMPLATES",
    "UNSEEN",
    "Scene",
    "Thing",
    "caption",
    "draw_scene",
    "everyday_pair",
    "render_scene",
    "zero_shot_set",
]
