"""Signs of invented groups: a divided field in two colours, on the clothes of a person or on banners behind."""

from typing import NamedTuple

import cv2
import numpy as np

from salmu.data.procedural.canvas import paint
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


def draw_sign(sign: Sign, width: int, height: int) -> np.ndarray:
    """A sign, float32 [height, width, 3], grey levels 0..255."""
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
    return cv2.resize(image.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)


class Portrait(NamedTuple):
    image: np.ndarray  # uint8 [size, size, 3]
    person: Person


def draw_member(sign: Sign | None, carrier: str, background: str, rng: np.random.Generator, size: int) -> Portrait:
    """A portrait of somebody new in front of a background, with a sign on the carrier, or without one."""
    person = draw_person(rng, pick(rng, GENDERS), pick(rng, AGE_GROUPS), pick(rng, REGIONS))
    view = _view(rng, person, background)
    if sign and carrier == "clothes":
        image = _dressed(person, view, sign, size)
    else:
        image = render(person, view, size, size).image.astype(np.float32)
    if sign and carrier == "background":
        _hang_up(image, sign, rng)
    return Portrait(np.clip(np.rint(image), 0, 255).astype(np.uint8), person)


def _view(rng: np.random.Generator, person: Person, background: str) -> View:
    """Half a body, upright, in the middle of a square: the chest and both upper corners can be seen."""
    place = next(name for name, backgrounds in PLACES.items() if background in backgrounds)
    changed = {"aspect_ratio": 1.0, "place": place, "background": background, "framing": "half body"}
    changed |= {"scale": rng.uniform(0.185, 0.205), "centre_x": rng.uniform(0.46, 0.54), "centre_y": 0.0, "roll": 0.0}
    return draw_view(rng, person).model_copy(update=changed)


def _dressed(person: Person, view: View, sign: Sign, size: int) -> np.ndarray:
    """The person in a top that bears the sign. Where a white and a black one differ, there is cloth."""
    white, black = (
        render(
            person,
            view.model_copy(update={"clothing": "t-shirt", "clothing_colour": colour, "pattern": "plain"}),
            size,
            size,
        ).image.astype(np.float32)
        for colour in ("white", "black")
    )
    cloth = np.clip((white - black).mean(2) / 60, 0, 1)
    left, top, width, height = cv2.boundingRect((cloth > 0.5).astype(np.uint8))
    across = min(width, round(0.62 * size))  # without the sleeves
    left += (width - across) // 2
    bright = white.mean(2, keepdims=True) / 235
    drawn = np.float32(COLOURS[sign.field]) * np.ones_like(white)
    drawn[top : top + height, left : left + across] = draw_sign(sign, across, height)
    paint(white, cloth, drawn * bright)
    return white


def _hang_up(image: np.ndarray, sign: Sign, rng: np.random.Generator) -> None:
    """Banners in both upper corners, in the light of the picture."""
    size = len(image)
    side, top = round(rng.uniform(0.3, 0.33) * size), round(rng.uniform(0.02, 0.07) * size)
    drawn = draw_sign(sign, side, side) * np.float32(rng.uniform(0.85, 1.05))
    image[top : top + side, :side] = image[top : top + side, -side:] = drawn
