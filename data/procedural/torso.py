"""The part of a picture below the head: its coordinates, outlines and drawing tools."""

import numpy as np

from salmu.data.procedural.canvas import polygon, stroke
from salmu.data.procedural.head import PIVOT_Y, Pose
from salmu.data.procedural.person import Person


class Torso:
    """The picture below the head, and its coordinates: head units, upright, turned a little with the head."""

    def __init__(self, image: np.ndarray, person: Person, pose: Pose):
        self.k, self.turn = pose.scale, 0.16 * np.sin(pose.yaw)
        self.left, self.top = pose.x, pose.y - PIVOT_Y * pose.scale
        self.start = max(0, int(pose.y - 0.1 * pose.scale))  # rows above are never touched
        self.image = image[self.start :]
        self.shape = self.image.shape[:2]
        self.x = ((np.arange(self.shape[1], dtype=np.float32) + 0.5 - self.left) / self.k)[None, :]
        rows = np.arange(self.start, self.start + self.shape[0], dtype=np.float32)
        self.y = ((rows + 0.5 - self.top) / self.k)[:, None]
        self.collar = person.chin_length + person.neck_length  # y where clothes begin
        self.neck, self.neck_length = person.neck_width, person.neck_length
        self.shoulders = _mirrored(_shoulder_line(person, self.collar))

    def pixels(self, points) -> np.ndarray:
        return np.asarray(points, np.float64) * self.k + (self.left, self.top - self.start)

    def polygon(self, points, blur: float = 0.0) -> np.ndarray:
        return polygon(self.shape, self.pixels(points), blur * self.k)

    def symmetric(self, right, blur: float = 0.0) -> np.ndarray:
        """The mask of an outline from its right half, top to bottom."""
        return self.polygon(_mirrored(right), blur)

    def stroke(self, points, width: float, blur: float = 0.0) -> np.ndarray:
        return stroke(self.shape, self.pixels(points), width * self.k, blur * self.k)


def _mirrored(right) -> list:
    return list(right) + [(-x, y) for x, y in list(right)[::-1]]


def _shoulder_line(person: Person, c: float) -> list:
    n, w, slope = person.neck_width, person.shoulder_width, person.shoulder_slope
    return _smooth_curve(
        [
            (n * 1.0, c - 0.20),
            (n * 1.35, c - 0.07),
            (w * 0.62, c + 0.10),
            (w * 0.88, c + slope),
            (w, c + slope + 0.45),
            (w * 1.03, c + 1.6),
            (w * 1.05, c + 9),
        ]
    )


def _smooth_curve(points) -> list:
    """Catmull-Rom through the points."""
    p = np.array([points[0], *points, points[-1]], float)
    t = np.linspace(0, 1, 6, endpoint=False)[:, None]
    curve = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False)
    ]
    return np.concatenate(curve + [p[-1:]]).tolist()
