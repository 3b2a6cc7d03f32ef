"""Procedural captioned scenes: coloured shapes on backgrounds, the general knowledge that the small models learn.

A scene holds one object, several equal ones, or two in a relation. `render_scene` draws it anti-aliased, `caption`
words it, and `zero_shot_set` makes balanced one-object images of every colour x shape, keyed apart from all training
scenes.
"""

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from data.keyed import generator

COLOURS = {
    "red": (214, 38, 40),
    "brown": (132, 78, 36),
    "yellow": (245, 222, 50),
    "green": (40, 160, 60),
    "cyan": (60, 205, 220),
    "blue": (40, 70, 205),
    "purple": (130, 50, 165),
    "pink": (245, 140, 190),
}
TONES = {"white": 238, "light": 190, "grey": 128, "dark": 62, "black": 22}  # grey level of a background
PATTERNS = ("plain", "shaded", "striped", "checkered", "dotted", "grainy")
SIZES = {"small": (0.17, 0.20), "medium": (0.23, 0.28), "large": (0.32, 0.38)}  # radius, as a share of the image's side
NUMBERS = {2: "two", 3: "three", 4: "four"}
RELATIONS = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}
OVERSAMPLING = 4  # per axis; 16 coverage levels, no jagged edges at 48 px and more
TEMPLATES = ("{}", "a {}", "a photo of a {}", "a picture of a {}", "an image with a {} in it")


class Thing(NamedTuple):
    shape: str
    colour: str
    x: float  # centre and radius, as shares of the image's side
    y: float
    radius: float
    angle: float  # radians, small: a square stays a square
    tint: tuple[float, float, float]  # added to the colour, in grey levels


class Scene(NamedTuple):
    kind: str  # single | count | relation
    things: tuple[Thing, ...]
    size: str  # of SIZES
    relation: str  # of RELATIONS; empty unless kind is relation
    tone: str  # of TONES
    pattern: str  # of PATTERNS
    phase: float  # 0..1, shifts the pattern
    texture: int  # key of the grain


def _arc(count: int, start: float = 0.0, stop: float = 2 * np.pi, radius: float = 1.0) -> np.ndarray:
    angles = np.linspace(start, stop, count, endpoint=False)
    return radius * np.stack([np.sin(angles), -np.cos(angles)], axis=1)


def _star() -> np.ndarray:
    points = _arc(10)
    points[1::2] *= 0.40
    return points * 1.12


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x, y], axis=1) / 16.5


def _crescent() -> np.ndarray:
    outer = _arc(36, 0.785 * np.pi, 2.215 * np.pi)  # unit disc, cut by a disc of radius 0.8 at (0.45, 0)
    inner = _arc(36, 2.07 * np.pi, 0.93 * np.pi, 0.8) + (0.45, 0.0)
    return np.concatenate([outer, inner]) + (0.15, 0.0)


def _cross() -> np.ndarray:
    a, b = 0.27, 1.0
    arm, quarter_turn = np.array([(-a, -b), (a, -b), (a, -a)]), np.array([(0, 1), (-1, 0)])
    return np.concatenate([arm @ np.linalg.matrix_power(quarter_turn, turns) for turns in range(4)])


# Outline of each shape around (0, 0), about radius 1, y downwards; a second outline is cut out.
SHAPES: dict[str, tuple[np.ndarray, ...]] = {
    "circle": (_arc(48),),
    "square": (np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * 0.86,),
    "triangle": (_arc(3) * 1.15 + (0.0, 0.2),),
    "star": (_star(),),
    "cross": (_cross(),),
    "ring": (_arc(48) * 1.03, _arc(48) * 0.55),
    "heart": (_heart(),),
    "crescent": (_crescent(),),
}
CLASS_NAMES = tuple(f"{colour} {shape}" for shape in SHAPES for colour in COLOURS)


def draw_scene(rng: np.random.Generator) -> Scene:
    """A random scene: 60 % one object, 20 % several equal ones, 20 % two in a relation."""
    kind = _pick(rng, ("single", "single", "single", "count", "relation"))
    return _compose(rng, kind, _pick(rng, CLASS_NAMES), _pick(rng, CLASS_NAMES))


def _pick(rng: np.random.Generator, options: Iterable):
    options = tuple(options)
    return options[rng.integers(len(options))]


def _compose(rng: np.random.Generator, kind: str, name: str, other: str = "") -> Scene:
    """A scene of this kind with objects of the class `name`; in a relation, the second is of the class `other`."""
    size = _pick(rng, SIZES if kind == "single" else ("small", "medium"))
    radius, names, relation = rng.uniform(*SIZES[size]), [name], ""
    if kind == "single":
        places = rng.uniform(1.2 * radius, 1 - 1.2 * radius, (1, 2))
    elif kind == "count":
        cells = rng.permutation(4)[: _pick(rng, NUMBERS)]  # one object in each of some quarters of the image
        names, radius = [name] * len(cells), min(radius, 0.19)
        places = 0.26 + 0.48 * np.stack([cells % 2, cells // 2], axis=1) + rng.uniform(-0.05, 0.05, (len(cells), 2))
    else:
        relation = _pick(rng, RELATIONS)
        names, radius = [name, other], min(radius, 0.2)
        along = np.array(RELATIONS[relation])
        offset = along * rng.uniform(0.22, 0.27)
        places = 0.5 + np.stack([offset, -offset]) + along[::-1] * rng.uniform(-0.12, 0.12)
    things = tuple(_thing(rng, name, place, radius) for name, place in zip(names, places, strict=True))
    return Scene(
        kind,
        things,
        size,
        relation,
        _pick(rng, TONES),
        _pick(rng, PATTERNS),
        phase=rng.uniform(),
        texture=int(rng.integers(64)),
    )


def _thing(rng: np.random.Generator, name: str, place: np.ndarray, radius: float) -> Thing:
    colour, shape = name.split()
    x, y = place.tolist()
    return Thing(
        shape,
        colour,
        x,
        y,
        radius * rng.uniform(0.94, 1.06),
        rng.uniform(-0.22, 0.22),
        tuple(rng.uniform(-14, 14, 3).tolist()),
    )


@cache
def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    steps = (np.arange(size, dtype=np.float32) + 0.5) / size
    return steps[None, :], steps[:, None]


@cache
def _grain(size: int, texture: int) -> np.ndarray:
    return generator("scenes", "grain", texture).normal(0, 12, (size, size)).astype(np.float32)


def _wave(position: np.ndarray, size: int, period: float) -> np.ndarray:
    """Stripes from -1 to 1 with edges one pixel wide."""
    triangle = np.abs((position / period) % 1 - 0.5) - 0.25
    return np.clip(triangle * period * size, -0.5, 0.5) * 2


def _background(scene: Scene, size: int) -> np.ndarray:
    """Grey levels [size, size]."""
    x, y = _grid(size)
    level, contrast = TONES[scene.tone], 18
    if scene.pattern == "shaded":
        pattern = (x if scene.phase < 0.5 else y) * 2 - 1 + 0 * (x + y)
    elif scene.pattern == "striped":
        pattern = _wave(x + y * (2 * scene.phase - 1), size, 0.2)
    elif scene.pattern == "checkered":
        pattern = _wave(x + scene.phase, size, 0.34) * _wave(y + scene.phase, size, 0.34)
    elif scene.pattern == "dotted":
        u, v = (x + scene.phase) / 0.2 % 1 - 0.5, (y + scene.phase) / 0.2 % 1 - 0.5
        pattern = np.clip((0.26 - np.sqrt(u * u + v * v)) * 0.2 * size, -0.5, 0.5) * 2
    elif scene.pattern == "grainy":
        return level + _grain(size, scene.texture)
    else:
        return np.full((size, size), level, np.float32)
    return level + contrast * pattern


def render_scene(scene: Scene, size: int) -> np.ndarray:
    """The scene as an RGB image, uint8 [size, size, 3]; edges are anti-aliased by oversampling."""
    image = np.repeat(_background(scene, size)[:, :, None], 3, axis=2)
    for thing in scene.things:
        coverage = _coverage(thing, size)
        colour = np.array(COLOURS[thing.colour], np.float32) + np.array(thing.tint, np.float32)
        image += coverage[:, :, None] * (colour - image)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _coverage(thing: Thing, size: int) -> np.ndarray:
    """Share of each pixel that the object covers, float32 [size, size]."""
    mask = Image.new("L", (size * OVERSAMPLING, size * OVERSAMPLING))
    draw = ImageDraw.Draw(mask)
    cos, sin = np.cos(thing.angle), np.sin(thing.angle)
    turn = np.array([(cos, sin), (-sin, cos)])
    for outline, level in zip(SHAPES[thing.shape], (255, 0), strict=False):
        points = (outline @ turn * thing.radius + (thing.x, thing.y)) * size * OVERSAMPLING
        draw.polygon([tuple(point) for point in points.round(3).tolist()], fill=level)
    return np.asarray(mask.reduce(OVERSAMPLING), np.float32) / 255


# Shape and colour are always named, the background seldom: else it would be the easier way to tell scenes apart.
WORDINGS: dict[str, tuple[str, ...]] = {
    "single": (
        "a {thing}",
        "a photo of a {thing}",
        "a picture of a {thing}",
        "an image with a {thing} in it",
        "there is a {thing} here",
        "a {size} {thing}",
        "a picture of a {size} {thing}",
        "a {thing} on a {ground}",
    ),
    "count": (
        "{number} {thing}{s}",
        "a photo of {number} {thing}{s}",
        "there are {number} {thing}{s} in the picture",
        "{number} {thing}{s} on a {ground}",
    ),
    "relation": (
        "a {thing} {relation} a {other}",
        "a picture of a {thing} {relation} a {other}",
        "there is a {thing} {relation} a {other}",
    ),
}


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """A natural caption that is true of the scene; the wording is drawn."""
    names = [f"{thing.colour} {thing.shape}" for thing in scene.things]
    ground = f"{scene.tone} background" if scene.pattern == "plain" else f"{scene.tone} {scene.pattern} background"
    return _pick(rng, WORDINGS[scene.kind]).format(
        thing=names[0],
        other=names[-1],
        s="es" if names[0].endswith("s") else "s",
        number=NUMBERS.get(len(names)),
        relation=scene.relation,
        size=scene.size,
        ground=ground,
    )


def zero_shot_set(
    seed: int, size: int, per_class: int
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Balanced one-object images of the 64 classes colour x shape, held out from training by their key.

    Returns images uint8 [64 * per_class, size, size, 3], labels int64 [64 * per_class], class names, and prompt
    templates with one `{}`."""
    labels = np.repeat(np.arange(len(CLASS_NAMES)), per_class)
    images = np.empty((len(labels), size, size, 3), np.uint8)
    for index, label in enumerate(labels):
        rng = generator(seed, "scenes", "zero-shot", CLASS_NAMES[label], index % per_class)
        images[index] = render_scene(_compose(rng, "single", CLASS_NAMES[label]), size)
    return images, labels, CLASS_NAMES, TEMPLATES
