"""The face as two frontal maps: colour, and relief towards the front; both depend on the person and on the expression."""

from copy import copy
from typing import NamedTuple

import cv2
import numpy as np

from data.procedural.canvas import darken, lerp, noise, paint, polygon, ramp, smoothstep, soften, stroke
from data.procedural.person import Person

LEFT, RIGHT, TOP, BOTTOM = -0.95, 0.95, -1.15, 1.45      # frontal coordinates that the maps cover

SKIN = [(0.97, 0.86, 0.79), (0.93, 0.77, 0.67), (0.83, 0.63, 0.49), (0.68, 0.48, 0.34), (0.49, 0.32, 0.22), (0.31, 0.20, 0.14)]
IRIS = [(0.16, 0.09, 0.05), (0.34, 0.19, 0.09), (0.47, 0.33, 0.14), (0.36, 0.45, 0.22), (0.30, 0.50, 0.66), (0.52, 0.60, 0.66)]
HAIR = [(0.07, 0.06, 0.06), (0.16, 0.10, 0.07), (0.31, 0.18, 0.10), (0.52, 0.24, 0.11), (0.60, 0.44, 0.25), (0.86, 0.72, 0.46)]
LIPSTICK = [(0.86, 0.38, 0.32), (0.80, 0.20, 0.24), (0.75, 0.28, 0.42), (0.50, 0.10, 0.22)]


class Expression(NamedTuple):
    """How a face moves; 0 is at rest."""

    smile: float = 0.0                    # -0.4 sad .. 1 broad
    mouth_open: float = 0.0               # 0..1
    eyes_open: float = 1.0                # 0.25 squint .. 1.15 wide
    brows: float = 0.0                    # -1 frown .. 1 raised
    gaze: float = 0.0                     # -1 image left .. 1 image right


class FaceMaps(NamedTuple):
    colour: np.ndarray                    # [h, w, 3]
    relief: np.ndarray                    # [h, w], head units
    gloss: np.ndarray                     # [h, w]
    scale: float                          # pixels a head unit

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
    return lerp(ramp(HAIR, person.hair_colour), np.array([0.78, 0.77, 0.76], np.float32), 0.95 * grey)


class _Drawing:
    """The maps while they are drawn, or a part of them; coordinates in head units."""

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

    def part(self, left: float, top: float, right: float, bottom: float) -> "_Drawing":
        """A window on the same maps, to draw small things faster."""
        rows = slice(max(0, int((top - TOP) * self.k)), int((bottom - TOP) * self.k))
        columns = slice(max(0, int((left - LEFT) * self.k)), int((right - LEFT) * self.k))
        window = copy(self)
        window.x, window.y = self.x[:, columns], self.y[rows]
        window.colour, window.relief, window.gloss = (full[rows, columns] for full in (self.colour, self.relief, self.gloss))
        window.shape = window.relief.shape
        window.origin = (LEFT + columns.start / self.k, TOP + rows.start / self.k)
        return window

    def pixels(self, points) -> np.ndarray:
        """Pixels of the part; whole numbers are the centres of pixels in the maps."""
        return (np.asarray(points, np.float64) - self.origin) * self.k + 0.5

    def polygon(self, points, blur: float = 0.0) -> np.ndarray:
        return polygon(self.shape, self.pixels(points), blur * self.k)

    def stroke(self, points, width: float, blur: float = 0.0) -> np.ndarray:
        return stroke(self.shape, self.pixels(points), width * self.k, blur * self.k)

    def bump(self, x: float, y: float, rx: float, ry: float) -> np.ndarray:
        """A Gaussian hill of height 1."""
        return np.exp(-0.5 * ((self.x - np.float32(x)) / np.float32(rx)) ** 2) * np.exp(-0.5 * ((self.y - np.float32(y)) / np.float32(ry)) ** 2)

    def shadow(self, mask: np.ndarray, strength: float) -> None:
        """Darken and redden the skin under a mask."""
        if strength > 0.01:
            darken(self.colour, mask, np.float32(strength) * np.array([0.8, 1.0, 1.05], np.float32))


def draw_face(person: Person, expression: Expression, scale: float) -> FaceMaps:
    """The maps of a face at `scale` pixels a head unit."""
    drawing = _Drawing(person, expression, scale)
    _skin(drawing)
    _nose(drawing.part(-0.5, -0.6, 0.5, 0.85))
    mouth = mouth_shape(person, expression)
    _beard(drawing, mouth)
    _mouth(drawing.part(-0.6, 0.45, 0.6, 1.3), mouth)
    for side in (-1, 1):
        middle = side * person.eye_spacing
        _eye(drawing.part(middle - 0.34, -0.32, middle + 0.34, 0.28), side)
        _brow(drawing.part(middle - 0.40, -0.56, middle + 0.40, 0.0), side)
    _age(drawing)
    return FaceMaps(drawing.colour, drawing.relief, drawing.gloss, scale)


def _skin(d: _Drawing) -> None:
    p = d.p
    cheeks = d.bump(-0.43, 0.36, 0.17, 0.15) + d.bump(0.43, 0.36, 0.17, 0.15) + 0.6 * d.bump(0, p.nose_length, 0.11, 0.09)
    blush = np.array([0.86, 0.36, 0.30], np.float32) * np.float32(0.45 + 0.55 * (1 - p.skin_tone))
    paint(d.colour, np.clip(cheeks * np.float32(0.16 + 0.30 * p.skin_redness) * np.float32(1 - 0.6 * p.skin_tone), 0, 0.5), blush)
    mottle = cv2.resize(noise("mottle", 5, 5)[:128, :96], d.shape[::-1], interpolation=cv2.INTER_LINEAR)
    d.colour *= 1 + 0.018 * mottle[..., None]
    if p.freckles > 0.02:
        speckle = smoothstep(1.5, 2.2, cv2.resize(noise("freckles", 0.7, 0.7)[:130, :95], d.shape[::-1], interpolation=cv2.INTER_LINEAR))
        where = d.bump(0, 0.28, 0.42, 0.19)
        paint(d.colour, np.clip(speckle * where * np.float32(0.75 * p.freckles), 0, 1), d.skin * np.array([0.70, 0.52, 0.42], np.float32))
    for x, y, size in ((p.mole_x, p.mole_y, p.mole_size), (p.second_mole_x, p.second_mole_y, p.second_mole_size)):
        if size > 0.008:
            circle = [(x + size * np.cos(t), y + size * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 12)]
            paint(d.colour, 0.85 * d.polygon(circle, 0.006), np.array([0.23, 0.13, 0.09], np.float32) * np.float32(1.1 - 0.5 * p.skin_tone))
    d.relief += np.float32(p.cheek_relief) * (d.bump(-0.47, 0.27, 0.16, 0.15) + d.bump(0.47, 0.27, 0.16, 0.15))
    d.relief += np.float32(p.chin_relief) * d.bump(0, p.chin_length - 0.13, 0.16, 0.10)
    for side in (-1, 1):
        d.relief -= np.float32(p.eye_depth) * d.bump(side * p.eye_spacing, -0.02, 0.17, 0.10)
        d.relief -= np.float32(0.3 * p.eye_depth) * d.bump(side * 0.13, 0.0, 0.06, 0.08)


def _nose(d: _Drawing) -> None:
    p = d.p
    tip = p.nose_length
    t = np.clip((d.y + 0.14) / (tip + 0.14), 0, 1)
    ridge = (0.10 + 0.62 * t ** 1.5) * p.nose_relief + p.nose_hump * np.exp(-0.5 * ((t - 0.45) / 0.16) ** 2)
    below = np.exp(-0.5 * (np.clip(d.y - tip, 0, 9) / 0.05) ** 2) * np.exp(-0.5 * (np.clip(-0.14 - d.y, 0, 9) / 0.1) ** 2)
    width = np.float32(p.nose_bridge) * (0.75 + 0.45 * t)
    d.relief += (ridge * below * np.exp(-0.5 * (d.x / width) ** 2)).astype(np.float32)
    d.relief += np.float32(0.42 * p.nose_relief) * d.bump(0, tip - 0.01, p.nose_tip * 0.8, p.nose_tip * 0.62)
    for side in (-1, 1):
        wing = side * p.nose_width * 0.72
        d.relief += np.float32(0.085) * d.bump(wing, tip + 0.015, 0.045, 0.05)
        nostril = [(side * (p.nose_width * 0.43 + 0.036 * np.cos(t)), tip + 0.062 + 0.017 * np.sin(t) - 0.008 * np.cos(t))
                   for t in np.linspace(0, 2 * np.pi, 14)]
        d.shadow(d.polygon(nostril, 0.008), 0.66)
        fold = [(side * p.nose_width * 0.92, tip - 0.06), (side * p.nose_width * 1.04, tip), (side * p.nose_width * 0.95, tip + 0.055),
                (side * p.nose_width * 0.72, tip + 0.075)]
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
    gap = 0.20 * e.mouth_open * arch ** 0.7
    stretch = 1 - 0.28 * max(e.smile, 0)
    cupid = 1 - 0.30 * np.exp(-0.5 * (t / 0.13) ** 2) + 0.10 * np.exp(-0.5 * ((np.abs(t) - 0.28) / 0.14) ** 2)
    inner_top, inner_bottom = middle - 0.35 * gap, middle + 0.65 * gap
    return MouthShape(t * width, inner_top - p.upper_lip * stretch * arch ** 0.75 * cupid, inner_top, inner_bottom,
                      inner_bottom + p.lower_lip * stretch * arch ** 0.8)


def _mouth(d: _Drawing, m: MouthShape) -> None:
    p = d.p
    natural = d.skin * np.array([0.86, 0.62, 0.60], np.float32)
    made_up = ramp(LIPSTICK, p.lip_hue) * np.float32(1.05 - 0.45 * p.skin_tone)
    lip = lerp(natural, made_up, np.float32(smoothstep(0.3, 0.85, np.float32(p.lip_redness)) * 0.85))
    around = np.concatenate([np.stack([m.x, m.top], 1), np.stack([m.x, m.bottom], 1)[::-1]])
    paint(d.colour, 0.93 * d.polygon(around, 0.009), lip)
    upper = d.polygon(np.concatenate([np.stack([m.x, m.top], 1), np.stack([m.x, m.inner_top], 1)[::-1]]), 0.012)
    lower = d.polygon(np.concatenate([np.stack([m.x, m.inner_bottom], 1), np.stack([m.x, m.bottom], 1)[::-1]]), 0.012)
    d.shadow(upper, 0.10)
    d.relief += 0.035 * soften(upper, 0.015 * d.k) + 0.055 * soften(lower, 0.022 * d.k)
    d.gloss += lower * np.float32(0.15 + 0.5 * p.lip_redness)
    if d.e.mouth_open > 0.06:
        hole = np.concatenate([np.stack([m.x, m.inner_top], 1), np.stack([m.x, m.inner_bottom], 1)[::-1]])
        inside = d.polygon(hole, 0.004)
        paint(d.colour, inside, (0.25, 0.09, 0.08))
        gap = m.inner_bottom - m.inner_top
        teeth = np.concatenate([np.stack([m.x, m.inner_top], 1), np.stack([m.x, m.inner_top + gap * (0.75 if d.e.smile > 0.3 else 0.4)], 1)[::-1]])
        paint(d.colour, d.polygon(teeth * (0.93, 1), 0.006), (0.93, 0.91, 0.87))
        d.gloss *= 1 - 0.8 * inside
        d.relief -= 0.03 * inside
    else:
        d.shadow(d.stroke(np.stack([m.x, m.inner_top], 1), 0.018, 0.006), 0.62)
    for side in (0, -1):
        d.shadow(d.bump(m.x[side], m.inner_top[side], 0.02, 0.018), 0.25)
    d.shadow(d.bump(0, float(m.bottom.max()) + 0.045, p.mouth_width * 0.55, 0.028), 0.20)


def eye_outline(p: Person, e: Expression, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, upper lid y and lower lid y of an eye; side -1 is the image's left."""
    t = np.linspace(-1, 1, 21)                            # inner corner to outer corner
    tilt = -p.eye_tilt * t
    opening = p.eye_opening * e.eyes_open
    upper = tilt - opening * np.clip(1 - np.abs(t - 0.08 * (1 - t * t)) ** 2.2, 0, 1) ** 0.8
    lower = tilt + (0.62 * p.eye_opening * min(1.0, 0.5 + 0.5 * e.eyes_open) - 0.022 * max(e.smile, 0)) * np.clip(1 - np.abs(t) ** 2.4, 0, 1)
    return side * (p.eye_spacing + t * p.eye_width), upper, np.maximum(lower, upper)


def _eye(d: _Drawing, side: int) -> None:
    p = d.p
    x, upper, lower = eye_outline(p, d.e, side)
    centre = (side * p.eye_spacing, 0.0)
    lids = np.stack([x, upper], 1), np.stack([x, lower], 1)
    shade = lerp(np.array([0.30, 0.18, 0.16], np.float32), ramp([(0.45, 0.25, 0.30), (0.30, 0.28, 0.36), (0.42, 0.30, 0.18)], p.lip_hue), 0.6)
    lid = d.bump(centre[0], -0.09, p.eye_width * 0.95, 0.062)
    paint(d.colour, lid * np.float32(0.10 + 0.55 * p.eye_shadow), d.skin * shade * 2 if p.eye_shadow < 0.1 else shade)
    d.shadow(d.bump(side * (p.eye_spacing - p.eye_width * 0.95), -0.02, 0.05, 0.06), 0.16)
    white = d.polygon(np.concatenate([lids[0], lids[1][::-1]]), 0.004)
    paint(d.colour, white, (0.92, 0.90, 0.88))
    top = d.stroke(lids[0] + (0, 0.028), 0.05, 0.014) * white
    iris_x = centre[0] + 0.055 * d.e.gaze
    radius = p.iris_size
    distance = np.sqrt((d.x - np.float32(iris_x)) ** 2 + (d.y + np.float32(0.008)) ** 2)
    edge = np.float32(1.2 / d.k)
    iris = white * (1 - smoothstep(radius - edge, radius + edge, distance))
    colour = ramp(IRIS, p.iris_colour)
    glow = (0.75 + 0.55 * smoothstep(0.2 * radius, 0.8 * radius, distance))[..., None] * colour
    glow = glow * (1 - 0.55 * smoothstep(0.72 * radius, radius, distance))[..., None]
    paint(d.colour, iris, glow)
    paint(d.colour, white * (1 - smoothstep(0.40 * radius - edge, 0.40 * radius + edge, distance)), (0.03, 0.03, 0.03))
    d.shadow(top, 0.42)
    glint = np.exp(-0.5 * (((d.x - np.float32(iris_x - 0.022)) ** 2 + (d.y + 0.038) ** 2) / 0.016 ** 2))
    paint(d.colour, np.clip(white * glint * 0.95, 0, 1), (1, 1, 1))
    dark = np.array([0.10, 0.06, 0.05], np.float32)
    paint(d.colour, np.float32(0.55 + 0.4 * p.lashes) * d.stroke(lids[0], 0.016 + 0.026 * p.lashes, 0.005), dark)
    paint(d.colour, np.float32(0.16 + 0.32 * p.lashes) * d.stroke(lids[1], 0.014, 0.006), d.skin * np.array([0.45, 0.32, 0.30], np.float32))
    if p.lashes > 0.45:
        tail = [(x[-3], upper[-3]), (x[-1], upper[-1] - 0.004), (x[-1] + side * 0.045 * p.lashes, upper[-1] - 0.038 * p.lashes)]
        paint(d.colour, np.float32(0.85) * d.stroke(tail, 0.028 * p.lashes, 0.004), dark)
    crease = np.stack([x, upper - 0.042 * (0.6 + 0.4 * d.e.eyes_open) * np.linspace(0.7, 1.1, 21)], 1)
    d.shadow(d.stroke(crease, 0.014, 0.007), 0.48 * p.eyelid_crease)
    d.relief += 0.022 * soften(white, 0.03 * d.k)
    d.gloss += 0.1 * white
    bag = np.stack([x[3:-2], lower[3:-2] + 0.075], 1)
    d.shadow(d.stroke(bag, 0.03, 0.018), 0.34 * p.eye_bags)


def _brow(d: _Drawing, side: int) -> None:
    p = d.p
    t = np.linspace(0, 1, 17)
    x = lerp(p.brow_gap, p.eye_spacing + p.eye_width * 1.22, t)
    lift = 0.055 * d.e.brows
    line = -p.brow_height - lift * (0.6 + 0.4 * t) - p.brow_tilt * t - p.brow_arch * np.sin(np.pi * np.clip(t * 0.9 + 0.12, 0, 1)) ** 1.5 + 0.09 * t ** 3
    line = line + 0.05 * max(-d.e.brows, 0) * (1 - t)
    half = 0.5 * p.brow_thickness * (0.75 + 0.6 * np.sin(np.pi * np.clip(t * 0.75 + 0.12, 0, 1))) * (1 - 0.75 * t ** 3)
    mask = d.polygon(np.concatenate([np.stack([side * x, line - half], 1), np.stack([side * x, line + half], 1)[::-1]]), 0.009)
    hairs = cv2.resize(noise("brow", 0, 2.2)[:60, :70], d.shape[::-1], interpolation=cv2.INTER_LINEAR)
    colour = lerp(hair_colour(p), np.array([0.10, 0.07, 0.06], np.float32), np.float32(0.45 * p.brow_darkness * (1 - 0.6 * p.hair_grey)))
    paint(d.colour, np.clip(mask * (0.42 + 0.55 * p.brow_darkness) * (1 + 0.14 * hairs), 0, 0.97), colour)
    d.relief += 0.03 * d.bump(side * p.eye_spacing * 0.95, -p.brow_height - lift + 0.01, 0.17, 0.05) * (1.4 if p.gender == "male" else 0.5)


def _beard(d: _Drawing, m: MouthShape) -> None:
    p = d.p
    if p.beard_style == "none":
        if p.gender == "male":                            # a shaved beard still shows
            d.shadow(_jaw_mask(d, m), 0.10 * p.beard_density * (1 - 0.5 * p.hair_grey))
        return
    moustache_shape = np.concatenate([np.stack([m.x * 1.12, m.top - 0.085 + 0.07 * (m.x / m.x[-1]) ** 2], 1), np.stack([m.x * 1.12, m.top + 0.012 + 0.07 * (m.x / m.x[-1]) ** 2], 1)[::-1]])
    moustache = d.polygon(moustache_shape, 0.014)
    low = float(m.bottom.max())
    goatee = d.polygon([(-0.19, low + 0.03), (0.19, low + 0.03), (0.23, low + 0.2), (0.14, p.chin_length + 0.1), (-0.14, p.chin_length + 0.1), (-0.23, low + 0.2)], 0.03)
    sides = d.polygon([(s * (abs(m.x[0]) + dx), y) for s, dx, y in ((1, 0.02, float(m.top[0])), (1, -0.06, low + 0.1), (1, 0.12, low + 0.1), (1, 0.1, float(m.top[0])))], 0.012)
    mask, opacity = {
        "stubble": (np.maximum(_jaw_mask(d, m), 0.8 * moustache), 0.38),
        "moustache": (moustache, 0.9),
        "goatee": (np.maximum.reduce([moustache, goatee, sides, sides[:, ::-1]]), 0.85),
        "short beard": (np.maximum(_jaw_mask(d, m), moustache), 0.80),
        "full beard": (np.maximum(_jaw_mask(d, m), moustache), 0.94),
    }[p.beard_style]
    hairs = cv2.resize(noise("beard", 0.6, 1.6)[:150, :110], d.shape[::-1], interpolation=cv2.INTER_LINEAR)
    colour = hair_colour(p)[None, None] * (1 + 0.20 * hairs[..., None])
    mask = np.clip(mask * np.float32(opacity * (0.72 + 0.28 * p.beard_density)) * (1 + 0.12 * hairs), 0, 0.97)
    paint(d.colour, mask, colour)
    if p.beard_style in ("short beard", "full beard", "moustache", "goatee"):
        d.relief += 0.028 * soften(mask, 0.02 * d.k)
    d.gloss *= 1 - 0.8 * mask


def _jaw_mask(d: _Drawing, m: MouthShape) -> np.ndarray:
    """Where a beard grows: the jaw up to the ears, without the lips and the cheeks."""
    p = d.p
    mouth, edge = p.nose_length + p.mouth_height, p.face_width + 0.05
    right = [(0.0, mouth - 0.10), (0.16, mouth - 0.12), (0.33, mouth - 0.03), (0.46, mouth - 0.12), (0.58, mouth - 0.34), (0.66, 0.10), (edge + 0.1, 0.10), (edge + 0.1, 1.45), (0.0, 1.45)]
    area = d.polygon(right + [(-x, y) for x, y in right[::-1]], 0.03)
    lips = d.polygon(np.concatenate([np.stack([m.x * 1.06, m.top - 0.012], 1), np.stack([m.x * 1.06, m.bottom + 0.016], 1)[::-1]]), 0.012)
    return area * (1 - lips) * (1 - 0.85 * d.bump(0, mouth - 0.13, 0.05, 0.03))


def _age(d: _Drawing) -> None:
    p, e = d.p, d.e
    amount = p.wrinkles
    for row in range(3):
        y = -0.42 - 0.10 * row - 0.02 * e.brows
        x = np.linspace(-0.40 + 0.05 * row, 0.40 - 0.05 * row, 15)
        d.shadow(d.stroke(np.stack([x, y + 0.018 * np.cos(x * 7 + row) - 0.03 * (x / 0.42) ** 2], 1), 0.013, 0.008),
                 float(smoothstep(0.25, 0.95, np.float32(amount + 0.2 * max(e.brows, 0) - 0.04 * row))) * 0.30)
    low = p.nose_length + p.mouth_height
    for side in (-1, 1):
        fold = [(side * p.nose_width * 1.05, p.nose_length - 0.02), (side * (p.nose_width * 1.05 + 0.07), p.nose_length + 0.09),
                (side * (p.mouth_width * (1 + 0.2 * max(e.smile, 0)) + 0.055), low - 0.04), (side * (p.mouth_width + 0.07), low + 0.04)]
        strength = 0.04 + 0.34 * amount + 0.22 * max(e.smile, 0)
        d.shadow(d.stroke(fold, 0.022, 0.015), min(0.55, strength))
        d.relief += np.float32(0.05 * (amount + 0.6 * max(e.smile, 0))) * d.bump(side * 0.40, 0.50, 0.09, 0.10)
        corner = (side * (p.eye_spacing + p.eye_width * 1.12), -0.01)
        for slope in (-0.5, 0.0, 0.5):
            feet = [corner, (corner[0] + side * 0.11, corner[1] + 0.11 * slope)]
            d.shadow(d.stroke(feet, 0.011, 0.006), float(smoothstep(0.3, 0.9, np.float32(amount + 0.25 * max(e.smile, 0)))) * 0.45)
        jowl = [(side * (p.mouth_width + 0.03), low + 0.05), (side * (p.mouth_width + 0.07), low + 0.2)]
        d.shadow(d.stroke(jowl, 0.02, 0.015), 0.45 * p.jowls)
        d.shadow(d.bump(side * 0.44, 0.60, 0.07, 0.13), 0.22 * p.jowls)
        d.shadow(d.stroke([(side * 0.05, -0.28), (side * 0.045, -0.17)], 0.013, 0.008), 0.35 * max(amount - 0.3, 0) + 0.35 * max(-e.brows, 0))
