"""Scenes as pixels."""

import cv2
import numpy as np

from salmu.data.procedural.scenes.compose import Scene, Thing
from salmu.data.procedural.scenes.grounds import painted
from salmu.data.procedural.scenes.objects import SHAPES, second_tone, tones

OVERSAMPLING = 4  # per axis; 16 coverage levels, no jagged edges at 48 px and more
SUBPIXEL = 6  # fractional bits of OpenCV's polygon coordinates
REACH = 1.3  # radii within which every outline lies, turned or not


def render_scene(scene: Scene, size: int) -> np.ndarray:
    """The scene as an RGB image, uint8 [size, size, 3]; edges are anti-aliased by oversampling."""
    image = painted(scene.ground, scene.variant, size) + np.float32(scene.light)
    if scene.mirrored:
        image = image[:, ::-1].copy()
    for thing in sorted(scene.things, key=lambda thing: -thing.radius):  # what is inside another comes on top of it
        _draw(image, thing, size)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _draw(image: np.ndarray, thing: Thing, size: int) -> None:
    """Paint an object into the picture, in place."""
    radius, reach = thing.radius * size, REACH * thing.radius * size
    left, top = max(0, int(thing.x * size - reach)), max(0, int(thing.y * size - reach))
    right, bottom = min(size, int(thing.x * size + reach) + 1), min(size, int(thing.y * size + reach) + 1)
    centre = (thing.x * size - left, thing.y * size - top)
    turn = _turn(thing.angle)
    outlines = [outline @ turn * radius + centre for outline in SHAPES[thing.shape]]
    coverage = _coverage(outlines, right - left, bottom - top)
    colour, second = tones(thing.colour, thing.texture)
    shown = colour + np.array(thing.tint, np.float32)
    x = (np.arange(right - left, dtype=np.float32) + np.float32(0.5 - centre[0])) / np.float32(radius)
    y = (np.arange(bottom - top, dtype=np.float32)[:, None] + np.float32(0.5 - centre[1])) / np.float32(radius)
    (a, b), (c, d) = turn.T.astype(np.float32)
    share = second_tone(thing.texture, x * a + y * b, x * c + y * d, radius)
    if share is not None:
        shown = shown + share[:, :, None] * (second - shown)
    part = image[top:bottom, left:right]
    part += coverage[:, :, None] * (shown - part)


def _turn(angle: float) -> np.ndarray:
    """Turns row vectors [n, 2] by an angle in radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([(cos, sin), (-sin, cos)])


def _coverage(outlines: list[np.ndarray], width: int, height: int) -> np.ndarray:
    """Share of each pixel that lies within an odd number of the outlines, float32 [height, width]."""
    mask = np.zeros((height * OVERSAMPLING, width * OVERSAMPLING), np.uint8)
    corners = [
        np.rint((outline * OVERSAMPLING - 0.5) * 2**SUBPIXEL).astype(np.int32)  # OpenCV's pixel centres are whole
        for outline in outlines
    ]
    cv2.fillPoly(mask, corners, 255, shift=SUBPIXEL)
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
