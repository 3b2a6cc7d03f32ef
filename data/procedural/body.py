"""Neck, shoulders and clothes: flat outlines with soft shading under the head."""

import numpy as np

from data.procedural.canvas import darken, lerp, noise, paint, polygon, sample, smoothstep, soften, stroke
from data.procedural.face import skin_colour
from data.procedural.head import PIVOT_Y, Pose
from data.procedural.light import Light
from data.procedural.person import Person
from data.procedural.view import COLOURS, View


class _Torso:
    """Coordinates of the body in the picture: head units, not rolled, turned a little with the head."""

    def __init__(self, image: np.ndarray, person: Person, pose: Pose):
        self.k, self.turn = pose.scale, 0.16 * np.sin(pose.yaw)
        self.left, self.top = pose.x, pose.y - PIVOT_Y * pose.scale
        self.start = max(0, int(pose.y - 0.1 * pose.scale))           # rows above are never touched
        self.image = image[self.start:]
        self.shape = self.image.shape[:2]
        self.x = ((np.arange(self.shape[1], dtype=np.float32) + 0.5 - self.left) / self.k)[None, :]
        self.y = ((np.arange(self.start, self.start + self.shape[0], dtype=np.float32) + 0.5 - self.top) / self.k)[:, None]
        self.collar = person.chin_length + person.neck_length

    def pixels(self, points) -> np.ndarray:
        return np.asarray(points, np.float64) * self.k + (self.left, self.top - self.start)

    def polygon(self, points, blur: float = 0.0) -> np.ndarray:
        return polygon(self.shape, self.pixels(points), blur * self.k)

    def stroke(self, points, width: float, blur: float = 0.0) -> np.ndarray:
        return stroke(self.shape, self.pixels(points), width * self.k, blur * self.k)

    def both(self, right) -> list:
        """A symmetric outline from its right half, top to bottom."""
        return list(right) + [(-x, y) for x, y in list(right)[::-1]]


def draw_body(image: np.ndarray, person: Person, view: View, pose: Pose, light: Light) -> None:
    """Paint neck, shoulders and clothes into the picture, in place."""
    t = _Torso(image, person, pose)
    if t.shape[0] < 2:
        return
    w, n, c = person.shoulder_width, person.neck_width, t.collar
    lean = np.sin(pose.roll) * (PIVOT_Y - 0.55)
    neck = [(n * 0.95 + lean, 0.55), (n * 0.95, person.chin_length + 0.05), (n * 1.02, c - 0.12), (n * 1.35, c + 0.05), (n * 1.35, c + 1.2)]
    shoulders = _smooth_curve([(n * 1.0, c - 0.20), (n * 1.35, c - 0.07), (w * 0.62, c + 0.10), (w * 0.88, c + person.shoulder_slope), (w, c + person.shoulder_slope + 0.45), (w * 1.03, c + 1.6), (w * 1.05, c + 9)])
    round_x = np.clip(t.x / np.float32(w), -1, 1)
    nx = round_x * np.float32(0.9)
    shade = light.shade(nx, np.full_like(nx, -0.25), np.sqrt(np.clip(1 - nx * nx, 0.1, 1)))
    cylinder = np.clip(t.x / np.float32(n * 1.15), -1, 1)
    neck_shade = light.shade(cylinder * np.float32(0.95), np.full_like(t.x, 0.1), np.sqrt(np.clip(1 - cylinder**2, 0.08, 1)), bleed=0.2)
    skin = skin_colour(person) * np.float32(0.97)
    lx = light.direction[0]
    under_chin = np.exp(-0.5 * (((t.x + np.float32(0.22 * lx - np.sin(pose.yaw) * 0.2)) / 0.50) ** 2)) * np.exp(-0.5 * (np.clip(t.y - np.float32(person.chin_length - 0.02), 0, 9) / 0.20) ** 2)
    tendon = t.stroke([(n * 0.75, person.chin_length + 0.1), (0.10, c + 0.02)], 0.05, 0.04) + t.stroke([(-n * 0.75, person.chin_length + 0.1), (-0.10, c + 0.02)], 0.05, 0.04)
    bones = t.stroke([(0.14, c + 0.08), (w * 0.55, c + 0.12)], 0.05, 0.04) + t.stroke([(-0.14, c + 0.08), (-w * 0.55, c + 0.12)], 0.05, 0.04)
    skin_picture = skin * neck_shade * (1 - 0.50 * under_chin - 0.10 * tendon - 0.08 * bones)[..., None]
    paint(t.image, np.maximum(t.polygon(t.both(neck)), t.polygon(t.both(shoulders))), skin_picture)
    _CLOTHES[view.clothing](t, person, view, shoulders, shade * (1 - 0.25 * under_chin)[..., None])


def _smooth_curve(points) -> list:
    """Catmull-Rom through the points."""
    p = np.array([points[0], *points, points[-1]], float)
    t = np.linspace(0, 1, 6, endpoint=False)[:, None]
    curve = [0.5 * (2 * p[i] + (p[i + 1] - p[i - 1]) * t + (2 * p[i - 1] - 5 * p[i] + 4 * p[i + 1] - p[i + 2]) * t**2
                    + (3 * p[i] - p[i - 1] - 3 * p[i + 1] + p[i + 2]) * t**3) for i in range(1, len(p) - 2)]
    return np.concatenate(curve + [p[-1:]]).tolist()


def _cloth(t: _Torso, view: View, shade: np.ndarray, colour=None, pattern: str | None = None) -> np.ndarray:
    """A picture of the fabric."""
    colour = np.float32(COLOURS[view.clothing_colour] if colour is None else colour)
    fabric = np.ones((*t.shape, 1), np.float32) * colour
    pattern = view.pattern if pattern is None else pattern
    other = np.float32((0.93, 0.92, 0.90)) if colour.mean() < 0.6 else colour * 0.45
    if pattern == "striped":
        fabric = lerp(fabric, other, (smoothstep(0.35, 0.5, np.abs(np.mod(t.y * 3.6, 1) - 0.5)) * 0.8 + 0 * t.x)[..., None])
    elif pattern == "checked":
        fabric = lerp(fabric, other, 0.35 * (smoothstep(0.2, 0.3, np.abs(np.mod(t.y * 2.6, 1) - 0.5)) + smoothstep(0.2, 0.3, np.abs(np.mod(t.x * 2.6, 1) - 0.5)))[..., None])
    folds = sample(noise("folds", 12, 20), t.x * 60 + 0.4 * t.y * 60 + 2048, t.y * 40 + 0 * t.x + 2048)
    sleeve = np.exp(-0.5 * ((np.abs(t.x) - 1.5 + 0.05 * t.y) / 0.06) ** 2) * (t.y > t.collar + 0.75)
    return fabric * shade * (1 + 0.06 * folds - 0.22 * sleeve)[..., None]


def _opening(t: _Torso, person: Person, width: float, depth: float, pointed: float) -> np.ndarray:
    """The neckline: 1 where skin shows."""
    n = person.neck_width * width
    s = np.linspace(0, 1, 12)
    curve = [(n * (1 - u) ** (1 - 0.45 * (1 - pointed)), t.collar - 0.30 + (0.30 + depth) * u ** (1.0 + 1.4 * (1 - pointed))) for u in s]
    curve = [(x + t.turn * max(0.0, y - t.collar + 0.3), y) for x, y in curve]
    mirrored = [(-x + 2 * t.turn * max(0.0, y - t.collar + 0.3), y) for x, y in curve]
    return t.polygon([(n, -1), *curve, *mirrored[::-1], (-n, -1)])


def _crew(t, person, view, shoulders, shade, width=1.12, depth=0.10, pointed=0.0, rim=True):
    hole = _opening(t, person, width, depth, pointed)
    mask = t.polygon(t.both(shoulders)) * (1 - hole)
    paint(t.image, mask, _cloth(t, view, shade))
    if rim:
        edge = np.clip(soften(hole, 0.05 * t.k) * 2.2, 0, 1) * mask
        darken(t.image, edge, 0.16)


def _turtleneck(t, person, view, shoulders, shade):
    n, c = person.neck_width * 1.12, t.collar
    tube = t.polygon(t.both([(n * 0.97, person.chin_length + 0.14), (n, c - 0.1), (n * 1.3, c + 0.1)]))
    mask = np.maximum(t.polygon(t.both(shoulders)), tube)
    paint(t.image, mask, _cloth(t, view, shade))
    darken(t.image, t.stroke(t.both([(n, c - 0.06), (0.15, c + 0.02)]), 0.035, 0.02), 0.22)
    cylinder = np.clip(np.abs(t.x) / n, 0, 1) ** 3
    darken(t.image, tube * cylinder, 0.22)


def _collar(t, person, view, shade, colour, size=1.0, lapel=0.30):
    n, c = person.neck_width, t.collar
    for side in (-1, 1):
        flap = [(side * n * 1.02, c - 0.30), (side * 0.05 + t.turn * 0.3, c + 0.10), (side * 0.26 * size + t.turn * 0.3, c + lapel), (side * n * 1.42, c - 0.02)]
        paint(t.image, t.polygon(flap, 0.005), _cloth(t, view, shade, colour) * 1.06)
        darken(t.image, t.stroke([flap[1], flap[2], flap[3]], 0.022, 0.012), 0.30)


def _shirt(t, person, view, shoulders, shade):
    _crew(t, person, view, shoulders, shade, 1.05, 0.16, 1.0, rim=False)
    _collar(t, person, view, shade, None)
    darken(t.image, t.stroke([(t.turn * 0.4, t.collar + 0.14), (t.turn * 2.2, t.collar + 4)], 0.02, 0.012), 0.20)
    for row in range(5):
        y = t.collar + 0.35 + 0.42 * row
        dot = t.stroke([(t.turn * (0.4 + 0.4 * row), y), (t.turn * (0.4 + 0.4 * row) + 0.01, y)], 0.05, 0.008)
        darken(t.image, dot, 0.35)


def _suit(t, person, view, shoulders, shade):
    tie = view.clothing == "suit"
    c = t.collar
    inner = view.model_copy(update={"clothing_colour": "white", "pattern": "plain"})
    _crew(t, person, inner, shoulders, shade, 1.05, 0.12 if tie else 0.40, 1.0, rim=False)
    if tie:
        _collar(t, person, inner, shade, COLOURS["white"], 0.8, 0.24)
        knot = [(-0.085 + t.turn * 0.4, c + 0.06), (0.085 + t.turn * 0.4, c + 0.06), (0.06 + t.turn * 0.5, c + 0.22), (0.14 + t.turn * 1.2, c + 2.2), (-0.14 + t.turn * 1.2, c + 2.2), (-0.06 + t.turn * 0.5, c + 0.22)]
        paint(t.image, t.polygon(knot, 0.005), np.float32((0.42, 0.10, 0.14) if view.clothing_colour not in ("red", "burgundy") else (0.12, 0.16, 0.30)) * shade)
    hole = t.polygon([(person.neck_width * 1.15, -1), (person.neck_width * 1.25, c - 0.08), (t.turn * 1.2, c + 1.25), (-person.neck_width * 1.25, c - 0.08), (-person.neck_width * 1.15, -1)])
    mask = t.polygon(t.both(shoulders)) * (1 - hole)
    paint(t.image, mask, _cloth(t, view, shade))
    for side in (-1, 1):
        lapel = [(side * person.neck_width * 1.2, c - 0.14), (side * 0.75, c + 0.42), (side * 0.58, c + 0.50), (side * 0.62, c + 0.58), (t.turn * 1.2 + side * 0.04, c + 1.28), (side * person.neck_width * 0.9, c + 0.35)]
        darken(t.image, (t.stroke(lapel[1:5], 0.025, 0.012) * mask), 0.26)
        darken(t.image, t.polygon(lapel, 0.01) * mask, -0.08)
    darken(t.image, np.clip(soften(hole, 0.04 * t.k) * 2 * mask, 0, 1), 0.3)


def _hoodie(t, person, view, shoulders, shade):
    n, c = person.neck_width, t.collar
    hood = t.polygon(t.both([(n * 1.1, c - 0.42), (n * 1.75, c - 0.22), (n * 1.9, c + 0.1), (n * 1.2, c + 0.4)]), 0.01)
    hood *= 1 - t.polygon(t.both([(n * 1.0, -1.0), (n * 1.02, c - 0.1), (0.1, c + 0.05)]))
    _crew(t, person, view, shoulders, shade, 1.1, 0.08)
    paint(t.image, hood, _cloth(t, view, shade) * 0.86)
    for side in (-1, 1):
        paint(t.image, t.stroke([(side * 0.2 + t.turn * 0.3, c + 0.12), (side * 0.22 + t.turn, c + 0.85)], 0.035, 0.006), np.float32((0.9, 0.9, 0.88)) * shade)


def _denim_jacket(t, person, view, shoulders, shade):
    _crew(t, person, view, shoulders, shade)
    c, n = t.collar, person.neck_width
    gap = t.polygon([(n * 1.1, -1), (n * 1.2, c), (0.34 + t.turn, c + 4), (-0.34 + t.turn, c + 4), (-n * 1.2, c), (-n * 1.1, -1)])
    mask = t.polygon(t.both(shoulders)) * (1 - gap)
    denim = (0.26, 0.36, 0.50)
    paint(t.image, mask, _cloth(t, view, shade, denim, "plain"))
    darken(t.image, np.clip(soften(gap, 0.04 * t.k) * 2 * mask, 0, 1), 0.25)
    for side in (-1, 1):
        flap = [(side * n * 1.08, c - 0.26), (side * n * 1.5, c - 0.05), (side * 0.66, c + 0.34), (side * n * 1.0, c + 0.20)]
        paint(t.image, t.polygon(flap, 0.005), _cloth(t, view, shade, denim, "plain") * 1.15)
        darken(t.image, t.stroke(flap[1:], 0.02, 0.012), 0.3)


_CLOTHES = {
    "t-shirt": _crew, "sweater": lambda *args: _crew(*args, width=1.16, depth=0.06), "turtleneck": _turtleneck,
    "blouse": lambda *args: _crew(*args, width=1.12, depth=0.42, pointed=0.9), "dress": lambda *args: _crew(*args, width=1.75, depth=0.34),
    "shirt": _shirt, "polo shirt": _shirt, "suit": _suit, "blazer": _suit, "hoodie": _hoodie, "denim jacket": _denim_jacket,
}
