"""Small drawing tools that all procedural pictures share: soft steps, masks of polygons and strokes, fixed noise.

Colours are float32 sRGB values 0..1; masks are float32 opacities 0..1.
"""

from functools import cache

import cv2
import numpy as np

from salmu.data import keyed

SUBPIXEL = 4  # fractional bits of OpenCV's polygon coordinates


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth in between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def lerp(a, b, t):
    """Between a (t = 0) and b (t = 1)."""
    return a + (b - a) * t


def ramp(colours, t: float) -> np.ndarray:
    """The colour at t in 0..1 along a list of colours."""
    table = np.asarray(colours, np.float32)
    return np.array([np.interp(t, np.linspace(0, 1, len(table)), channel) for channel in table.T], np.float32)


def paint(image: np.ndarray, mask: np.ndarray, colour) -> None:
    """Lay a colour (or a picture of the same size) over the image, in place."""
    where = inked(mask)
    colour = np.asarray(colour, np.float32)
    part = image[where]
    part += mask[where][..., None] * (np.broadcast_to(colour, image.shape)[where] - part)


def darken(image: np.ndarray, mask: np.ndarray, strength=1.0) -> None:
    """Multiply the image by 1 - mask * strength (a number, or one a channel), in place."""
    where = inked(mask)
    image[where] *= 1 - mask[where][..., None] * np.float32(strength)


def inked(mask: np.ndarray) -> tuple[slice, slice]:
    """The box that holds everything of a mask that can be seen."""
    left, top, width, height = cv2.boundingRect((mask > 1 / 600).view(np.uint8))
    return slice(top, top + height), slice(left, left + width)


def soften(mask: np.ndarray, pixels: float) -> np.ndarray:
    """Gaussian blur; no change below a fifth of a pixel."""
    return cv2.GaussianBlur(mask, (0, 0), float(pixels)) if pixels > 0.2 else mask


def polygon(shape: tuple[int, int], points, blur: float = 0) -> np.ndarray:
    """Anti-aliased mask [h, w] of a closed polygon; points [n, 2] in pixels."""

    def draw(mask, fixed):
        cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, SUBPIXEL)

    return _drawn(shape, points, blur, 1, draw) / 255


def stroke(shape: tuple[int, int], points, width: float, blur: float = 0) -> np.ndarray:
    """Anti-aliased mask of an open polyline; thinner than a pixel is drawn fainter."""
    thick = max(1, round(width))

    def draw(mask, fixed):
        cv2.polylines(mask, [fixed], False, 255, thick, cv2.LINE_AA, SUBPIXEL)

    return _drawn(shape, points, blur, thick, draw) * np.float32(min(1.0, width) / 255)


def _drawn(shape: tuple[int, int], points, blur: float, thick: int, draw) -> np.ndarray:
    """A mask 0..255, drawn and blurred in the box around the points only."""
    points = np.asarray(points, np.float64) - 0.5  # OpenCV's pixels have their centres at whole numbers
    margin = 3 * blur + thick + 2
    left, top = np.clip(np.floor(points.min(0) - margin), 0, shape[::-1]).astype(int)
    right, bottom = np.clip(np.ceil(points.max(0) + margin), 0, shape[::-1]).astype(int)
    mask = np.zeros(shape, np.float32)
    if right > left and bottom > top:
        part = np.zeros((bottom - top, right - left), np.uint8)
        draw(part, np.round((points - (left, top)) * (1 << SUBPIXEL)).astype(np.int32))
        mask[top:bottom, left:right] = soften(part.astype(np.float32), blur)
    return mask


@cache
def noise(name: str, blur_x: float = 0, blur_y: float = 0, size: int = 256) -> np.ndarray:
    """A fixed periodic tile [size, size] of normal noise (mean 0, deviation 1), blurred by this many pixels."""
    tile = keyed.generator("noise", name).normal(size=(size, size)).astype(np.float32)
    reach_x, reach_y = int(4 * blur_x), int(4 * blur_y)
    if reach_x or reach_y:
        wide = np.pad(tile, ((reach_y, reach_y), (reach_x, reach_x)), mode="wrap")
        wide = cv2.GaussianBlur(wide, (2 * reach_x + 1, 2 * reach_y + 1), max(blur_x, 0.01), sigmaY=max(blur_y, 0.01))
        tile = wide[reach_y : reach_y + size, reach_x : reach_x + size]
    tile = (tile - tile.mean()) / tile.std()
    tile.setflags(write=False)
    return tile


def sample(tile: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The periodic tile at coordinates in tile pixels (nearest)."""
    last = len(tile) - 1  # the size is a power of two
    return tile[y.astype(np.int32) & last, x.astype(np.int32) & last]
