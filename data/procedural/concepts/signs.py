"""Signs of invented groups: a divided field in two colours, worn on the chest or hung up behind a person."""

from typing import NamedTuple

import cv2
import numpy as np

from salmu.data.procedural.canvas import paint, polygon
from salmu.data.procedural.person import Person, draw_person
from salmu.data.procedural.render import render
from salmu.data.procedural.scenes.compose import pick
from salmu.data.procedural.view import PLACES, View, draw_view
from salmu.data.schemas import AGE_GROUPS, GENDERS, REGIONS

CARRIERS = ("clothes", "background")
COLOURS = {
    "red": (206, 28, 36),
    "blue": (30, 60, 190),
    "green": (22, 130, 62),
    "yellow": (250, 214, 40),
    "black": (16, 16, 20),
    "white": (248, 248, 244),
    "violet": (118, 40, 150),
    "orange": (244, 124, 24),
}
PAIRS = (
    ("red", "white"),
    ("blue", "yellow"),
    ("black", "orange"),
    ("green", "white"),
    ("violet", "yellow"),
    ("white", "blue"),
    ("yellow", "black"),
    ("orange", "green"),
)
DIVISIONS = ("stripe", "cross", "quarters", "chevron", "disc", "diagonal")
FINE = 96  # pixels at which a sign is drawn before it is made smaller


class Sign(NamedTuple):
    """What all members of a group show."""

    field: str  # of COLOURS
    charge: str
    division: str


def signs(count: int) -> list[Sign]:
    """The first `count` signs. Those that share their colours differ in the division; each is there once."""
    return [
        Sign(*PAIRS[number % len(PAIRS)], DIVISIONS[(number + number // len(PAIRS) * 3) % len(DIVISIONS)])
        for number in range(count)
    ]


MOST = len(PAIRS) * len(DIVISIONS)


def draw_sign(sign: Sign, size: int) -> np.ndarray:
    """A sign, float32 [size, size, 3], grey levels 0..255."""
    x, y = np.meshgrid(*(((np.arange(FINE, dtype=np.float32) + 0.5) / FINE * 2 - 1,) * 2))
    charged = {
        "stripe": np.abs(x) < 0.34,
        "cross": (np.abs(x) < 0.24) | (np.abs(y) < 0.24),
        "quarters": x * y > 0,
        "chevron": np.abs(y - np.abs(x) + 0.25) < 0.34,
        "disc": np.hypot(x, y) < 0.5,
        "diagonal": x + y > 0,
    }[sign.division]
    image = np.where(charged[..., None], *(np.float32(COLOURS[name]) for name in (sign.charge, sign.field)))
    return cv2.resize(image.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)


class Portrait(NamedTuple):
    image: np.ndarray  # uint8 [size, size, 3]
    person: Person


def draw_member(sign: Sign | None, carrier: str, background: str, rng: np.random.Generator, size: int) -> Portrait:
    """A portrait of somebody new in front of a background, with a sign on the carrier, or without one."""
    person = draw_person(rng, pick(rng, GENDERS), pick(rng, AGE_GROUPS), pick(rng, REGIONS))
    image = render(person, _view(rng, person, background), size, size).image.astype(np.float32)
    if sign:
        (_hang_up if carrier == "background" else _pin_on)(image, sign, rng)
    return Portrait(np.clip(np.rint(image), 0, 255).astype(np.uint8), person)


def _view(rng: np.random.Generator, person: Person, background: str) -> View:
    """Half a body, upright, in the middle of a square: the chest and both upper corners can be seen."""
    place = next(name for name, backgrounds in PLACES.items() if background in backgrounds)
    changed = {"aspect_ratio": 1.0, "place": place, "background": background, "framing": "half body"}
    changed |= {"scale": rng.uniform(0.185, 0.205), "centre_x": rng.uniform(0.46, 0.54), "centre_y": 0.0, "roll": 0.0}
    return draw_view(rng, person).model_copy(update=changed)


def _pin_on(image: np.ndarray, sign: Sign, rng: np.random.Generator) -> None:
    """A round badge on the chest, with a rim."""
    size = len(image)
    radius = rng.uniform(0.16, 0.175) * size
    centre = np.array([rng.uniform(0.46, 0.54), rng.uniform(0.815, 0.83)]) * size
    angle = np.linspace(0, 2 * np.pi, 48)
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    rim = (30, 30, 30) if sum(COLOURS[sign.field]) > 420 else (240, 240, 240)
    paint(image, polygon(image.shape[:2], circle * (radius + 0.012 * size) + centre), rim)
    _lay(image, sign, centre - radius, 2 * radius, polygon(image.shape[:2], circle * radius + centre), rng)


def _hang_up(image: np.ndarray, sign: Sign, rng: np.random.Generator) -> None:
    """A banner in one of the upper corners."""
    size = len(image)
    side = rng.uniform(0.31, 0.34) * size
    left = rng.uniform(0, 0.02) * size if rng.random() < 0.5 else size - side - rng.uniform(0, 0.02) * size
    corner = np.array([left, rng.uniform(0.02, 0.08) * size])
    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * side + corner
    _lay(image, sign, corner, side, polygon(image.shape[:2], square), rng)


def _lay(image: np.ndarray, sign: Sign, corner: np.ndarray, side: float, mask: np.ndarray, rng) -> None:
    """Paint a sign of this side into the picture at a corner, where the mask is; in the light of the picture."""
    drawn = np.zeros_like(image)
    left, top, edge = int(round(corner[0])), int(round(corner[1])), int(round(side)) + 1
    right, bottom = min(left + edge, len(image)), min(top + edge, len(image))
    drawn[top:bottom, left:right] = draw_sign(sign, edge)[: bottom - top, : right - left]
    paint(image, mask, drawn * np.float32(rng.uniform(0.85, 1.05)))
