"""What a scene holds: one object, several equal ones, two in a relation, or three different ones, on a ground.

`HELD_OUT` lists pairs of colour and shape that no training scene holds, in any texture, number or relation. Every
colour and every shape is met in other pairs, so that naming a held-out pair takes composition, not memory.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from salmu.data.procedural.scenes.grounds import VARIANTS, grounds_for
from salmu.data.procedural.scenes.objects import COLOURS, ROOMY, SHAPES, TEXTURES

SIZES = {"small": (0.18, 0.21), "medium": (0.25, 0.30), "large": (0.34, 0.40)}  # radius, as a share of the image's side
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
BESIDE = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}
RELATIONS = (*BESIDE, "inside")
KINDS = {"single": 0.68, "count": 0.14, "relation": 0.13, "group": 0.05}  # shares of the training scenes
TEXTURE_SHARES = {"plain": 0.48} | dict.fromkeys(TEXTURES[1:], 0.13)
HELD_OUT = (
    ("red", "crescent"),
    ("orange", "bolt"),
    ("brown", "heart"),
    ("yellow", "ring"),
    ("green", "star"),
    ("turquoise", "square"),
    ("blue", "flower"),
    ("purple", "arrow"),
    ("pink", "house"),
    ("white", "triangle"),
)


class Thing(NamedTuple):
    """An object."""

    shape: str
    colour: str
    texture: str
    x: float  # centre and radius, as shares of the image's side
    y: float
    radius: float
    angle: float  # radians, small: a square stays a square
    tint: tuple[float, float, float]  # added to the colour, in grey levels


class Scene(NamedTuple):
    """A picture: its objects and what they lie on."""

    kind: str  # of KINDS
    things: tuple[Thing, ...]
    size: str  # of SIZES; of the objects
    relation: str  # of RELATIONS, of the first object to the second; empty unless kind is relation
    ground: str  # of GROUNDS
    variant: int  # of the ground
    mirrored: bool  # the ground alone
    light: float  # added to the ground, in grey levels


Kind = tuple[str, str, str]  # texture, colour, shape of an object


def draw_scene(rng: np.random.Generator) -> Scene:
    """A random training scene; none holds a pair of HELD_OUT. Its different objects differ in colour and in shape."""
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    kinds: list[Kind] = []
    while len(kinds) < {"relation": 2, "group": 3}.get(kind, 1):
        _, colour, shape = thing = _draw_kind(rng)
        colours = frozenset({colour, *(other for _, other, _ in kinds)})
        if any(colour == other or shape == like for _, other, like in kinds) or (colour, shape) in HELD_OUT:
            continue
        if grounds_for(colours):
            kinds.append(thing)
    return compose(rng, kind, kinds)


def compose(rng: np.random.Generator, kind: str, kinds: list[Kind]) -> Scene:
    """A scene of this kind with the given objects; for a count one is given, and the number is drawn."""
    size = pick(rng, SIZES if kind == "single" else ("small", "medium"))
    radius, relation = rng.uniform(*SIZES[size]), ""
    radii = [radius] * len(kinds)
    if kind == "single":
        places = rng.uniform(1.2 * radius, 1 - 1.2 * radius, (1, 2))
    elif kind == "count":
        kinds, places, radii = _equal_ones(rng, kinds[0], radius)
    elif kind == "group":
        places, radii = _cells(rng, 3), [min(radius, 0.18)] * 3
    else:
        relation = pick(rng, RELATIONS)
        if relation == "inside":
            inner, outer = kinds[0], kinds[1][1]  # the outer one is plain: a texture would hide what is inside
            kinds = [inner, ("plain", outer, _roomy(rng, outer, inner[2]))]
            radii = [rng.uniform(0.13, 0.15), rng.uniform(0.36, 0.40)]
            places = 0.5 + rng.uniform(-0.07, 0.07, (1, 2)) + rng.uniform(-0.01, 0.01, (2, 2))
        else:
            radii = [min(radius, 0.2)] * 2
            along = np.array(BESIDE[relation])
            offset = along * rng.uniform(0.22, 0.27)
            places = 0.5 + np.stack([offset, -offset]) + along[::-1] * rng.uniform(-0.12, 0.12)
    return Scene(
        kind,
        tuple(_thing(rng, *item) for item in zip(kinds, places, radii, strict=True)),
        size,
        relation,
        pick(rng, grounds_for(frozenset(colour for _, colour, _ in kinds))),
        variant=int(rng.integers(VARIANTS)),
        mirrored=bool(rng.random() < 0.5),
        light=rng.uniform(-10, 10),
    )


def _draw_kind(rng: np.random.Generator) -> Kind:
    return str(rng.choice(TEXTURES, p=list(TEXTURE_SHARES.values()))), pick(rng, COLOURS), pick(rng, SHAPES)


def _roomy(rng: np.random.Generator, colour: str, inner: str) -> str:
    return pick(rng, [shape for shape in ROOMY if (colour, shape) not in HELD_OUT and shape != inner])


def _equal_ones(rng: np.random.Generator, kind: Kind, radius: float) -> tuple[list[Kind], np.ndarray, list[float]]:
    number = pick(rng, NUMBERS)
    if number < 5:
        return [kind] * number, _cells(rng, number), [min(radius, 0.18)] * number
    corners = 0.22 + 0.56 * np.array([(0, 0), (1, 0), (0, 1), (1, 1)])  # and one in the middle, as on a die
    places = np.concatenate([corners, [(0.5, 0.5)]]) + rng.uniform(-0.03, 0.03, (5, 2))
    return [kind] * 5, places, [rng.uniform(0.145, 0.16)] * 5


def _cells(rng: np.random.Generator, count: int) -> np.ndarray:
    """Centres of different quarters of the image, [count, 2]."""
    cells = rng.permutation(4)[:count]
    return 0.26 + 0.48 * np.stack([cells % 2, cells // 2], axis=1) + rng.uniform(-0.05, 0.05, (count, 2))


def _thing(rng: np.random.Generator, kind: Kind, place: np.ndarray, radius: float) -> Thing:
    texture, colour, shape = kind
    x, y = place.tolist()
    tint = tuple(rng.uniform(-12, 12, 3).tolist())
    return Thing(shape, colour, texture, x, y, radius * rng.uniform(0.94, 1.06), rng.uniform(-0.2, 0.2), tint)


def pick(rng: np.random.Generator, options: Iterable):
    options = tuple(options)
    return options[rng.integers(len(options))]
