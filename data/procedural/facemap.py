"""The two frontal maps of a face, colour and relief towards the front, and the drawing tools that work on them."""

from copy import copy
from typing import NamedTuple

import cv2
import numpy as np

from salmu.data.procedural.canvas import darken, lerp, noise, polygon, ramp, smoothstep, stroke
from salmu.data.procedural.person import Person

LEFT, RIGHT, TOP, BOTTOM = -0.95, 0.95, -1.15, 1.45  # frontal coordinates that the maps cover

SKIN = [
    (0.97, 0.86, 0.79),
    (0.93, 0.77, 0.67),
    (0.83, 0.63, 0.49),
    (0.68, 0.48, 0.34),
    (0.49, 0.32, 0.22),
    (0.31, 0.20, 0.14),
]
HAIR = [
    (0.07, 0.06, 0.06),
    (0.16, 0.10, 0.07),
    (0.31, 0.18, 0.10),
    (0.52, 0.24, 0.11),
    (0.60, 0.44, 0.25),
    (0.86, 0.72, 0.46),
]
GREY = (0.78, 0.77, 0.76)
SHADOW_TINT = np.array([0.8, 1.0, 1.05], np.float32)  # shadows on skin lose less red


class Expression(NamedTuple):
    """How a face moves; 0 is at rest."""

    smile: float = 0.0  # -0.4 sad .. 1 broad
    mouth_open: float = 0.0  # 0..1
    eyes_open: float = 1.0  # 0.25 squint .. 1.15 wide
    brows: float = 0.0  # -1 frown .. 1 raised
    gaze: float = 0.0  # -1 image left .. 1 image right


class FaceMaps(NamedTuple):
    """What a face looks like from the front, before light falls on it."""

    colour: np.ndarray  # [h, w, 3]
    relief: np.ndarray  # [h, w], head units
    gloss: np.ndarray  # [h, w]
    scale: float  # pixels a head unit

    def at(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixel coordinates of frontal coordinates."""
        return (x - np.float32(LEFT)) * np.float32(self.scale), (y - np.float32(TOP)) * np.float32(self.scale)


def skin_colour(person: Person) -> np.ndarray:
    """The mean colour of the skin."""
    base = ramp(SKIN, person.skin_tone)
    return np.clip(base * (1 + person.skin_undertone * np.array([-0.012, 0.012, -0.06], np.float32)), 0, 1)


def hair_colour(person: Person) -> np.ndarray:
    """The colour of the hair, grey mixed in."""
    grey = smoothstep(0.25, 0.95, np.float32(person.hair_grey))
    return lerp(ramp(HAIR, person.hair_colour), np.array(GREY, np.float32), 0.95 * grey)


class Drawing:
    """The maps while they are drawn, or a window on them; coordinates in head units.

    p: the person, e: the expression, k: pixels a head unit, x [1, w] and y [h, 1]: coordinates of the pixels."""

    def __init__(self, person: Person, expression: Expression, scale: float):
        self.p, self.e, self.k = person, expression, scale
        self.origin = (LEFT, TOP)
        self.shape = (int((BOTTOM - TOP) * scale) + 1, int((RIGHT - LEFT) * scale) + 1)
        self.x = (np.arange(self.shape[1], dtype=np.float32) / np.float32(scale) + np.float32(LEFT))[None, :]
        self.y = (np.arange(self.shape[0], dtype=np.float32) / np.float32(scale) + np.float32(TOP))[:, None]
        self.skin = skin_colour(person)
        self.colour = np.empty((*self.shape, 3), np.float32)
        self.colour[:] = self.skin
        self.relief = np.zeros(self.shape, np.float32)
        self.gloss = np.full(self.shape, 0.22, np.float32)

    def part(self, left: float, top: float, right: float, bottom: float) -> "Drawing":
        """A window on the same maps, to draw small things faster."""
        rows = slice(max(0, int((top - TOP) * self.k)), int((bottom - TOP) * self.k))
        columns = slice(max(0, int((left - LEFT) * self.k)), int((right - LEFT) * self.k))
        window = copy(self)
        window.x, window.y = self.x[:, columns], self.y[rows]
        window.colour, window.relief = self.colour[rows, columns], self.relief[rows, columns]
        window.gloss = self.gloss[rows, columns]
        window.shape = window.relief.shape
        window.origin = (LEFT + columns.start / self.k, TOP + rows.start / self.k)
        return window

    def pixels(self, points) -> np.ndarray:
        """Pixels of the window; whole numbers are the centres of pixels in the maps."""
        return (np.asarray(points, np.float64) - self.origin) * self.k + 0.5

    def polygon(self, points, blur: float = 0.0) -> np.ndarray:
        return polygon(self.shape, self.pixels(points), blur * self.k)

    def band(self, x, top, bottom, blur: float = 0.0) -> np.ndarray:
        """The area between two lines over the same x."""
        return self.polygon(np.concatenate([np.stack([x, top], 1), np.stack([x, bottom], 1)[::-1]]), blur)

    def stroke(self, points, width: float, blur: float = 0.0) -> np.ndarray:
        return stroke(self.shape, self.pixels(points), width * self.k, blur * self.k)

    def bump(self, x: float, y: float, rx: float, ry: float) -> np.ndarray:
        """A Gaussian hill of height 1."""
        across = np.exp(-0.5 * ((self.x - np.float32(x)) / np.float32(rx)) ** 2)
        return across * np.exp(-0.5 * ((self.y - np.float32(y)) / np.float32(ry)) ** 2)

    def tile(self, name: str, blur_x: float, blur_y: float, rows: int, columns: int) -> np.ndarray:
        """A piece of a fixed noise tile, stretched over the window."""
        piece = noise(name, blur_x, blur_y)[:rows, :columns]
        return cv2.resize(piece, self.shape[::-1], interpolation=cv2.INTER_LINEAR)

    def shadow(self, mask: np.ndarray, strength: float) -> None:
        """Darken and redden the skin under a mask."""
        if strength > 0.01:
            darken(self.colour, mask, np.float32(strength) * SHADOW_TINT)
