"""Light on a surface: a soft key light with a colour, and an ambient light that is a little stronger from above."""

from typing import NamedTuple

import numpy as np

from salmu.data.procedural.view import View

WARM = np.array([0.11, 0.01, -0.16], np.float32)  # what a warmth of 1 adds to white light


class Light(NamedTuple):
    direction: tuple[float, float, float]  # towards the light: x right, y down, z to the camera
    key: np.ndarray  # colour
    ambient: np.ndarray

    def diffuse(self, nx: np.ndarray, ny: np.ndarray, nz: np.ndarray) -> np.ndarray:
        """Wrapped Lambert: how much of the key light arrives, 0..1."""
        lx, ly, lz = (np.float32(value) for value in self.direction)
        return np.clip((nx * lx + ny * ly + nz * lz + np.float32(0.22)) / np.float32(1.22), 0, 1)

    def shade(self, nx, ny, nz, bleed: float = 0.0) -> np.ndarray:
        """Colour [h, w, 3] to multiply a surface with; `bleed` lets red into a shadow's edge, as skin does."""
        amount = self.diffuse(nx, ny, nz)
        shade = self.ambient * (np.float32(0.9) - np.float32(0.14) * ny)[..., None] + self.key * amount[..., None]
        if bleed:
            shade[..., 0] += self.key[0] * np.float32(bleed) * amount * (1 - amount)
        return shade

    def glance(self, nx, ny, nz, power: float) -> np.ndarray:
        """Blinn-Phong highlight, 0..1."""
        lx, ly, lz = self.direction
        length = np.sqrt(lx * lx + ly * ly + (lz + 1) ** 2)
        half = np.clip((nx * np.float32(lx) + ny * np.float32(ly) + nz * np.float32(lz + 1)) / np.float32(length), 0, 1)
        return half ** np.float32(power)


def light_of(view: View) -> Light:
    """The light that a view asks for; shadows are as cold as the key light is warm, and less so."""
    azimuth, elevation = np.radians(view.light_azimuth), np.radians(view.light_elevation)
    level = np.cos(elevation)
    direction = (float(np.sin(azimuth) * level), float(-np.sin(elevation)), float(np.cos(azimuth) * level))
    return Light(
        direction,
        np.float32(view.key) * (1 + np.float32(view.warmth) * WARM),
        np.float32(view.ambient) * (1 - np.float32(0.45 * view.warmth) * WARM),
    )
