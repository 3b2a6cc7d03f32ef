"""Nose, mouth, eyes and brows of a face, drawn into its frontal maps."""

from typing import NamedTuple

import numpy as np

from salmu.data.procedural.canvas import lerp, paint, ramp, smoothstep, soften
from salmu.data.procedural.facemap import Drawing, Expression, hair_colour
from salmu.data.procedural.person import Person

IRIS = [
    (0.16, 0.09, 0.05),
    (0.34, 0.19, 0.09),
    (0.47, 0.33, 0.14),
    (0.36, 0.45, 0.22),
    (0.30, 0.50, 0.66),
    (0.52, 0.60, 0.66),
]
LIPSTICK = [(0.86, 0.38, 0.32), (0.80, 0.20, 0.24), (0.75, 0.28, 0.42), (0.50, 0.10, 0.22)]
EYE_SHADOW = [(0.45, 0.25, 0.30), (0.30, 0.28, 0.36), (0.42, 0.30, 0.18)]
LID = np.array([0.30, 0.18, 0.16], np.float32)
LASH = np.array([0.10, 0.06, 0.05], np.float32)
BROW = np.array([0.10, 0.07, 0.06], np.float32)


def draw_nose(d: Drawing) -> None:
    p = d.p
    tip = p.nose_length
    t = np.clip((d.y + 0.14) / (tip + 0.14), 0, 1)
    ridge = (0.10 + 0.62 * t**1.5) * p.nose_relief + p.nose_hump * np.exp(-0.5 * ((t - 0.45) / 0.16) ** 2)
    below = np.exp(-0.5 * (np.clip(d.y - tip, 0, 9) / 0.05) ** 2)
    below = below * np.exp(-0.5 * (np.clip(-0.14 - d.y, 0, 9) / 0.1) ** 2)
    width = np.float32(p.nose_bridge) * (0.75 + 0.45 * t)
    d.relief += (ridge * below * np.exp(-0.5 * (d.x / width) ** 2)).astype(np.float32)
    d.relief += np.float32(0.42 * p.nose_relief) * d.bump(0, tip - 0.01, p.nose_tip * 0.8, p.nose_tip * 0.62)
    for side in (-1, 1):
        wing = side * p.nose_width * 0.72
        d.relief += np.float32(0.085) * d.bump(wing, tip + 0.015, 0.045, 0.05)
        nostril = [
            (side * (p.nose_width * 0.43 + 0.036 * np.cos(t)), tip + 0.062 + 0.017 * np.sin(t) - 0.008 * np.cos(t))
            for t in np.linspace(0, 2 * np.pi, 14)
        ]
        d.shadow(d.polygon(nostril, 0.008), 0.66)
        fold = [
            (side * p.nose_width * 0.92, tip - 0.06),
            (side * p.nose_width * 1.04, tip),
            (side * p.nose_width * 0.95, tip + 0.055),
            (side * p.nose_width * 0.72, tip + 0.075),
        ]
        d.shadow(d.stroke(fold, 0.016, 0.010), 0.30)
    d.shadow(d.bump(0, tip + 0.085, p.nose_width * 0.7, 0.02), 0.14)
    d.relief -= 0.018 * d.bump(0, tip + 0.5 * p.mouth_height, 0.03, 0.05)
    d.gloss += 0.35 * d.bump(0, tip - 0.03, 0.05, 0.05) + 0.15 * d.bump(0, -0.55, 0.25, 0.12)


class MouthShape(NamedTuple):
    """Outlines of the lips as arrays over x: outer top, inner top, inner bottom, outer bottom."""

    x: np.ndarray
    top: np.ndarray
    inner_top: np.ndarray
    inner_bottom: np.ndarray
    bottom: np.ndarray


def mouth_shape(p: Person, e: Expression) -> MouthShape:
    """The lips in frontal coordinates."""
    t = np.linspace(-1, 1, 25)
    width = p.mouth_width * (1 + 0.24 * max(e.smile, 0) - 0.10 * e.mouth_open * (e.smile < 0.3))
    arch = np.clip(1 - t * t, 0, 1)
    middle = p.nose_length + p.mouth_height - (p.lip_curve + 0.085 * e.smile) * (t * t - 0.35) - 0.012 * e.smile
    gap = 0.20 * e.mouth_open * arch**0.7
    stretch = 1 - 0.28 * max(e.smile, 0)
    cupid = 1 - 0.30 * np.exp(-0.5 * (t / 0.13) ** 2) + 0.10 * np.exp(-0.5 * ((np.abs(t) - 0.28) / 0.14) ** 2)
    inner_top, inner_bottom = middle - 0.35 * gap, middle + 0.65 * gap
    return MouthShape(
        t * width,
        inner_top - p.upper_lip * stretch * arch**0.75 * cupid,
        inner_top,
        inner_bottom,
        inner_bottom + p.lower_lip * stretch * arch**0.8,
    )


def draw_mouth(d: Drawing, m: MouthShape) -> None:
    p = d.p
    natural = d.skin * np.array([0.86, 0.62, 0.60], np.float32)
    made_up = ramp(LIPSTICK, p.lip_hue) * np.float32(1.05 - 0.45 * p.skin_tone)
    lip = lerp(natural, made_up, np.float32(smoothstep(0.3, 0.85, np.float32(p.lip_redness)) * 0.85))
    paint(d.colour, 0.93 * d.band(m.x, m.top, m.bottom, 0.009), lip)
    upper, lower = d.band(m.x, m.top, m.inner_top, 0.012), d.band(m.x, m.inner_bottom, m.bottom, 0.012)
    d.shadow(upper, 0.10)
    d.relief += 0.035 * soften(upper, 0.015 * d.k) + 0.055 * soften(lower, 0.022 * d.k)
    d.gloss += lower * np.float32(0.15 + 0.5 * p.lip_redness)
    if d.e.mouth_open > 0.06:
        _teeth(d, m)
    else:
        d.shadow(d.stroke(np.stack([m.x, m.inner_top], 1), 0.018, 0.006), 0.62)
    for corner in (0, -1):
        d.shadow(d.bump(m.x[corner], m.inner_top[corner], 0.02, 0.018), 0.25)
    d.shadow(d.bump(0, float(m.bottom.max()) + 0.045, p.mouth_width * 0.55, 0.028), 0.20)


def _teeth(d: Drawing, m: MouthShape) -> None:
    inside = d.band(m.x, m.inner_top, m.inner_bottom, 0.004)
    paint(d.colour, inside, (0.25, 0.09, 0.08))
    gap = m.inner_bottom - m.inner_top
    teeth = d.band(m.x * 0.93, m.inner_top, m.inner_top + gap * (0.75 if d.e.smile > 0.3 else 0.4), 0.006)
    paint(d.colour, teeth, (0.93, 0.91, 0.87))
    d.gloss *= 1 - 0.8 * inside
    d.relief -= 0.03 * inside


def eye_outline(p: Person, e: Expression, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, upper lid y and lower lid y of an eye, inner corner first; side -1 is the image's left."""
    t = np.linspace(-1, 1, 21)
    tilt = -p.eye_tilt * t
    opening = p.eye_opening * e.eyes_open
    upper = tilt - opening * np.clip(1 - np.abs(t - 0.08 * (1 - t * t)) ** 2.2, 0, 1) ** 0.8
    drop = 0.62 * p.eye_opening * min(1.0, 0.5 + 0.5 * e.eyes_open) - 0.022 * max(e.smile, 0)
    lower = tilt + drop * np.clip(1 - np.abs(t) ** 2.4, 0, 1)
    return side * (p.eye_spacing + t * p.eye_width), upper, np.maximum(lower, upper)


def draw_eye(d: Drawing, side: int) -> None:
    p = d.p
    x, upper, lower = eye_outline(p, d.e, side)
    upper_lid = np.stack([x, upper], 1)
    shade = lerp(LID, ramp(EYE_SHADOW, p.lip_hue), 0.6)
    lid = d.bump(side * p.eye_spacing, -0.09, p.eye_width * 0.95, 0.062)
    paint(d.colour, lid * np.float32(0.10 + 0.55 * p.eye_shadow), d.skin * shade * 2 if p.eye_shadow < 0.1 else shade)
    d.shadow(d.bump(side * (p.eye_spacing - p.eye_width * 0.95), -0.02, 0.05, 0.06), 0.16)
    white = d.band(x, upper, lower, 0.004)
    paint(d.colour, white, (0.92, 0.90, 0.88))
    lid_shadow = d.stroke(upper_lid + (0, 0.028), 0.05, 0.014) * white
    _iris(d, side * p.eye_spacing + 0.055 * d.e.gaze, white, lid_shadow)
    paint(d.colour, np.float32(0.55 + 0.4 * p.lashes) * d.stroke(upper_lid, 0.016 + 0.026 * p.lashes, 0.005), LASH)
    lower_line = d.stroke(np.stack([x, lower], 1), 0.014, 0.006)
    paint(d.colour, np.float32(0.16 + 0.32 * p.lashes) * lower_line, d.skin * np.array([0.45, 0.32, 0.30], np.float32))
    if p.lashes > 0.45:
        tail = [
            (x[-3], upper[-3]),
            (x[-1], upper[-1] - 0.004),
            (x[-1] + side * 0.045 * p.lashes, upper[-1] - 0.038 * p.lashes),
        ]
        paint(d.colour, np.float32(0.85) * d.stroke(tail, 0.028 * p.lashes, 0.004), LASH)
    crease = np.stack([x, upper - 0.042 * (0.6 + 0.4 * d.e.eyes_open) * np.linspace(0.7, 1.1, 21)], 1)
    d.shadow(d.stroke(crease, 0.014, 0.007), 0.48 * p.eyelid_crease)
    d.relief += 0.022 * soften(white, 0.03 * d.k)
    d.gloss += 0.1 * white
    d.shadow(d.stroke(np.stack([x[3:-2], lower[3:-2] + 0.075], 1), 0.03, 0.018), 0.34 * p.eye_bags)


def _iris(d: Drawing, x: float, white: np.ndarray, lid_shadow: np.ndarray) -> None:
    """Iris, pupil, the lid's shadow and the glint, cut to the white of the eye."""
    radius, edge = d.p.iris_size, np.float32(1.2 / d.k)
    distance = np.sqrt((d.x - np.float32(x)) ** 2 + (d.y + np.float32(0.008)) ** 2)
    iris = white * (1 - smoothstep(radius - edge, radius + edge, distance))
    glow = (0.75 + 0.55 * smoothstep(0.2 * radius, 0.8 * radius, distance))[..., None] * ramp(IRIS, d.p.iris_colour)
    glow = glow * (1 - 0.55 * smoothstep(0.72 * radius, radius, distance))[..., None]
    paint(d.colour, iris, glow)
    pupil = white * (1 - smoothstep(0.40 * radius - edge, 0.40 * radius + edge, distance))
    paint(d.colour, pupil, (0.03, 0.03, 0.03))
    d.shadow(lid_shadow, 0.42)
    glint = np.exp(-0.5 * (((d.x - np.float32(x - 0.022)) ** 2 + (d.y + 0.038) ** 2) / 0.016**2))
    paint(d.colour, np.clip(white * glint * 0.95, 0, 1), (1, 1, 1))


def draw_brow(d: Drawing, side: int) -> None:
    p = d.p
    t = np.linspace(0, 1, 17)
    x = lerp(p.brow_gap, p.eye_spacing + p.eye_width * 1.22, t)
    lift = 0.055 * d.e.brows
    arch = p.brow_arch * np.sin(np.pi * np.clip(t * 0.9 + 0.12, 0, 1)) ** 1.5
    line = -p.brow_height - lift * (0.6 + 0.4 * t) - p.brow_tilt * t - arch + 0.09 * t**3
    line = line + 0.05 * max(-d.e.brows, 0) * (1 - t)
    half = 0.5 * p.brow_thickness * (0.75 + 0.6 * np.sin(np.pi * np.clip(t * 0.75 + 0.12, 0, 1))) * (1 - 0.75 * t**3)
    mask = d.band(side * x, line - half, line + half, 0.009)
    hairs = d.tile("brow", 0, 2.2, 60, 70)
    colour = lerp(hair_colour(p), BROW, np.float32(0.45 * p.brow_darkness * (1 - 0.6 * p.hair_grey)))
    paint(d.colour, np.clip(mask * (0.42 + 0.55 * p.brow_darkness) * (1 + 0.14 * hairs), 0, 0.97), colour)
    bone = d.bump(side * p.eye_spacing * 0.95, -p.brow_height - lift + 0.01, 0.17, 0.05)
    d.relief += 0.03 * bone * (1.4 if p.gender == "male" else 0.5)
