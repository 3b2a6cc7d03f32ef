"""The head as a solid: a stack of elliptical slices along y, seen by a camera far away (orthographic).

A slice at height y has half width a(y), half depth c(y) and its centre at depth z0(y); a relief z(x, y) is added to the
front. The angle around the head under a pixel has a closed solution; height and relief are found by iteration.
"""

from typing import NamedTuple

import cv2
import numpy as np

from salmu.data.procedural.person import Person

TABLE_TOP, TABLE_BOTTOM, TABLE_SIZE = -2.0, 4.0, 3072
PIVOT_Y, DEPTH_OF_PIVOT = 0.62, 0.35  # the head rolls and nods about the top of the neck
HEIGHTS = np.linspace(TABLE_TOP, TABLE_BOTTOM, TABLE_SIZE).astype(np.float32)


class Profile(NamedTuple):
    """Tables over y in TABLE_TOP..TABLE_BOTTOM; the solid is where `inside` is 1."""

    a: np.ndarray  # half width
    c: np.ndarray  # half depth
    z0: np.ndarray  # depth of the centre
    inside: np.ndarray


class Pose(NamedTuple):
    """Where a head is in the picture: pixels per head unit, pixel of the pivot, angles in radians."""

    scale: float
    x: float
    y: float
    yaw: float = 0.0  # > 0: the face turns to the image's right
    pitch: float = 0.0  # > 0: it looks up
    roll: float = 0.0  # > 0: it leans clockwise

    def plane(self, left: int, top: int, right: int, bottom: int) -> tuple[np.ndarray, np.ndarray]:
        """Head coordinates (unrolled) of the pixels of a box."""
        x = ((np.arange(left, right, dtype=np.float32) + 0.5 - self.x) / self.scale)[None, :]
        y = ((np.arange(top, bottom, dtype=np.float32) + 0.5 - self.y) / self.scale)[:, None]
        cos, sin = np.float32(np.cos(self.roll)), np.float32(np.sin(self.roll))
        return cos * x + sin * y, cos * y - sin * x + np.float32(PIVOT_Y)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels [n, 2] of points [n, 3] of the head."""
        x, y, z = np.asarray(points, np.float64).T
        across = x * np.cos(self.yaw) + z * np.sin(self.yaw)
        depth = z * np.cos(self.yaw) - x * np.sin(self.yaw)
        up = (y - PIVOT_Y) * np.cos(self.pitch) - (depth - DEPTH_OF_PIVOT) * np.sin(self.pitch)
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        pixels = [self.x + self.scale * (cos * across - sin * up), self.y + self.scale * (sin * across + cos * up)]
        return np.stack(pixels, 1)


class Surface(NamedTuple):
    """What is seen in each pixel of a box."""

    x: np.ndarray  # frontal coordinates of the point
    y: np.ndarray
    angle: np.ndarray  # around the head, 0 in front, +/- pi/2 at the ears
    depth: np.ndarray  # towards the camera
    cover: np.ndarray  # 0..1


def profile(a: np.ndarray, c: np.ndarray, z0: np.ndarray, top: float, bottom: float) -> Profile:
    """A solid from its tables, cut at top and bottom."""
    inside = ((HEIGHTS > top) & (HEIGHTS < bottom)).astype(np.float32)
    return Profile(a.astype(np.float32), c.astype(np.float32), z0.astype(np.float32), inside)


def dome(top: float, roundness: float = 2.3) -> np.ndarray:
    """1 at and below the eye line, falling to 0 at `top` over it, like the top of a superellipse."""
    t = np.clip(-HEIGHTS / top, 0, 1)
    return (1 - t**roundness) ** (1 / 2.1)


def head_profile(person: Person, jaw_drop: float = 0.0, beard: float = 0.0) -> Profile:
    """The bare head; `jaw_drop` lengthens the chin of an open mouth, `beard` adds hair around the jaw."""
    p = person
    chin = p.chin_length + jaw_drop + beard
    mouth = p.nose_length + p.mouth_height
    outline = [
        (0.0, p.face_width),
        (0.3, p.cheek_width),
        (0.52, (p.cheek_width + p.jaw_width + 0.05) / 2 + 0.03 * p.jowls),
        (mouth + 0.04, p.jaw_width + 0.05 * p.jowls + 0.35 * beard),
        (chin - 0.16, p.chin_width + 0.08 + 0.04 * p.jowls + 0.4 * beard),
        (chin, p.chin_width),
    ]
    widths = _smooth(np.interp(HEIGHTS, *zip(*outline, strict=True)), 0.16)
    start = chin - 0.30
    cap = np.sqrt(1 - np.clip((HEIGHTS - start) / (chin - start), 0, 1) ** 2.6)
    over = dome(p.skull_height)
    a = widths * cap * over
    front = np.interp(HEIGHTS, [-1.2, -0.7, -0.2, 0.2, 0.7, chin], [0.5, 0.74, 0.82, 0.82, 0.79, 0.77])
    z0 = _smooth(np.interp(HEIGHTS, [-0.9, 0.1, 0.6, chin], [-0.12, -0.10, 0.12, 0.36]), 0.2)
    c = np.maximum(front - z0, 0.05) * np.sqrt(cap) * over
    return profile(a, c, z0, -p.skull_height, chin)


def _smooth(table: np.ndarray, width: float) -> np.ndarray:
    sigma = width / (TABLE_BOTTOM - TABLE_TOP) * TABLE_SIZE / 2
    reach = int(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.convolve(np.pad(table, reach, mode="edge"), kernel / kernel.sum(), mode="valid")


def lookup(table: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The table's value at heights y."""
    return table.take(_index(y), mode="clip")


def _index(y: np.ndarray) -> np.ndarray:
    return ((y - np.float32(TABLE_TOP)) * np.float32(TABLE_SIZE / (TABLE_BOTTOM - TABLE_TOP))).astype(np.intp)


def surface(
    shape: Profile, pose: Pose, plane_x: np.ndarray, plane_y: np.ndarray, relief=None, rounds: int = 3
) -> Surface:
    """The point of the solid under each pixel, after so many rounds of iteration; relief: function (x, y) -> z."""
    cos_yaw, sin_yaw = np.float32(np.cos(pose.yaw)), np.float32(np.sin(pose.yaw))
    cos_pitch, sin_pitch = np.float32(np.cos(pose.pitch)), np.float32(np.sin(pose.pitch))
    radii = np.sqrt((shape.a * cos_yaw) ** 2 + (shape.c * sin_yaw) ** 2) + np.float32(1e-6)
    turns = np.arctan2(shape.c * sin_yaw, shape.a * cos_yaw + np.float32(1e-6))  # of a slice's ellipse to the camera
    cos_turns, sin_turns = np.cos(turns), np.sin(turns)
    depth = np.full(plane_x.shape, 0.7, np.float32)
    extra = np.float32(0)
    for _ in range(rounds):
        y = PIVOT_Y + (plane_y - PIVOT_Y + (depth - np.float32(DEPTH_OF_PIVOT)) * sin_pitch) / cos_pitch
        index = _index(y)
        radius, z0 = radii.take(index, mode="clip"), shape.z0.take(index, mode="clip")
        cos_turn, sin_turn = cos_turns.take(index, mode="clip"), sin_turns.take(index, mode="clip")
        across = plane_x - (z0 + extra) * sin_yaw
        ratio = np.minimum(np.maximum(across / radius, -1), 1)
        rest = np.sqrt(1 - ratio * ratio)
        cos_angle = rest * cos_turn + ratio * sin_turn
        x = shape.a.take(index, mode="clip") * (ratio * cos_turn - rest * sin_turn)
        depth = (z0 + shape.c.take(index, mode="clip") * cos_angle) * cos_yaw - x * sin_yaw
        if relief is not None:
            extra = relief(x, y) * np.minimum(np.maximum(cos_angle * 2, 0), 1)
            depth = depth + extra * cos_yaw
    edge = np.minimum(np.maximum(0.5 + (radius - np.abs(across)) * np.float32(pose.scale), 0), 1)
    angle = np.arcsin(ratio) - turns.take(index, mode="clip")
    return Surface(x, y, angle, depth, edge * shape.inside.take(index, mode="clip"))


def value_at(table: np.ndarray, y: float) -> float:
    """The table's value at one height."""
    return float(lookup(table, np.array([y], np.float32))[0])


def normals(depth: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit normals of a depth map in head units seen at `scale` pixels a unit: x right, y down, z to the camera."""
    dx = cv2.Sobel(depth, cv2.CV_32F, 1, 0, ksize=3, scale=scale / 8)
    dy = cv2.Sobel(depth, cv2.CV_32F, 0, 1, ksize=3, scale=scale / 8)
    length = np.sqrt(dx * dx + dy * dy + 1)
    return -dx / length, -dy / length, 1 / length


def front_depth(shape: Profile, x: float, y: float) -> float:
    """Depth of the solid's front at frontal coordinates."""
    a, c, z0 = (value_at(table, y) for table in shape[:3])
    return z0 + c * float(np.sqrt(max(0.0, 1 - min(1.0, abs(x) / max(a, 1e-6)) ** 2)))
