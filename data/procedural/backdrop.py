"""Backgrounds: simple scenes, painted small and out of focus behind the person."""

import cv2
import numpy as np

from salmu.data import keyed
from salmu.data.procedural.canvas import lerp, noise, paint, polygon
from salmu.data.procedural.view import View

SHORT_SIDE = 128  # backgrounds are painted at this size, whatever the picture's


def draw_backdrop(view: View, width: int, height: int) -> np.ndarray:
    """The blurred background [h, w, 3] of a picture."""
    factor = SHORT_SIDE / min(width, height)
    w, h = max(1, round(width * factor)), max(1, round(height * factor))
    rng = keyed.generator("backdrop", view.detail_seed)
    image = np.ascontiguousarray(PAINTERS[view.background](rng, w, h), np.float32)
    image = cv2.GaussianBlur(image, (0, 0), max(0.6, view.blur * SHORT_SIDE))
    return np.clip(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)


def _gradient(w: int, h: int, top, bottom) -> np.ndarray:
    t = np.linspace(0, 1, h, dtype=np.float32)[:, None, None]
    return np.tile(lerp(np.float32(top), np.float32(bottom), t), (1, w, 1)).astype(np.float32)


def _box(image: np.ndarray, x0: float, y0: float, x1: float, y1: float, colour) -> None:
    h, w = image.shape[:2]
    image[max(0, round(y0)) : max(0, min(h, round(y1))), max(0, round(x0)) : max(0, min(w, round(x1)))] = np.float32(
        colour
    )


def _texture(name: str, w: int, h: int, blur_x: float, blur_y: float, rng) -> np.ndarray:
    tile = noise(name, blur_x, blur_y)
    y, x = rng.integers(0, 256, 2)
    return np.take(np.take(tile, np.arange(y, y + h) % 256, 0), np.arange(x, x + w) % 256, 1)


def _hue(rng, choices) -> np.ndarray:
    return np.float32(choices[int(rng.integers(len(choices)))]) * np.float32(rng.uniform(0.9, 1.08))


def _blobs(
    image: np.ndarray, rng, count: int, colours, size: tuple[float, float], y_range: tuple[float, float], opacity: float
) -> None:
    h, w = image.shape[:2]
    for _ in range(count):
        x, y, r = rng.uniform(0, w), h * rng.uniform(*y_range), rng.uniform(*size)
        angle = np.linspace(0, 2 * np.pi, 16)
        paint(
            image,
            opacity * polygon((h, w), np.stack([x + r * np.cos(angle), y + r * np.sin(angle)], 1)),
            _hue(rng, colours),
        )


def _plain_wall(rng, w, h):
    colour = _hue(
        rng,
        [
            (0.80, 0.78, 0.74),
            (0.62, 0.70, 0.74),
            (0.74, 0.62, 0.54),
            (0.55, 0.62, 0.52),
            (0.82, 0.74, 0.62),
            (0.46, 0.50, 0.60),
        ],
    )
    x = np.linspace(0, 1, w, dtype=np.float32)[None, :, None]
    left, right = np.float32(rng.uniform(0.75, 1.1, 2))
    image = _gradient(w, h, colour * 1.05, colour * 0.85) * lerp(left, right, x)
    return image * (1 + 0.02 * _texture("wall", w, h, 3, 3, rng)[..., None])


def _studio(rng, w, h):
    colour = _hue(rng, [(0.66, 0.67, 0.69), (0.52, 0.55, 0.60), (0.72, 0.70, 0.66), (0.60, 0.62, 0.58)])
    x, y = np.meshgrid(np.linspace(-1, 1, w), np.linspace(-1, 1, h))
    return (colour * (1.12 - 0.28 * np.minimum(x * x + (y + 0.1) ** 2, 1.6))[..., None]).astype(np.float32)


def _living_room(rng, w, h):
    image = _gradient(w, h, *([_hue(rng, [(0.84, 0.79, 0.70), (0.70, 0.74, 0.72), (0.78, 0.68, 0.60)])] * 2))
    x, ww = rng.uniform(0, 0.8) * w, rng.uniform(0.25, 0.45) * min(w, h)
    _box(image, x, 0.08 * h, x + ww, 0.55 * h, (0.97, 0.98, 1.0))
    _box(image, x + ww * 0.47, 0.08 * h, x + ww * 0.53, 0.55 * h, (0.75, 0.73, 0.70))
    curtain = _hue(rng, [(0.62, 0.30, 0.26), (0.36, 0.46, 0.56), (0.70, 0.62, 0.50)])
    _box(image, x - ww * 0.22, 0.03 * h, x + 2, 0.8 * h, curtain)
    _box(image, x + ww - 2, 0.03 * h, x + ww * 1.22, 0.8 * h, curtain)
    _box(image, 0, 0.72 * h, w, h, _hue(rng, [(0.52, 0.44, 0.38), (0.34, 0.40, 0.46), (0.50, 0.30, 0.26)]))
    px = rng.uniform(0, w)
    _box(
        image,
        px,
        0.18 * h,
        px + 0.22 * min(w, h),
        0.42 * h,
        _hue(rng, [(0.3, 0.35, 0.3), (0.75, 0.6, 0.3), (0.35, 0.25, 0.3)]),
    )
    _blobs(image, rng, 2, [(1.0, 0.88, 0.62)], (6, 12), (0.2, 0.5), 0.9)
    return image


def _office(rng, w, h):
    image = _gradient(w, h, (0.86, 0.88, 0.90), (0.66, 0.69, 0.73))
    for x in np.arange(rng.uniform(-30, 0), w, 44):
        pane = lerp(np.float32((0.70, 0.82, 0.93)), np.float32((0.93, 0.96, 1.0)), np.float32(rng.random()))
        _box(image, x, 0.05 * h, x + 38, 0.5 * h, pane)
    for _ in range(1 + w // 60):
        x = rng.uniform(-10, w)
        _box(image, x, 0.58 * h, x + rng.uniform(20, 34), 0.74 * h, (0.13, 0.15, 0.18))
    _box(image, 0, 0.74 * h, w, h, _hue(rng, [(0.55, 0.44, 0.34), (0.60, 0.62, 0.64), (0.35, 0.30, 0.28)]))
    return image


def _bookshelf(rng, w, h):
    image = _gradient(w, h, (0.30, 0.20, 0.13), (0.24, 0.16, 0.10))
    for top in range(2, h, 32):
        x = rng.uniform(-6, 2)
        while x < w:
            wide, tall = rng.uniform(3, 8), rng.uniform(17, 27)
            _box(
                image,
                x,
                top + 28 - tall,
                x + wide - 0.6,
                top + 28,
                _hue(
                    rng,
                    [
                        (0.60, 0.20, 0.16),
                        (0.18, 0.32, 0.46),
                        (0.76, 0.68, 0.50),
                        (0.24, 0.40, 0.28),
                        (0.72, 0.50, 0.20),
                        (0.32, 0.24, 0.30),
                    ],
                ),
            )
            x += wide + (rng.uniform(4, 12) if rng.random() < 0.08 else 0)
        _box(image, 0, top + 28, w, top + 31, (0.44, 0.30, 0.19))
    return image


def _cafe(rng, w, h):
    image = _gradient(w, h, (0.30, 0.20, 0.14), (0.42, 0.29, 0.20))
    _blobs(
        image, rng, 5 + w // 22, [(1.0, 0.80, 0.45), (1.0, 0.68, 0.36), (0.98, 0.88, 0.66)], (3, 9), (0.02, 0.55), 0.8
    )
    _box(image, 0, 0.62 * h, w, 0.67 * h, (0.55, 0.38, 0.24))
    _blobs(
        image, rng, 4 + w // 40, [(0.52, 0.36, 0.28), (0.24, 0.28, 0.30), (0.60, 0.52, 0.42)], (7, 14), (0.6, 0.95), 0.8
    )
    return image


def _kitchen(rng, w, h):
    cupboard = _hue(rng, [(0.90, 0.89, 0.86), (0.42, 0.52, 0.50), (0.66, 0.48, 0.32)])
    image = _gradient(w, h, (0.90, 0.88, 0.84), (0.82, 0.80, 0.76))
    for x in np.arange(rng.uniform(-30, 0), w, 36):
        _box(image, x, 0, x + 34, 0.34 * h, cupboard)
        _box(image, x, 0.66 * h, x + 34, h, cupboard * 0.92)
    for x in np.arange(0, w, 9):
        _box(image, x, 0.34 * h, x + 0.9, 0.6 * h, (0.72, 0.71, 0.69))
    _box(image, 0, 0.6 * h, w, 0.66 * h, (0.30, 0.28, 0.27))
    _blobs(
        image,
        rng,
        4,
        [(0.75, 0.25, 0.18), (0.85, 0.66, 0.22), (0.30, 0.50, 0.30), (0.6, 0.62, 0.65)],
        (3, 7),
        (0.54, 0.6),
        0.95,
    )
    return image


def _brick_wall(rng, w, h):
    image = _gradient(w, h, (0.66, 0.60, 0.55), (0.58, 0.52, 0.48))
    colour = _hue(rng, [(0.58, 0.28, 0.20), (0.68, 0.42, 0.30), (0.70, 0.68, 0.66)])
    for row, y in enumerate(range(0, h, 9)):
        for x in range(-20 + 10 * (row % 2), w, 21):
            _box(image, x, y, x + 19, y + 7.6, colour * np.float32(rng.uniform(0.82, 1.14)))
    return image


def _street(rng, w, h):
    image = _gradient(w, h, (0.72, 0.82, 0.93), (0.90, 0.90, 0.88))
    x = rng.uniform(-20, 0)
    while x < w:
        wide, top = rng.uniform(20, 46), rng.uniform(0.0, 0.3) * h
        colour = _hue(rng, [(0.62, 0.52, 0.44), (0.72, 0.66, 0.58), (0.48, 0.50, 0.54), (0.66, 0.42, 0.34)])
        _box(image, x, top, x + wide, 0.8 * h, colour)
        for wy in np.arange(top + 6, 0.72 * h, 13):
            for wx in np.arange(x + 4, x + wide - 6, 10):
                _box(image, wx, wy, wx + 5, wy + 8, colour * 0.55)
        x += wide
    _box(image, 0, 0.78 * h, w, h, (0.46, 0.46, 0.47))
    _blobs(
        image,
        rng,
        1 + w // 70,
        [(0.62, 0.12, 0.12), (0.16, 0.24, 0.40), (0.85, 0.85, 0.86)],
        (8, 14),
        (0.74, 0.82),
        0.95,
    )
    return image


def _park(rng, w, h):
    image = _gradient(w, h, (0.68, 0.82, 0.94), (0.86, 0.92, 0.93))
    _box(image, 0, 0.66 * h, w, h, (0.40, 0.56, 0.24))
    for _ in range(3 + w // 40):
        x = rng.uniform(0, w)
        _box(image, x, 0.45 * h, x + rng.uniform(3, 7), 0.74 * h, (0.30, 0.22, 0.16))
    _blobs(
        image,
        rng,
        16 + w // 6,
        [(0.20, 0.38, 0.16), (0.30, 0.50, 0.20), (0.42, 0.58, 0.24), (0.16, 0.30, 0.16)],
        (8, 20),
        (0.12, 0.58),
        0.85,
    )
    _blobs(image, rng, 10, [(0.80, 0.90, 0.62)], (2, 5), (0.1, 0.5), 0.6)
    return image


def _garden(rng, w, h):
    image = _gradient(w, h, (0.30, 0.46, 0.24), (0.20, 0.34, 0.16))
    _blobs(image, rng, 20 + w // 6, [(0.24, 0.42, 0.20), (0.36, 0.54, 0.26), (0.16, 0.30, 0.14)], (6, 15), (0, 1), 0.8)
    _blobs(
        image,
        rng,
        16 + w // 8,
        [(0.90, 0.42, 0.52), (0.94, 0.82, 0.34), (0.92, 0.90, 0.92), (0.62, 0.40, 0.72)],
        (2, 5),
        (0.1, 1),
        0.9,
    )
    return image


def _beach(rng, w, h):
    horizon = rng.uniform(0.36, 0.5)
    image = _gradient(w, h, (0.42, 0.68, 0.92), (0.86, 0.93, 0.97))
    _box(image, 0, horizon * h, w, 0.68 * h, (0.16, 0.50, 0.62))
    _box(image, 0, 0.60 * h, w, 0.68 * h, (0.36, 0.66, 0.70))
    _box(image, 0, 0.66 * h, w, 0.69 * h, (0.95, 0.96, 0.95))
    _box(image, 0, 0.69 * h, w, h, (0.88, 0.78, 0.60))
    _blobs(image, rng, 3, [(1.0, 1.0, 1.0)], (6, 14), (0.05, 0.25), 0.5)
    return image


def _mountains(rng, w, h):
    image = _gradient(w, h, (0.46, 0.66, 0.90), (0.92, 0.93, 0.92))
    for level, colour in ((0.30, (0.60, 0.68, 0.78)), (0.44, (0.42, 0.52, 0.58)), (0.62, (0.26, 0.38, 0.28))):
        xs = np.arange(-20, w + 45, 22)
        ys = h * level + rng.uniform(-0.11, 0.11, len(xs)) * min(h, 160)
        paint(image, polygon((h, w), [(-30, h + 5), *zip(xs, ys), (w + 50, h + 5)]), colour)
    return image


def _city_at_night(rng, w, h):
    image = _gradient(w, h, (0.06, 0.07, 0.15), (0.16, 0.12, 0.18))
    _blobs(
        image,
        rng,
        12 + w // 6,
        [(1.0, 0.72, 0.30), (0.95, 0.30, 0.26), (0.36, 0.62, 0.95), (0.98, 0.92, 0.70), (0.40, 0.85, 0.60)],
        (2.5, 8),
        (0.1, 0.85),
        0.75,
    )
    return image


PAINTERS = {
    "plain wall": _plain_wall,
    "living room": _living_room,
    "office": _office,
    "bookshelf": _bookshelf,
    "cafe": _cafe,
    "kitchen": _kitchen,
    "brick wall": _brick_wall,
    "studio": _studio,
    "street": _street,
    "park": _park,
    "beach": _beach,
    "mountains": _mountains,
    "city at night": _city_at_night,
    "garden": _garden,
}
