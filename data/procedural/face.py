"""A face with an expression as frontal maps: skin, beard and signs of age; features.py draws the rest."""

import numpy as np

from salmu.data.procedural.canvas import paint, smoothstep, soften
from salmu.data.procedural.facemap import Drawing, Expression, FaceMaps, hair_colour
from salmu.data.procedural.features import MouthShape, draw_brow, draw_eye, draw_mouth, draw_nose, mouth_shape
from salmu.data.procedural.person import Person

MOLE = np.array([0.23, 0.13, 0.09], np.float32)
BLUSH = np.array([0.86, 0.36, 0.30], np.float32)
FRECKLES = np.array([0.70, 0.52, 0.42], np.float32)  # darker than the skin by this


def draw_face(person: Person, expression: Expression, scale: float) -> FaceMaps:
    """The maps of a face at `scale` pixels a head unit."""
    drawing = Drawing(person, expression, scale)
    _skin(drawing)
    _bones(drawing)
    draw_nose(drawing.part(-0.5, -0.6, 0.5, 0.85))
    mouth = mouth_shape(person, expression)
    _beard(drawing, mouth)
    draw_mouth(drawing.part(-0.6, 0.45, 0.6, 1.3), mouth)
    for side in (-1, 1):
        middle = side * person.eye_spacing
        draw_eye(drawing.part(middle - 0.34, -0.32, middle + 0.34, 0.28), side)
        draw_brow(drawing.part(middle - 0.40, -0.56, middle + 0.40, 0.0), side)
    _forehead_lines(drawing)
    for side in (-1, 1):
        _lines_of_age(drawing, side)
    return FaceMaps(drawing.colour, drawing.relief, drawing.gloss, scale)


def _skin(d: Drawing) -> None:
    p = d.p
    cheeks = d.bump(-0.43, 0.36, 0.17, 0.15) + d.bump(0.43, 0.36, 0.17, 0.15)
    cheeks = cheeks + 0.6 * d.bump(0, p.nose_length, 0.11, 0.09)
    blush = BLUSH * np.float32(0.45 + 0.55 * (1 - p.skin_tone))
    strength = np.float32(0.16 + 0.30 * p.skin_redness) * np.float32(1 - 0.6 * p.skin_tone)
    paint(d.colour, np.clip(cheeks * strength, 0, 0.5), blush)
    d.colour *= 1 + 0.018 * d.tile("mottle", 5, 5, 128, 96)[..., None]
    if p.freckles > 0.02:
        speckle = smoothstep(1.5, 2.2, d.tile("freckles", 0.7, 0.7, 130, 95))
        where = d.bump(0, 0.28, 0.42, 0.19)
        paint(d.colour, np.clip(speckle * where * np.float32(0.75 * p.freckles), 0, 1), d.skin * FRECKLES)
    for x, y, size in ((p.mole_x, p.mole_y, p.mole_size), (p.second_mole_x, p.second_mole_y, p.second_mole_size)):
        if size > 0.008:
            circle = [(x + size * np.cos(t), y + size * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 12)]
            paint(d.colour, 0.85 * d.polygon(circle, 0.006), MOLE * np.float32(1.1 - 0.5 * p.skin_tone))


def _bones(d: Drawing) -> None:
    """Cheekbones, chin and the sockets of the eyes."""
    p = d.p
    d.relief += np.float32(p.cheek_relief) * (d.bump(-0.47, 0.27, 0.16, 0.15) + d.bump(0.47, 0.27, 0.16, 0.15))
    d.relief += np.float32(p.chin_relief) * d.bump(0, p.chin_length - 0.13, 0.16, 0.10)
    for side in (-1, 1):
        d.relief -= np.float32(p.eye_depth) * d.bump(side * p.eye_spacing, -0.02, 0.17, 0.10)
        d.relief -= np.float32(0.3 * p.eye_depth) * d.bump(side * 0.13, 0.0, 0.06, 0.08)


def _beard(d: Drawing, m: MouthShape) -> None:
    p = d.p
    if p.beard_style == "none":
        if p.gender == "male":  # a shaved beard still shows
            d.shadow(_jaw_mask(d, m), 0.10 * p.beard_density * (1 - 0.5 * p.hair_grey))
        return
    droop = 0.07 * (m.x / m.x[-1]) ** 2
    moustache = d.band(m.x * 1.12, m.top - 0.085 + droop, m.top + 0.012 + droop, 0.014)
    mask, opacity = {
        "stubble": lambda: (np.maximum(_jaw_mask(d, m), 0.8 * moustache), 0.38),
        "moustache": lambda: (moustache, 0.9),
        "goatee": lambda: (_goatee_mask(d, m, moustache), 0.85),
        "short beard": lambda: (np.maximum(_jaw_mask(d, m), moustache), 0.80),
        "full beard": lambda: (np.maximum(_jaw_mask(d, m), moustache), 0.94),
    }[p.beard_style]()
    hairs = d.tile("beard", 0.6, 1.6, 150, 110)
    colour = hair_colour(p)[None, None] * (1 + 0.20 * hairs[..., None])
    mask = np.clip(mask * np.float32(opacity * (0.72 + 0.28 * p.beard_density)) * (1 + 0.12 * hairs), 0, 0.97)
    paint(d.colour, mask, colour)
    if p.beard_style != "stubble":
        d.relief += 0.028 * soften(mask, 0.02 * d.k)
    d.gloss *= 1 - 0.8 * mask


def _goatee_mask(d: Drawing, m: MouthShape, moustache: np.ndarray) -> np.ndarray:
    p, low, corner = d.p, float(m.bottom.max()), float(m.top[0])
    chin = d.polygon(
        [
            (-0.19, low + 0.03),
            (0.19, low + 0.03),
            (0.23, low + 0.2),
            (0.14, p.chin_length + 0.1),
            (-0.14, p.chin_length + 0.1),
            (-0.23, low + 0.2),
        ],
        0.03,
    )
    edge = abs(m.x[0])
    side = d.polygon(
        [(edge + 0.02, corner), (edge - 0.06, low + 0.1), (edge + 0.12, low + 0.1), (edge + 0.1, corner)], 0.012
    )
    return np.maximum.reduce([moustache, chin, side, side[:, ::-1]])


def _jaw_mask(d: Drawing, m: MouthShape) -> np.ndarray:
    """Where a beard grows: the jaw up to the ears, without the lips and the cheeks."""
    mouth, edge = d.p.nose_length + d.p.mouth_height, d.p.face_width + 0.15
    right = [
        (0.0, mouth - 0.10),
        (0.16, mouth - 0.12),
        (0.33, mouth - 0.03),
        (0.46, mouth - 0.12),
        (0.58, mouth - 0.34),
        (0.66, 0.10),
        (edge, 0.10),
        (edge, 1.45),
        (0.0, 1.45),
    ]
    area = d.polygon(right + [(-x, y) for x, y in right[::-1]], 0.03)
    lips = d.band(m.x * 1.06, m.top - 0.012, m.bottom + 0.016, 0.012)
    return area * (1 - lips) * (1 - 0.85 * d.bump(0, mouth - 0.13, 0.05, 0.03))


def _visible(amount: float, low: float, high: float) -> float:
    return float(smoothstep(low, high, np.float32(amount)))


def _forehead_lines(d: Drawing) -> None:
    for row in range(3):
        y = -0.42 - 0.10 * row - 0.02 * d.e.brows
        x = np.linspace(-0.40 + 0.05 * row, 0.40 - 0.05 * row, 15)
        line = np.stack([x, y + 0.018 * np.cos(x * 7 + row) - 0.03 * (x / 0.42) ** 2], 1)
        amount = d.p.wrinkles + 0.2 * max(d.e.brows, 0) - 0.04 * row
        d.shadow(d.stroke(line, 0.013, 0.008), _visible(amount, 0.25, 0.95) * 0.30)


def _lines_of_age(d: Drawing, side: int) -> None:
    """Folds beside nose and mouth, crow's feet, jowls and the frown's crease, on one side."""
    p, e, amount, smile = d.p, d.e, d.p.wrinkles, max(d.e.smile, 0)
    low, wing = p.nose_length + p.mouth_height, p.nose_width * 1.05
    fold = [
        (side * wing, p.nose_length - 0.02),
        (side * (wing + 0.07), p.nose_length + 0.09),
        (side * (p.mouth_width * (1 + 0.2 * smile) + 0.055), low - 0.04),
        (side * (p.mouth_width + 0.07), low + 0.04),
    ]
    d.shadow(d.stroke(fold, 0.022, 0.015), min(0.55, 0.04 + 0.34 * amount + 0.22 * smile))
    d.relief += np.float32(0.05 * (amount + 0.6 * smile)) * d.bump(side * 0.40, 0.50, 0.09, 0.10)
    corner = (side * (p.eye_spacing + p.eye_width * 1.12), -0.01)
    for slope in (-0.5, 0.0, 0.5):
        feet = [corner, (corner[0] + side * 0.11, corner[1] + 0.11 * slope)]
        d.shadow(d.stroke(feet, 0.011, 0.006), _visible(amount + 0.25 * smile, 0.3, 0.9) * 0.45)
    jowl = [(side * (p.mouth_width + 0.03), low + 0.05), (side * (p.mouth_width + 0.07), low + 0.2)]
    d.shadow(d.stroke(jowl, 0.02, 0.015), 0.45 * p.jowls)
    d.shadow(d.bump(side * 0.44, 0.60, 0.07, 0.13), 0.22 * p.jowls)
    crease = [(side * 0.05, -0.28), (side * 0.045, -0.17)]
    d.shadow(d.stroke(crease, 0.013, 0.008), 0.35 * max(amount - 0.3, 0) + 0.35 * max(-e.brows, 0))
