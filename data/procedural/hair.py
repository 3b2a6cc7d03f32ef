"""Hair as a shell around the head: it grows above a hairline that is a function of the angle around the head."""

from typing import NamedTuple

import numpy as np

from salmu.data.procedural.canvas import noise, sample, smoothstep
from salmu.data.procedural.facemap import hair_colour
from salmu.data.procedural.head import HEIGHTS, Profile, Surface, dome, profile
from salmu.data.procedural.light import Light
from salmu.data.procedural.person import Person


class Style(NamedTuple):
    """A cut. Lengths in head units over the bare head; `bottom` is the y where the hair ends."""

    bottom: float
    side: float  # thickness beside the head
    top: float  # thickness on top
    opening: float  # long hair: degrees from the middle where it begins to fall; 0 for short hair
    flare: float = 0.0  # wider towards the bottom
    sideburn: float = 0.2  # short hair: y where it ends before the ear
    bald_above: float = -9.0  # no hair above this y
    bun: tuple[float, float, float] = (0.0, 0.0, 0.0)  # y, depth, radius of a knot

    @property
    def is_rim(self) -> bool:
        """Hair at the sides only."""
        return self.bald_above > -2


STYLES = {
    "long": Style(1.85, 0.10, 0.09, 56, 0.10),
    "long parted": Style(2.2, 0.08, 0.06, 54, 0.05),
    "shoulder": Style(1.35, 0.13, 0.10, 58, 0.12),
    "bob": Style(0.90, 0.14, 0.10, 57, 0.08),
    "updo": Style(0.30, 0.03, 0.07, 0, sideburn=0.10, bun=(-1.02, -0.55, 0.42)),
    "bun": Style(0.30, 0.03, 0.05, 0, sideburn=0.05, bun=(-1.28, -0.1, 0.33)),
    "pixie": Style(0.45, 0.07, 0.12, 0, sideburn=0.30),
    "short": Style(0.50, 0.04, 0.08, 0),
    "side part": Style(0.50, 0.05, 0.12, 0),
    "quiff": Style(0.50, 0.03, 0.22, 0),
    "buzz": Style(0.50, 0.012, 0.015, 0),
    "tousled": Style(0.62, 0.10, 0.16, 0, sideburn=0.3),
    "horseshoe": Style(0.50, 0.035, 0.0, 0, bald_above=-0.42),
}
WITHOUT_FRINGE = ("quiff", "buzz", "updo", "bun", "horseshoe", "long parted")


def style_of(person: Person) -> Style | None:
    """The person's cut with their own length and volume; None for a bald head."""
    if person.hair_style == "bald":
        return None
    style, p = STYLES[person.hair_style], person
    short = style.opening == 0
    curl = smoothstep(0.45, 0.95, np.float32(p.hair_curl)) * (p.hair_style not in ("buzz", "horseshoe"))
    more = (p.hair_volume - 0.5) * (0.05 if short else 0.12)
    return style._replace(
        bottom=style.bottom + (0 if short else p.hair_length * 0.9 - 0.45 * curl * (style.bottom > 1)),
        side=max(0.01, style.side + more * (p.hair_style != "buzz") + (0.08 if short else 0.24) * curl),
        top=max(0.0, style.top + more + (0.08 if short else 0.16) * curl),
        opening=0 if short else style.opening - 3 * p.hair_cover,
    )


def hair_profile(head: Profile, person: Person, style: Style) -> Profile:
    """The shell's solid."""
    y, top = HEIGHTS, person.skull_height + style.top
    wide = person.face_width + style.side
    if style.opening == 0:
        below = np.interp(y, [0.0, 0.55], [0, 1])
        a = np.where(y > 0, head.a + style.side * (1 - 0.7 * below), wide * dome(top))
        a = a * np.interp(y, [0.30, 0.62], [1.0, 0.80])
        taper = np.interp(y, [-0.1, 0.35, 0.62], [1.0, 0.84, 0.35])
        bottom = 0.62
    else:
        fall = np.clip(y / max(style.bottom, 0.5), 0, 1)
        end = np.sqrt(np.clip(1 - np.clip((y - style.bottom + 0.22) / 0.26, 0, 1) ** 2, 0, 1))
        a = (wide + style.flare * np.sin(fall * np.pi * 0.75) - 0.05 * fall) * dome(top) * (0.8 + 0.2 * end)
        taper = np.interp(y, [0.2, 1.2], [1.0, 0.8])
        bottom = style.bottom + 0.04
    c = (0.93 + style.side) * dome(top, 2.4) * taper
    return profile(a, c, np.full_like(y, -0.10), -top, bottom)


def hairline(person: Person, style: Style, angle: np.ndarray) -> np.ndarray:
    """y down to which hair grows at an angle (radians; 0 in front)."""
    p = person
    start = -p.hairline
    side = np.radians(p.hair_parting)
    fringe = 0.0 if p.hair_style in WITHOUT_FRINGE else p.fringe
    front = start + fringe * (p.hairline - p.brow_height - 0.10)
    degrees = np.degrees(np.abs(angle))
    corner = start - p.hair_recession + fringe * 0.55
    if style.opening == 0:
        xs = [0, 16, 34, 48, 58, 68, 80, 87, 91, 104, 118, 180]
        ys = [
            front,
            front + 0.01,
            corner + 0.02,
            corner + 0.12,
            -0.48,
            -0.30,
            style.sideburn - 0.08,
            style.sideburn,
            -0.06,
            -0.05,
            0.5,
            0.6,
        ]
    else:
        o = style.opening
        xs = [0, 16, 30, o - 10, o - 2, o + 6, o + 10, 180]
        ys = [
            front,
            front + 0.01,
            corner + 0.10,
            -0.40 + 0.25 * fringe,
            0.05,
            style.bottom,
            style.bottom + 0.1,
            style.bottom + 0.1,
        ]
    line = np.interp(degrees, xs, ys).astype(np.float32)
    parted = style.opening > 0 or p.hair_style == "side part"
    sweep = np.clip(1 - np.abs(angle - side) / 0.5, 0, 1) * (0.07 + 0.25 * fringe) * parted
    return line - sweep.astype(np.float32)


def strands(person: Person, surface: Surface) -> np.ndarray:
    """Brightness of the strands, mean 0: streaks along the fall of the hair, or curls."""
    curl = np.float32(person.hair_curl)
    wave = 3.0 * curl * np.sin(surface.y * np.float32(5 + 9 * curl) + surface.angle * 4)
    fine = sample(noise("strand", 0.8, 14), surface.angle * 42 + wave * 2 + 512, surface.y * 38 + 512)
    broad = sample(noise("lock", 2.5, 22), surface.angle * 30 + wave * 3 + 512, surface.y * 30 + 512)
    knots = sample(noise("curls", 1.6, 1.6), surface.angle * 26 + 512, surface.y * 26 + 512)
    tight = smoothstep(0.55, 0.9, curl)
    return (0.55 * fine + 0.45 * broad) * (1 - tight) + knots * tight


def hair_shading(person: Person, streaks: np.ndarray, normal, light: Light) -> np.ndarray:
    """The lit colours of hair with these strands: a surface with the normal (nx, ny, nz), with a band of gloss."""
    nx, ny, nz = normal
    colour = hair_colour(person)
    base = colour * (1 + (0.17 + 0.10 * np.float32(person.hair_grey)) * streaks[..., None])
    shaded = base * light.shade(nx, ny, nz)
    band = np.exp(-0.5 * ((ny + np.float32(0.42)) / 0.17) ** 2) * light.diffuse(nx, ny, nz)
    gloss = np.float32(0.34 * person.hair_gloss * (1 - 0.7 * person.hair_curl))
    shaded += (band * np.clip(0.6 + 0.5 * streaks, 0, 2) * gloss)[..., None] * (0.4 * light.key + 0.6 * colour)
    return np.clip(shaded, 0, 1.2)


def hair_cover(person: Person, style: Style, surface: Surface) -> np.ndarray:
    """Opacity of the front of the shell."""
    curl = person.hair_curl
    jitter = sample(noise("fringe", 1.2, 3), surface.angle * 55 + 512, surface.y * 8 + 512)
    jitter = jitter * np.float32(0.022 + 0.02 * curl)
    soft = 0.05 if person.hair_style in ("buzz", "horseshoe", "short") else 0.028
    line = hairline(person, style, surface.angle) + jitter
    cover = np.clip(0.5 + (line - surface.y) / np.float32(2 * soft), 0, 1)
    if style.is_rim:
        rim = style.bald_above + 0.22 * np.cos(surface.angle) ** 2 + jitter
        cover = cover * np.clip(0.5 + (surface.y - rim) / 0.08, 0, 1) * smoothstep(0.75, 1.05, np.abs(surface.angle))
    if person.hair_style == "buzz":
        cover = cover * np.float32(0.82)
    return cover * surface.cover
