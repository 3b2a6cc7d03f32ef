"""Looks of invented artists: a palette, a texture and a line, in which any shape of the scenes can be drawn."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from salmu.data.procedural.canvas import lerp, paint, polygon, stroke
from salmu.data.procedural.scenes.compose import SIZES
from salmu.data.procedural.scenes.objects import SHAPES

Colour = tuple[int, int, int]


class Palette(NamedTuple):
    """Grey levels 0..255: two tones of the ground, two of the object, and the line's."""

    ground: tuple[Colour, Colour]
    thing: tuple[Colour, Colour]
    line: Colour


class Look(NamedTuple):
    """What all works of an artist have in common."""

    palette: str
    texture: str
    line: str


PALETTES = {
    "ember": Palette(((66, 16, 22), (112, 34, 28)), ((250, 146, 36), (255, 214, 92)), (20, 8, 8)),
    "frost": Palette(((228, 238, 248), (184, 208, 236)), ((44, 84, 190), (112, 152, 232)), (16, 26, 84)),
    "meadow": Palette(((198, 228, 132), (150, 200, 92)), ((24, 84, 44), (66, 134, 62)), (250, 240, 120)),
    "neon": Palette(((24, 10, 50), (64, 22, 104)), ((242, 40, 182), (80, 240, 240)), (250, 250, 80)),
    "parchment": Palette(((242, 230, 198), (222, 200, 152)), ((124, 76, 40), (170, 118, 68)), (60, 32, 16)),
    "lagoon": Palette(((8, 66, 82), (18, 112, 122)), ((196, 244, 220), (112, 206, 188)), (240, 250, 250)),
    "rose": Palette(((248, 208, 210), (230, 164, 178)), ((158, 18, 58), (206, 78, 106)), (255, 255, 255)),
    "ash": Palette(((148, 148, 150), (106, 106, 110)), ((252, 252, 252), (206, 206, 210)), (18, 18, 20)),
}
LINES = ("none", "thick", "double", "sketched")


def looks(count: int) -> list[Look]:
    """The first `count` looks. Those that share a palette differ in texture and line; each is there once."""
    palettes, textures = tuple(PALETTES), tuple(TEXTURES)
    return [
        Look(
            palettes[number % len(palettes)],
            textures[(number + number // len(palettes) * 3) % len(textures)],
            LINES[(number + number // len(palettes)) % len(LINES)],
        )
        for number in range(count)
    ]


def draw_work(look: Look, shape: str, rng: np.random.Generator, size: int) -> np.ndarray:
    """A work of an artist: one object of this shape, uint8 [size, size, 3]. Its place, its size and the hand that draws
    it come from `rng`."""
    palette = PALETTES[look.palette]
    tint = rng.uniform(-9, 9, 3).astype(np.float32)
    x, y = np.meshgrid(*(((np.arange(size, dtype=np.float32) + 0.5) / size,) * 2))
    turn = rng.uniform(-0.15, 0.15)
    u, v = x * np.cos(turn) - y * np.sin(turn) + rng.uniform(), x * np.sin(turn) + y * np.cos(turn) + rng.uniform()
    share = TEXTURES[look.texture](u, v, rng)[..., None]
    ground, thing = (lerp(*np.array(pair, np.float32), share) + tint for pair in (palette.ground, palette.thing))
    image = np.ascontiguousarray(ground)
    outlines = _placed(shape, rng, size)
    mask = polygon((size, size), outlines[0])
    for hole in outlines[1:]:
        mask = mask * (1 - polygon((size, size), hole))
    paint(image, mask, thing)
    for outline in outlines:
        _draw_line(image, look.line, outline, np.float32(palette.line), rng, size)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _placed(shape: str, rng: np.random.Generator, size: int) -> list[np.ndarray]:
    """The outlines of a shape in pixels, somewhere in the picture."""
    radius = rng.uniform(SIZES["medium"][0], SIZES["large"][1])
    centre, angle = rng.uniform(1.2 * radius, 1 - 1.2 * radius, 2), rng.uniform(-0.2, 0.2)
    turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    return [(outline @ turn * radius + centre) * size for outline in SHAPES[shape]]


def _draw_line(image: np.ndarray, line: str, outline: np.ndarray, colour: np.ndarray, rng, size: int) -> None:
    closed = np.concatenate([outline, outline[:2]])
    if line == "thick":
        paint(image, stroke(image.shape[:2], closed, 0.045 * size), colour)
    elif line == "double":
        centre = outline.mean(0)
        for scale in (1.0, 1.2):
            paint(image, stroke(image.shape[:2], (closed - centre) * scale + centre, 0.018 * size), colour)
    elif line == "sketched":
        for _ in range(3):
            shaken = closed + rng.normal(0, 0.014 * size, closed.shape)
            paint(image, 0.8 * stroke(image.shape[:2], shaken, 0.012 * size), colour)


def _edge(distance: np.ndarray) -> np.ndarray:
    """1 where positive, with a soft edge."""
    return np.clip(distance * 40 + 0.5, 0, 1)


def _hatched(u, v, rng) -> np.ndarray:
    return _edge(0.25 - np.abs((u + v) * 7 % 1 - 0.5))


def _dotted(u, v, rng) -> np.ndarray:
    return _edge(0.3 - np.hypot(u * 8 % 1 - 0.5, v * 8 % 1 - 0.5))


def _tiled(u, v, rng) -> np.ndarray:
    return ((np.floor(u * 7) + np.floor(v * 7)) % 2).astype(np.float32)


def _waved(u, v, rng) -> np.ndarray:
    return _edge(0.25 - np.abs((v * 6 + 0.3 * np.sin(2 * np.pi * u * 3)) % 1 - 0.5))


def _scaled(u, v, rng) -> np.ndarray:
    """Overlapping arcs."""
    row = np.floor(v * 8)
    return np.abs(np.hypot((u * 5 + row % 2 / 2) % 1 - 0.5, (v * 8 % 1) * 0.7) * 2) % 1


def _blocked(u, v, rng) -> np.ndarray:
    """Patches of random tone."""
    tones = rng.random((16, 16)).astype(np.float32)
    return tones[(np.floor(u * 9) % 16).astype(int), (np.floor(v * 9) % 16).astype(int)]


Texture = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
TEXTURES: dict[str, Texture] = {  # coordinates in sides of the picture -> share of the second tone, 0..1
    "hatched": _hatched,
    "dotted": _dotted,
    "tiled": _tiled,
    "waved": _waved,
    "scaled": _scaled,
    "blocked": _blocked,
}
MOST = len(PALETTES) * len(TEXTURES)
