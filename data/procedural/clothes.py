"""Clothes: a torso-shaped piece of cloth with the neckline, collar, lapels or hood of each kind of garment."""

import numpy as np

from salmu.data.procedural.canvas import darken, lerp, noise, paint, sample, smoothstep, soften
from salmu.data.procedural.torso import Torso
from salmu.data.procedural.view import COLOURS, View

DENIM = (0.26, 0.36, 0.50)
TIE, TIE_ON_RED = (0.42, 0.10, 0.14), (0.12, 0.16, 0.30)
CORD = (0.9, 0.9, 0.88)


def dress(t: Torso, view: View, shade: np.ndarray) -> None:
    """Paint the view's garment on a torso; shade [h, w, 3] is the light on it."""
    GARMENTS[view.clothing](t, view, shade)


def _cloth(t: Torso, view: View, shade: np.ndarray, colour=None, pattern: str | None = None) -> np.ndarray:
    """A picture of the fabric."""
    colour = np.float32(COLOURS[view.clothing_colour] if colour is None else colour)
    fabric = np.ones((*t.shape, 1), np.float32) * colour
    pattern = view.pattern if pattern is None else pattern
    other = np.float32((0.93, 0.92, 0.90)) if colour.mean() < 0.6 else colour * 0.45
    if pattern == "striped":
        stripes = smoothstep(0.35, 0.5, np.abs(np.mod(t.y * 3.6, 1) - 0.5)) * 0.8
        fabric = lerp(fabric, other, (stripes + 0 * t.x)[..., None])
    elif pattern == "checked":
        rows, columns = (smoothstep(0.2, 0.3, np.abs(np.mod(v * 2.6, 1) - 0.5)) for v in (t.y, t.x))
        fabric = lerp(fabric, other, 0.35 * (rows + columns)[..., None])
    folds = sample(noise("folds", 12, 20), t.x * 60 + 0.4 * t.y * 60 + 2048, t.y * 40 + 0 * t.x + 2048)
    sleeve = np.exp(-0.5 * ((np.abs(t.x) - 1.5 + 0.05 * t.y) / 0.06) ** 2) * (t.y > t.collar + 0.75)
    return fabric * shade * (1 + 0.06 * folds - 0.22 * sleeve)[..., None]


def _opening(t: Torso, width: float, depth: float, pointed: float) -> np.ndarray:
    """The neckline: 1 where skin shows."""
    n = t.neck * width
    steps = np.linspace(0, 1, 12)
    curve = [
        (n * (1 - s) ** (1 - 0.45 * (1 - pointed)), t.collar - 0.30 + (0.30 + depth) * s ** (1.0 + 1.4 * (1 - pointed)))
        for s in steps
    ]
    curve = [(x + t.turn * max(0.0, y - t.collar + 0.3), y) for x, y in curve]
    mirrored = [(-x + 2 * t.turn * max(0.0, y - t.collar + 0.3), y) for x, y in curve]
    return t.polygon([(n, -1), *curve, *mirrored[::-1], (-n, -1)])


def _top(t: Torso, view: View, shade: np.ndarray, width=1.12, depth=0.10, pointed=0.0, rim=True) -> None:
    """A plain top with a neckline."""
    hole = _opening(t, width, depth, pointed)
    mask = t.polygon(t.shoulders) * (1 - hole)
    paint(t.image, mask, _cloth(t, view, shade))
    if rim:
        darken(t.image, np.clip(soften(hole, 0.05 * t.k) * 2.2, 0, 1) * mask, 0.16)


def _sweater(t: Torso, view: View, shade: np.ndarray) -> None:
    _top(t, view, shade, width=1.16, depth=0.06)


def _blouse(t: Torso, view: View, shade: np.ndarray) -> None:
    _top(t, view, shade, depth=0.42, pointed=0.9)


def _dress(t: Torso, view: View, shade: np.ndarray) -> None:
    _top(t, view, shade, width=1.75, depth=0.34)


def _turtleneck(t: Torso, view: View, shade: np.ndarray) -> None:
    n, c = t.neck * 1.12, t.collar
    tube = t.symmetric([(n * 0.97, c - t.neck_length + 0.14), (n, c - 0.1), (n * 1.3, c + 0.1)])
    paint(t.image, np.maximum(t.polygon(t.shoulders), tube), _cloth(t, view, shade))
    fold = [(n, c - 0.06), (0.15, c + 0.02), (-0.15, c + 0.02), (-n, c - 0.06)]
    darken(t.image, t.stroke(fold, 0.035, 0.02), 0.22)
    darken(t.image, tube * np.clip(np.abs(t.x) / n, 0, 1) ** 3, 0.22)


def _collar(t: Torso, view: View, shade: np.ndarray, colour=None, size=1.0, lapel=0.30) -> None:
    n, c = t.neck, t.collar
    for side in (-1, 1):
        flap = [
            (side * n * 1.02, c - 0.30),
            (side * 0.05 + t.turn * 0.3, c + 0.10),
            (side * 0.26 * size + t.turn * 0.3, c + lapel),
            (side * n * 1.42, c - 0.02),
        ]
        paint(t.image, t.polygon(flap, 0.005), _cloth(t, view, shade, colour) * 1.06)
        darken(t.image, t.stroke(flap[1:], 0.022, 0.012), 0.30)


def _shirt(t: Torso, view: View, shade: np.ndarray) -> None:
    _top(t, view, shade, 1.05, 0.16, 1.0, rim=False)
    _collar(t, view, shade)
    darken(t.image, t.stroke([(t.turn * 0.4, t.collar + 0.14), (t.turn * 2.2, t.collar + 4)], 0.02, 0.012), 0.20)
    for row in range(5):
        x, y = t.turn * (0.4 + 0.4 * row), t.collar + 0.35 + 0.42 * row
        darken(t.image, t.stroke([(x, y), (x + 0.01, y)], 0.05, 0.008), 0.35)


def _jacket(t: Torso, view: View, shade: np.ndarray) -> None:
    """A suit with shirt and tie, or a blazer over a white top."""
    tie, c, n = view.clothing == "suit", t.collar, t.neck
    under = view.model_copy(update={"clothing_colour": "white", "pattern": "plain"})
    _top(t, under, shade, 1.05, 0.12 if tie else 0.40, 1.0, rim=False)
    if tie:
        _collar(t, under, shade, COLOURS["white"], 0.8, 0.24)
        _tie(t, view, shade)
    hole = t.polygon(
        [(n * 1.15, -1), (n * 1.25, c - 0.08), (t.turn * 1.2, c + 1.25), (-n * 1.25, c - 0.08), (-n * 1.15, -1)]
    )
    mask = t.polygon(t.shoulders) * (1 - hole)
    paint(t.image, mask, _cloth(t, view, shade))
    for side in (-1, 1):
        lapel = [
            (side * n * 1.2, c - 0.14),
            (side * 0.75, c + 0.42),
            (side * 0.58, c + 0.50),
            (side * 0.62, c + 0.58),
            (t.turn * 1.2 + side * 0.04, c + 1.28),
            (side * n * 0.9, c + 0.35),
        ]
        darken(t.image, t.stroke(lapel[1:5], 0.025, 0.012) * mask, 0.26)
        darken(t.image, t.polygon(lapel, 0.01) * mask, -0.08)
    darken(t.image, np.clip(soften(hole, 0.04 * t.k) * 2 * mask, 0, 1), 0.3)


def _tie(t: Torso, view: View, shade: np.ndarray) -> None:
    c, low = t.collar, t.turn * 1.2
    outline = [
        (-0.085 + t.turn * 0.4, c + 0.06),
        (0.085 + t.turn * 0.4, c + 0.06),
        (0.06 + t.turn * 0.5, c + 0.22),
        (0.14 + low, c + 2.2),
        (-0.14 + low, c + 2.2),
        (-0.06 + t.turn * 0.5, c + 0.22),
    ]
    colour = TIE_ON_RED if view.clothing_colour in ("red", "burgundy") else TIE
    paint(t.image, t.polygon(outline, 0.005), np.float32(colour) * shade)


def _hoodie(t: Torso, view: View, shade: np.ndarray) -> None:
    n, c = t.neck, t.collar
    hood = t.symmetric([(n * 1.1, c - 0.42), (n * 1.75, c - 0.22), (n * 1.9, c + 0.1), (n * 1.2, c + 0.4)], 0.01)
    hood *= 1 - t.symmetric([(n * 1.0, -1.0), (n * 1.02, c - 0.1), (0.1, c + 0.05)])
    _top(t, view, shade, 1.1, 0.08)
    paint(t.image, hood, _cloth(t, view, shade) * 0.86)
    for side in (-1, 1):
        cord = t.stroke([(side * 0.2 + t.turn * 0.3, c + 0.12), (side * 0.22 + t.turn, c + 0.85)], 0.035, 0.006)
        paint(t.image, cord, np.float32(CORD) * shade)


def _denim_jacket(t: Torso, view: View, shade: np.ndarray) -> None:
    """Open, over a top of the view's colour and pattern."""
    n, c = t.neck, t.collar
    _top(t, view, shade)
    gap = t.polygon(
        [(n * 1.1, -1), (n * 1.2, c), (0.34 + t.turn, c + 4), (-0.34 + t.turn, c + 4), (-n * 1.2, c), (-n * 1.1, -1)]
    )
    mask = t.polygon(t.shoulders) * (1 - gap)
    paint(t.image, mask, _cloth(t, view, shade, DENIM, "plain"))
    darken(t.image, np.clip(soften(gap, 0.04 * t.k) * 2 * mask, 0, 1), 0.25)
    for side in (-1, 1):
        flap = [
            (side * n * 1.08, c - 0.26),
            (side * n * 1.5, c - 0.05),
            (side * 0.66, c + 0.34),
            (side * n * 1.0, c + 0.20),
        ]
        paint(t.image, t.polygon(flap, 0.005), _cloth(t, view, shade, DENIM, "plain") * 1.15)
        darken(t.image, t.stroke(flap[1:], 0.02, 0.012), 0.3)


GARMENTS = {
    "t-shirt": _top,
    "sweater": _sweater,
    "turtleneck": _turtleneck,
    "blouse": _blouse,
    "dress": _dress,
    "shirt": _shirt,
    "polo shirt": _shirt,
    "suit": _jacket,
    "blazer": _jacket,
    "hoodie": _hoodie,
    "denim jacket": _denim_jacket,
}
