"""Shapes, colours and textures of the objects.

Twelve outlines stay apart at a radius of eight pixels. A texture is a second tone laid over the object's own colour: a
light one over dark colours, a dark one over light colours, and in shading always a dark one. It turns with the object
and keeps its share of the object's size, so that it reads the same in any picture.
"""

from functools import cache

import numpy as np

COLOURS = {
    "red": (214, 38, 40),
    "orange": (250, 135, 20),
    "brown": (128, 74, 34),
    "yellow": (248, 226, 50),
    "green": (40, 160, 60),
    "turquoise": (60, 210, 205),
    "blue": (40, 70, 215),
    "purple": (130, 50, 165),
    "pink": (248, 140, 195),
    "white": (246, 246, 246),
}
DARKENED = ("orange", "yellow", "turquoise", "pink", "white")  # light colours: their second tone is dark
TEXTURES = ("plain", "striped", "dotted", "checkered", "shaded")


def _arc(count: int, start: float = 0.0, stop: float = 2 * np.pi, radius: float = 1.0) -> np.ndarray:
    """Points on a circle, clockwise; angle 0 is the top."""
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


def _flower() -> np.ndarray:
    """Five petals."""
    angles = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    return (0.84 + 0.22 * np.cos(5 * angles))[:, None] * _arc(80)


# Outlines of each shape around (0, 0), about radius 1, y downwards; a second outline is cut out of the first.
SHAPES: dict[str, tuple[np.ndarray, ...]] = {
    "circle": (_arc(48),),
    "square": (np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * 0.9,),
    "triangle": (_arc(3) * 1.15 + (0.0, 0.2),),
    "star": (_star(),),
    "cross": (_cross(),),
    "ring": (_arc(48) * 1.03, _arc(48) * 0.55),
    "heart": (_heart(),),
    "crescent": (_crescent(),),
    "arrow": (
        np.array([(-1.1, -0.3), (0, -0.3), (0, -0.85), (1.1, 0), (0, 0.85), (0, 0.3), (-1.1, 0.3)]),  # to the right
    ),
    "flower": (_flower(), _arc(24) * 0.3),
    "house": (
        np.array(
            [(0, -1.1), (1.05, -0.15), (0.75, -0.15), (0.75, 0.95), (-0.75, 0.95), (-0.75, -0.15), (-1.05, -0.15)]
        ),
        np.array([(-0.22, 0.2), (0.22, 0.2), (0.22, 0.95), (-0.22, 0.95)]),  # the door
    ),
    "bolt": (
        np.array([(0.3, -1.15), (-0.65, 0.15), (-0.1, 0.15), (-0.35, 1.15), (0.65, -0.3), (0.1, -0.3), (0.65, -1.15)]),
    ),
}
ROOMY = ("circle", "square", "ring", "heart")  # another object fits inside, in the middle


@cache
def tones(colour: str, texture: str) -> tuple[np.ndarray, np.ndarray]:
    """The colour and its second tone, float32 [3], grey levels 0..255."""
    own = np.array(COLOURS[colour], np.float32)
    if texture == "shaded":
        return own, own * np.float32(0.4)
    return own, own * np.float32(0.5) if colour in DARKENED else own + np.float32(0.7) * (250 - own)


def second_tone(texture: str, u: np.ndarray, v: np.ndarray, scale: float) -> np.ndarray | None:
    """How much of the second tone each pixel shows, float32 0..1; None for a plain object.

    u, v: the pixels in the object's own frame, in radii; scale: pixels a radius, for edges one pixel wide."""
    if texture == "striped":
        return _wave(u * np.float32(0.8) + v * np.float32(0.6), 0.62, scale) * 0.5 + 0.5
    if texture == "checkered":
        return _wave(u, 0.96, scale) * _wave(v, 0.96, scale) * 0.5 + 0.5
    if texture == "dotted":
        cell = 0.56
        x, y = (u / cell) % 1 - 0.5, (v / cell) % 1 - 0.5
        return np.clip((0.31 - np.sqrt(x * x + y * y)) * cell * scale + 0.5, 0, 1)
    if texture == "shaded":  # lit from the upper left
        return np.clip((u + v) * np.float32(0.75) + np.float32(0.35), 0, 1)
    return None


def _wave(position: np.ndarray, period: float, scale: float) -> np.ndarray:
    """Bars from -1 to 1 with edges one pixel wide; the change from one bar to the next is at 0."""
    triangle = np.abs((position / period + 0.25) % 1 - 0.5) - 0.25
    return np.clip(triangle * period * scale, -0.5, 0.5) * 2
