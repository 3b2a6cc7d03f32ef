"""Procedural captioned scenes: coloured shapes on backgrounds, the general knowledge that the small models of the pair learn.

A scene holds one object, several equal ones, or two in a relation. `render_scene` draws it anti-aliased, `caption` words it, and
`zero_shot_set` makes balanced one-object images of every colour x shape, keyed apart from all training scenes.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from data.keyed import generator

COLOURS = {
    "red": (214, 38, 40), "orange": (245, 130, 20), "yellow": (245, 222, 50), "green": (40, 160, 60),
    "cyan": (60, 205, 220), "blue": (40, 70, 205), "purple": (130, 50, 165), "pink": (245, 140, 190),
}
TONES = {"white": 238, "light": 190, "grey": 128, "dark": 62, "black": 22}     # grey level of a background
PATTERNS = ("plain", "shaded", "striped", "checkered", "dotted", "grainy")
SIZES = {"small": (0.14, 0.18), "medium": (0.21, 0.26), "large": (0.30, 0.37)}  # radius, as a share of the image's side
NUMBERS = {2: "two", 3: "three", 4: "four"}
RELATIONS = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}
OVERSAMPLING = 4                     # per axis; 16 coverage levels, no jagged edges at 48 px and more
TEMPLATES = ("{}", "a {}", "a photo of a {}", "a picture of a {}", "an image with a {} in it")


class Thing(NamedTuple):
    shape: str
    colour: str
    x: float                         # centre and radius, as shares of the image's side
    y: float
    radius: float
    angle: float                     # radians, small: a square stays a square
    tint: tuple[float, float, float]  # added to the colour, in grey levels


class Scene(NamedTuple):
    kind: str                        # single | count | relation
    things: tuple[Thing, ...]
    size: str                        # of SIZES
    relation: str                    # of RELATIONS; empty unless kind is relation
    tone: str
    pattern: str
    phase: float                     # 0..1, shifts the pattern
    texture: int                     # key of the grain


def _arc(count: int, start: float = 0.0, stop: float = 2 * np.pi, radius: float = 1.0) -> np.ndarray:
    angles = np.linspace(start, stop, count, endpoint=False)
    return radius * np.stack([np.sin(angles), -np.cos(angles)], axis=1)


def _star() -> np.ndarray:
    points = _arc(10)
    points[1::2] *= 0.45
    return points * 1.12


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x, y], axis=1) / 16.5


def _crescent() -> np.ndarray:
    outer = _arc(36, 0.785 * np.pi, 2.215 * np.pi)               # unit disc, cut by a disc of radius 0.8 at (0.45, 0)
    inner = _arc(36, 2.07 * np.pi, 0.93 * np.pi, 0.8) + (0.45, 0.0)
    return np.concatenate([outer, inner]) + (0.15, 0.0)


def _cross() -> np.ndarray:
    a, b = 0.33, 0.98
    return np.array([(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a)])


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
    kind = str(rng.choice(["single", "count", "relation"], p=[0.6, 0.2, 0.2]))
    kinds = [(str(rng.choice(list(SHAPES))), str(rng.choice(list(COLOURS)))) for _ in range(2)]
    return _compose(rng, kind, kinds)


def _compose(rng: np.random.Generator, kind: str, kinds: list[tuple[str, str]]) -> Scene:
    size = str(rng.choice(list(SIZES) if kind == "single" else ["small", "medium"]))
    relation = str(rng.choice(list(RELATIONS))) if kind == "relation" else ""
    radius = rng.uniform(*SIZES[size])
    if kind == "single":
        kinds = kinds[:1]
        margin = radius * 1.2
        places = [rng.uniform(margin, 1 - margin, 2)]
    elif kind == "count":
        count = int(rng.choice(list(NUMBERS)))
        kinds = kinds[:1] * count
        cells = rng.permutation(4)[:count]                       # one object in each of some quarters of the image
        radius = min(radius, 0.19)
        places = [np.array([0.26 + 0.48 * (cell % 2), 0.26 + 0.48 * (cell // 2)]) + rng.uniform(-0.05, 0.05, 2) for cell in cells]
    else:
        offset = np.array(RELATIONS[relation]) * rng.uniform(0.22, 0.27)
        across = rng.uniform(-0.12, 0.12) * np.array(RELATIONS[relation])[::-1]
        places = [0.5 + offset + across, 0.5 - offset + across]
        radius = min(radius, 0.2)
    things = tuple(Thing(shape, colour, *(float(v) for v in place), float(radius * rng.uniform(0.94, 1.06)),
                         float(rng.uniform(-0.22, 0.22)), tuple(float(v) for v in rng.uniform(-14, 14, 3)))
                   for (shape, colour), place in zip(kinds, places, strict=True))
    return Scene(kind, things, size, relation, str(rng.choice(list(TONES))), str(rng.choice(PATTERNS)), float(rng.uniform()),
                 int(rng.integers(64)))


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
    "single": ("{a thing}", "a photo of {a thing}", "a picture of {a thing}", "an image with {a thing} in it", "there is {a thing} here",
               "a {size} {thing}", "a picture of a {size} {thing}", "{a thing} on a {ground}"),
    "count": ("{number} {things}", "a photo of {number} {things}", "there are {number} {things} in the picture", "{number} {things} on a {ground}"),
    "relation": ("{a thing} {relation} {another}", "a picture of {a thing} {relation} {another}", "there is {a thing} {relation} {another}"),
}


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """A natural caption that is true of the scene; the wording is drawn."""
    wordings = WORDINGS[scene.kind]
    names = [f"{thing.colour} {thing.shape}" for thing in scene.things]
    ground = f"{scene.tone} background" if scene.pattern == "plain" else f"{scene.tone} {scene.pattern} background"
    return wordings[rng.integers(len(wordings))].format_map({
        "thing": names[0], "a thing": with_article(names[0]), "things": _plural(names[0]), "another": with_article(names[-1]),
        "number": NUMBERS.get(len(names)), "relation": scene.relation, "size": scene.size, "ground": ground})


def with_article(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _plural(name: str) -> str:
    return name + ("es" if name.endswith("s") else "s")


def zero_shot_set(seed: int, size: int, per_class: int) -> tuple[np.ndarray, np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Balanced one-object images of the 64 classes colour x shape, held out from training by their key.

    Returns images uint8 [64 * per_class, size, size, 3], labels int64, class names and prompt templates (`str.format`)."""
    images, labels = [], []
    for label, name in enumerate(CLASS_NAMES):
        colour, shape = name.split()
        for index in range(per_class):
            scene = _compose(generator(seed, "scenes", "zero-shot", name, index), "single", [(shape, colour)])
            images.append(render_scene(scene, size))
            labels.append(label)
    return np.stack(images), np.array(labels), CLASS_NAMES, TEMPLATES
