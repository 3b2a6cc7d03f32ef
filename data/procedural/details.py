"""What sticks out of the head: ears, glasses and a knot of hair."""

import numpy as np

from salmu.data.procedural.canvas import noise, paint, polygon, sample, stroke
from salmu.data.procedural.facemap import skin_colour
from salmu.data.procedural.hair import Style, hair_shading
from salmu.data.procedural.head import Pose, Profile, front_depth, value_at
from salmu.data.procedural.light import Light
from salmu.data.procedural.person import Person

EAR_Y = 0.10
FRAMES = [(0.07, 0.07, 0.08), (0.32, 0.19, 0.11), (0.62, 0.60, 0.56), (0.55, 0.12, 0.13), (0.14, 0.22, 0.40)]
LENSES = {"round": (1.0, 0.94), "square": (0.45, 0.80), "narrow": (0.65, 0.58)}  # power of the outline, height / width


def draw_ear(image: np.ndarray, person: Person, skull: Profile, pose: Pose, light: Light, side: int) -> None:
    """Paint an ear into the picture, in place; side -1 is the image's left."""
    p = person
    a, z0 = value_at(skull.a, EAR_Y), value_at(skull.z0, EAR_Y)
    t = np.linspace(0, 2 * np.pi, 22)

    def outline(size):
        u = np.cos(t) * size
        x = side * (a - 0.05 + p.ear_relief * (u + 1) / 2)
        return pose.project(
            np.stack([x, EAR_Y + p.ear_size * size * np.sin(t) - 0.03 * u, z0 + 0.06 - 0.17 * (u + 1) / 2], 1)
        )

    outer = outline(1.0)
    margin = 0.06 * pose.scale
    left, top = np.maximum(0, np.floor(outer.min(0) - margin)).astype(int)
    right, bottom = np.minimum(image.shape[1::-1], np.ceil(outer.max(0) + margin)).astype(int)
    if right - left < 2 or bottom - top < 2:
        return
    region = image[top:bottom, left:right]
    ones = np.ones(region.shape[:2], np.float32)
    shade = light.shade(ones * np.float32(0.55 * side * np.cos(pose.yaw)), 0 * ones, ones * np.float32(0.75), bleed=0.3)
    colour = skin_colour(p) * np.float32((1.0, 0.90, 0.88))
    paint(region, polygon(region.shape[:2], outer - (left, top)), colour * shade)
    hollow = polygon(region.shape[:2], outline(0.62) - (left, top), 0.02 * pose.scale)
    paint(region, 0.45 * hollow, colour * shade * np.float32((0.66, 0.52, 0.50)))


def draw_glasses(image: np.ndarray, person: Person, skull: Profile, pose: Pose, light: Light) -> None:
    """Paint lenses, rims and temples into the picture, in place."""
    p, size = person, image.shape[:2]
    z, ear = front_depth(skull, 0.0, 0.0) + 0.14, value_at(skull.a, -0.05)
    half = p.glasses_size
    centre = max(p.eye_spacing, half + 0.06)
    t = np.linspace(0, 2 * np.pi, 33)
    power, height = LENSES[p.glasses_style]
    dx = half * np.sign(np.cos(t)) * np.abs(np.cos(t)) ** power
    dy = half * height * np.sign(np.sin(t)) * np.abs(np.sin(t)) ** power
    lines = []
    for side in (-1, 1):
        x = side * centre + dx
        rim = pose.project(np.stack([x, 0.03 + dy, z - 0.30 * (np.abs(x) - 0.1).clip(0) ** 2], 1))
        paint(image, polygon(size, rim) * np.float32(0.07), (1, 1, 1))
        hinge = (side * (centre + half), -0.04, z - 0.15)
        if side * pose.yaw <= 0.05:  # the temple on this side is seen up to the ear
            temple = [hinge, (side * (ear + 0.02), -0.05, 0.10), (side * (ear + 0.02), -0.04, -0.05)]
        else:
            temple = [hinge, (side * (ear + 0.01), -0.05, 0.30)]
        lines += [rim, pose.project(temple)]
    inner = centre - half
    lines.append(pose.project([(-inner, -0.02, z), (0, -0.045, z + 0.03), (inner, -0.02, z)]))
    colour = np.float32(FRAMES[min(4, int(p.glasses_colour * 5))]) * (0.7 * light.ambient + 0.6 * light.key)
    width = (0.026 if p.glasses_style == "round" else 0.034) * pose.scale
    for line in lines:
        paint(image, stroke(size, line, width, 0.004 * pose.scale), colour)


def draw_knot(image: np.ndarray, person: Person, style: Style, pose: Pose, light: Light) -> None:
    """Paint the knot of an updo or a bun, a ball of hair, into the picture, in place."""
    y, depth, radius = style.bun
    if not radius:
        return
    ((cx, cy),) = pose.project([(0.0, y, depth)])
    radius *= (0.85 + 0.3 * person.hair_volume) * pose.scale
    left, top = max(0, int(cx - radius * 1.1)), max(0, int(cy - radius * 1.1))
    right, bottom = min(image.shape[1], int(cx + radius * 1.1)), min(image.shape[0], int(cy + radius * 1.1))
    if right <= left or bottom <= top:
        return
    x = (np.arange(left, right, dtype=np.float32)[None] - np.float32(cx)) / np.float32(radius)
    y = (np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(cy)) / np.float32(radius)
    distance, angle = np.sqrt(x * x + y * y), np.arctan2(y, x)
    swirl = sample(noise("lock", 2.5, 22), distance * 26 + angle * 8 + 512, angle * 30 + 512)
    nz = np.sqrt(np.clip(1 - distance**2, 0.02, 1))
    picture = hair_shading(person, swirl, (x + 0 * y, y + 0 * x, nz), light)
    paint(image[top:bottom, left:right], np.clip((1 - distance) * np.float32(radius), 0, 1), picture)
