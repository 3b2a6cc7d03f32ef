"""Backgrounds of the small world: ten materials in muted colours, so that no ground is taken for an object."""

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np

from salmu.data.keyed import generator
from salmu.data.procedural.scenes.objects import COLOURS

VARIANTS = 12  # of each ground; mirrored and lit by the scene
CONTRAST = 95  # least distance in RGB of an object from the tones of the ground under it


class Ground(NamedTuple):
    tones: tuple[tuple[int, int, int], ...]  # the main one, then what its pattern adds
    phrases: tuple[str, ...]  # how a caption puts an object there


GROUNDS = {
    "paper": Ground(((236, 234, 228),), ("on white paper", "on a white background", "on a sheet of paper")),
    "concrete": Ground(((132, 132, 130),), ("on grey concrete", "on a grey background", "on a concrete floor")),
    "blackboard": Ground(((34, 38, 38),), ("on a blackboard", "on a black background", "drawn on a blackboard")),
    "sky": Ground(((142, 178, 212), (182, 202, 222)), ("in the sky", "in front of a cloudy sky", "under a pale sky")),
    "night": Ground(((22, 25, 46),), ("in the night sky", "at night", "in the dark of the night")),
    "grass": Ground(((92, 118, 68), (112, 134, 82)), ("on grass", "on a lawn", "in a meadow")),
    "sand": Ground(((204, 184, 142), (190, 170, 130)), ("on sand", "on a sandy beach", "in the sand")),
    "bricks": Ground(((146, 96, 80), (168, 140, 126)), ("on a brick wall", "in front of a brick wall")),
    "wood": Ground(((158, 122, 84), (138, 104, 70)), ("on a wooden table", "on wooden boards", "on wood")),
    "tiles": Ground(((108, 110, 116), (136, 138, 142)), ("on a tiled floor", "on grey tiles", "on floor tiles")),
}


@cache
def grounds_for(colours: frozenset[str]) -> tuple[str, ...]:
    """The grounds on which objects of all these colours can be seen."""
    return tuple(
        name
        for name, ground in GROUNDS.items()
        if all(np.linalg.norm(np.subtract(COLOURS[own], tone)) >= CONTRAST for own in colours for tone in ground.tones)
    )


@cache
def painted(name: str, variant: int, size: int) -> np.ndarray:
    """A ground, float32 RGB [size, size, 3], grey levels 0..255; the same variant looks alike in every size."""
    rng = generator("scenes", "ground", name, variant)
    tones = np.array(GROUNDS[name].tones, np.float32)
    share = _PATTERNS[name](rng, size) if name in _PATTERNS else np.zeros((size, size), np.float32)
    image = tones[0] + share[:, :, None] * (tones[-1] - tones[0])
    roughness = {"concrete": 9, "grass": 9, "bricks": 5, "paper": 2}.get(name, 4)
    image += roughness * _noise(rng, 40, size)[:, :, None] + 3 * _noise(rng, 4, size)[:, :, None]
    if name == "night":
        for x, y in (rng.uniform(0, size, (14, 2))).astype(int):
            image[y, x] += 110
    return image


def _noise(rng: np.random.Generator, cells: int, size: int) -> np.ndarray:
    """Smooth noise of deviation about 1 with `cells` bumps a side, float32 [size, size]."""
    return cv2.resize(rng.standard_normal((cells, cells), np.float32), (size, size), interpolation=cv2.INTER_LINEAR)


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    steps = (np.arange(size, dtype=np.float32) + 0.5) / size
    return np.meshgrid(steps, steps)


def _bars(position: np.ndarray, width: float, size: int) -> np.ndarray:
    """1 within `width` of each whole number, with soft edges, else 0; position in periods."""
    distance = np.abs((position + 0.5) % 1 - 0.5)
    return np.clip((width - distance) * size * 0.2 + 0.5, 0, 1)


def _clouds(rng: np.random.Generator, size: int) -> np.ndarray:
    return np.clip(_noise(rng, 5, size) * 0.5 + 0.25, 0, 1)


def _tufts(rng: np.random.Generator, size: int) -> np.ndarray:
    blades = cv2.resize(rng.standard_normal((12, 40), np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    return np.clip(blades * 0.5 + 0.5, 0, 1)


def _ripples(rng: np.random.Generator, size: int) -> np.ndarray:
    x, y = _grid(size)
    return np.sin(2 * np.pi * (7 * y + rng.uniform() + 0.35 * _noise(rng, 4, size) + x)) * 0.5 + 0.5


def _mortar(rng: np.random.Generator, size: int) -> np.ndarray:
    x, y = _grid(size)
    rows = y * 7 + rng.uniform()
    return np.maximum(_bars(rows, 0.09, size), _bars(x * 3.2 + rng.uniform() + np.floor(rows) % 2 / 2, 0.045, size))


def _planks(rng: np.random.Generator, size: int) -> np.ndarray:
    x, y = _grid(size)
    grain = cv2.resize(rng.standard_normal((30, 3), np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    return np.clip(_bars(y * 4.2 + rng.uniform(), 0.04, size) + 0.3 + 0.3 * grain, 0, 1)


def _checks(rng: np.random.Generator, size: int) -> np.ndarray:
    x, y = _grid(size)
    shift, cells = rng.uniform(0, 2, 2), rng.uniform(4, 5.5)
    return ((np.floor(x * cells + shift[0]) + np.floor(y * cells + shift[1])) % 2).astype(np.float32)


_PATTERNS = {"sky": _clouds, "grass": _tufts, "sand": _ripples, "bricks": _mortar, "wood": _planks, "tiles": _checks}
