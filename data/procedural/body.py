"""Neck and shoulders under the head: flat outlines with soft shading; clothes.py dresses them."""

import numpy as np

from salmu.data.procedural.canvas import paint
from salmu.data.procedural.clothes import dress
from salmu.data.procedural.facemap import skin_colour
from salmu.data.procedural.head import PIVOT_Y, Pose
from salmu.data.procedural.light import Light
from salmu.data.procedural.person import Person
from salmu.data.procedural.torso import Torso
from salmu.data.procedural.view import View


def draw_body(image: np.ndarray, person: Person, view: View, pose: Pose, light: Light) -> None:
    """Paint neck, shoulders and clothes into the picture, in place."""
    t = Torso(image, person, pose)
    if t.shape[0] < 2:
        return
    n, c, w, chin = t.neck, t.collar, person.shoulder_width, person.chin_length
    round_x = np.clip(t.x / np.float32(w), -1, 1) * np.float32(0.9)
    cylinder = np.clip(t.x / np.float32(n * 1.15), -1, 1)
    shade = light.shade(round_x, np.full_like(t.x, -0.25), np.sqrt(np.clip(1 - round_x * round_x, 0.1, 1)))
    neck_shade = light.shade(
        cylinder * np.float32(0.95), np.full_like(t.x, 0.1), np.sqrt(np.clip(1 - cylinder**2, 0.08, 1)), bleed=0.2
    )
    shift = np.float32(0.22 * light.direction[0] - np.sin(pose.yaw) * 0.2)
    across = np.exp(-0.5 * (((t.x + shift) / 0.50) ** 2))
    under_chin = across * np.exp(-0.5 * (np.clip(t.y - np.float32(chin - 0.02), 0, 9) / 0.20) ** 2)
    tendons = sum(t.stroke([(side * n * 0.75, chin + 0.1), (side * 0.10, c + 0.02)], 0.05, 0.04) for side in (1, -1))
    bones = sum(t.stroke([(side * 0.14, c + 0.08), (side * w * 0.55, c + 0.12)], 0.05, 0.04) for side in (1, -1))
    skin = skin_colour(person) * np.float32(0.97) * neck_shade
    lean = np.sin(pose.roll) * (PIVOT_Y - 0.55)
    neck = [
        (n * 0.95 + lean, 0.55),
        (n * 0.95, chin + 0.05),
        (n * 1.02, c - 0.12),
        (n * 1.35, c + 0.05),
        (n * 1.35, c + 1.2),
    ]
    paint(
        t.image,
        np.maximum(t.symmetric(neck), t.polygon(t.shoulders)),
        skin * (1 - 0.50 * under_chin - 0.10 * tendons - 0.08 * bones)[..., None],
    )
    dress(t, view, shade * (1 - 0.25 * under_chin)[..., None])
