"""Renders a person under a view: a soft-shaded portrait with the boxes and the five landmarks of its faces."""

from typing import NamedTuple

import cv2
import numpy as np

from data import keyed
from data.procedural.backdrop import draw_backdrop
from data.procedural.body import draw_body
from data.procedural.canvas import lerp, noise, paint, polygon, sample, soften, stroke
from data.procedural.face import Expression, FaceMaps, draw_face, eye_outline, hair_colour, mouth_shape, skin_colour
from data.procedural.hair import hair_cover, hair_profile, strands, style_of
from data.procedural.head import HEIGHTS, PIVOT_Y, Pose, Profile, front_depth, head_profile, lookup, normals, surface
from data.procedural.light import Light, light_of
from data.procedural.person import Person
from data.procedural.view import View

OVERSAMPLING = 1.5
BEARD_LENGTH = {"short beard": 0.02, "full beard": 0.11}
FRAMES = [(0.07, 0.07, 0.08), (0.32, 0.19, 0.11), (0.62, 0.60, 0.56), (0.55, 0.12, 0.13), (0.14, 0.22, 0.40)]


class Rendered(NamedTuple):
    image: np.ndarray                     # uint8 RGB [h, w, 3]
    boxes: np.ndarray                     # float32 [faces, 4]: x1, y1, x2, y2 in pixels
    landmarks: np.ndarray                 # float32 [faces, 5, 2]: eyes (image left first), nose tip, mouth corners (image left first)


def render(person: Person | None, view: View, width: int, height: int, other: Person | None = None) -> Rendered:
    """The picture of a person, of two people side by side, or (person None) of the place alone."""
    light = light_of(view)
    image = draw_backdrop(view, round(width * OVERSAMPLING), round(height * OVERSAMPLING))
    image *= (0.55 + 0.45 * (light.ambient + light.key * np.float32(0.6)) / np.float32(0.95))
    people = [someone for someone in (person, other) if someone]
    boxes, landmarks = [], []
    for number, someone in enumerate(people):
        pose = _pose(view, width, height, number, len(people))
        expression = Expression(view.smile, view.mouth_open, view.eyes_open, view.brows, view.gaze if number == 0 else -view.gaze)
        clothed = view if number == 0 else view.model_copy(update={"clothing_colour": "grey" if view.clothing_colour != "grey" else "navy"})
        box, points = _draw_person(image, someone, clothed, pose, expression, light)
        boxes.append(box / OVERSAMPLING)
        landmarks.append(points / OVERSAMPLING)
    limits = np.array([width, height, width, height], np.float32)
    return Rendered(_photograph(image, view, width, height), np.clip(np.array(boxes, np.float32).reshape(-1, 4), 0, limits),
                    np.array(landmarks, np.float32).reshape(-1, 5, 2))


def _pose(view: View, width: int, height: int, number: int, count: int) -> Pose:
    """Where the head of the number-th of `count` people is, in oversampled pixels."""
    short = min(width, height)
    scale, x = view.scale * short, view.centre_x * width
    if count == 2:
        scale = min(scale, 0.27 * width, 0.36 * height)
        x = width * (0.28 if number == 0 else 0.72)
    margin = 1.0 * scale
    x = np.clip(x, min(margin, width / 2), max(width - margin, width / 2)) if count == 1 else x
    top, bottom = 2.02 * scale, height - 0.78 * scale     # pivot: room for the skull above, for the chin below
    y = lerp(top, max(bottom, top), view.centre_y) if bottom > top else height - 0.72 * scale
    y = min(y, top + 0.28 * short)
    yaw = view.yaw if number == 0 else -view.yaw
    return Pose(scale * OVERSAMPLING, float(x) * OVERSAMPLING, float(y) * OVERSAMPLING, float(np.radians(yaw)), float(np.radians(view.pitch)),
                float(np.radians(view.roll if number == 0 else -view.roll)))


def _window(pose: Pose, size: tuple[int, ...], shape: Profile, bottom: float) -> tuple[int, int, int, int]:
    """Pixel bounds of what can be seen of a solid: left, top, right, bottom."""
    (_, top), = pose.project([(0.0, HEIGHTS[np.flatnonzero(shape.inside)[0]], 0.0)])
    half = max(float(np.max(shape.a * shape.inside)), 0.86) + 0.12 + 2.0 * abs(np.sin(pose.roll)) + 0.15 * abs(np.sin(pose.yaw))
    return (max(0, int(pose.x - half * pose.scale)), max(0, int(top - 0.35 * pose.scale)),
            min(size[1], int(pose.x + half * pose.scale) + 1), min(size[0], int(pose.y + (bottom - PIVOT_Y + 0.25) * pose.scale) + 1))


def _draw_person(image: np.ndarray, person: Person, view: View, pose: Pose, expression: Expression, light: Light):
    """Paint a person into the picture; returns the face's box and landmarks in oversampled pixels."""
    skull = head_profile(person, 0.10 * expression.mouth_open, BEARD_LENGTH.get(person.beard_style, 0.0))
    maps = draw_face(person, expression, max(52.0, min(0.8 * pose.scale, 400.0)))
    style = style_of(person)
    if style:
        shape = hair_profile(skull, person, style)
        bounds = left, top, right, bottom = _window(pose, image.shape, shape, max(1.0, style.bottom + 0.05))
        shell = surface(shape, pose, *pose.plane(*bounds), rounds=2)
        nx, ny, nz = normals(shell.depth, pose.scale)
        streaks = strands(person, shell)
        hair = _hair_colours(person, streaks, nx, ny, nz, light)
        _knot(image, person, style, pose, light)
        paint(image[top:bottom, left:right], shell.cover * _behind(style), hair * np.float32(0.42))
    draw_body(image, person, view, pose, light)
    for side in (-1, 1):
        if side * pose.yaw > 0:
            _ear(image, person, skull, pose, light, side)
    cover = hair_cover(person, style, shell, pose.scale) if style else None
    _head(image, person, skull, maps, pose, light, cover, bounds if style else None)
    for side in (-1, 1):
        if side * pose.yaw <= 0:
            _ear(image, person, skull, pose, light, side)
    if style:
        paint(image[top:bottom, left:right], cover, hair)
    if person.glasses_style != "none":
        _glasses(image, person, skull, pose, light)
    return _face_box(person, skull, pose), _landmarks(person, expression, skull, maps, pose)


def _behind(style) -> float:
    return 1.0 if style.bald_above < -2 else 0.0


def _head(image, person: Person, skull: Profile, maps: FaceMaps, pose: Pose, light: Light, hair, hair_bounds) -> None:
    bounds = left, top, right, bottom = _window(pose, image.shape, skull, person.chin_length + 0.25)
    low = cv2.GaussianBlur(maps.relief, (0, 0), 0.012 * maps.scale + 0.3)

    def relief(x, y):
        return cv2.remap(low, *maps.at(x, y), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    seen = surface(skull, pose, *pose.plane(*bounds), relief=relief)
    at = maps.at(seen.x, seen.y)
    colour = cv2.remap(maps.colour, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    gloss = cv2.remap(maps.gloss, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    nx, ny, nz = normals(soften(seen.depth, 0.01 * pose.scale), pose.scale)
    shaded = colour * light.shade(nx, ny, nz, bleed=0.25)
    rim = np.clip(nz * 1.6 + 0.25, 0, 1)                  # a little darker where the surface turns away
    shaded *= (0.72 + 0.28 * rim)[..., None]
    shaded += (gloss * light.glance(nx, ny, nz, 26) * np.float32(0.45))[..., None] * light.key
    if hair is not None:
        shadow = np.zeros(image.shape[:2], np.float32)
        shift = max(1, int(0.06 * pose.scale))
        l, t, r, b = hair_bounds
        shadow[t:b, l:r] = hair
        shadow = soften(shadow[max(0, top - shift):bottom, left:right], 0.05 * pose.scale)
        shadow = shadow[:bottom - top] if shadow.shape[0] >= bottom - top else np.pad(shadow, ((bottom - top - shadow.shape[0], 0), (0, 0)))
        shaded *= (1 - 0.38 * shadow)[..., None]
    paint(image[top:bottom, left:right], seen.cover, shaded)


def _hair_colours(person: Person, streaks, nx, ny, nz, light: Light) -> np.ndarray:
    colour = hair_colour(person)
    grey = np.float32(person.hair_grey)
    base = colour * (1 + (0.17 + 0.10 * grey) * streaks[..., None])
    shaded = base * light.shade(nx, ny, nz)
    band = np.exp(-0.5 * ((ny + np.float32(0.42)) / 0.17) ** 2) * light.diffuse(nx, ny, nz)
    straight = 1 - 0.7 * person.hair_curl
    shaded += (band * np.clip(0.6 + 0.5 * streaks, 0, 2) * np.float32(0.34 * person.hair_gloss * straight))[..., None] * (0.4 * light.key + 0.6 * colour)
    return np.clip(shaded, 0, 1.2)


def _knot(image, person: Person, style, pose: Pose, light: Light) -> None:
    """A bun: a ball of hair behind or on top of the head."""
    y, depth, radius = style.bun
    if not radius:
        return
    radius *= 0.85 + 0.3 * person.hair_volume
    (cx, cy), = pose.project([(0.0, y, depth)])
    left, top, right, bottom = (int(v) for v in (cx - radius * pose.scale * 1.1, cy - radius * pose.scale * 1.1, cx + radius * pose.scale * 1.1, cy + radius * pose.scale * 1.1))
    h, w = image.shape[:2]
    left, top, right, bottom = max(0, left), max(0, top), min(w, right), min(h, bottom)
    if right <= left or bottom <= top:
        return
    x = (np.arange(left, right, dtype=np.float32)[None] - np.float32(cx)) / np.float32(radius * pose.scale)
    y = (np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(cy)) / np.float32(radius * pose.scale)
    distance = np.sqrt(x * x + y * y)
    nz = np.sqrt(np.clip(1 - distance**2, 0.02, 1))
    swirl = sample(noise("lock", 2.5, 22), distance * 26 + np.arctan2(y, x) * 8 + 512, np.arctan2(y, x) * 30 + 512)
    picture = _hair_colours(person, swirl, x + 0 * y, y + 0 * x, nz, light)
    paint(image[top:bottom, left:right], np.clip((1 - distance) * np.float32(radius * pose.scale), 0, 1), picture)


def _ear(image, person: Person, skull: Profile, pose: Pose, light: Light, side: int) -> None:
    p, y0 = person, 0.10
    a, _, z0 = (float(lookup(table, np.array([y0], np.float32))[0]) for table in skull[:3])
    t = np.linspace(0, 2 * np.pi, 22)

    def outline(size):
        u = np.cos(t) * size
        return np.stack([side * (a - 0.05 + p.ear_relief * (u + 1) / 2), y0 + p.ear_size * size * np.sin(t) - 0.03 * u, z0 + 0.06 - 0.17 * (u + 1) / 2], 1)

    outer, inner = pose.project(outline(1.0)), pose.project(outline(0.62))
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
    paint(region, 0.45 * polygon(region.shape[:2], inner - (left, top), 0.02 * pose.scale), colour * shade * np.float32((0.66, 0.52, 0.50)))


def _glasses(image, person: Person, skull: Profile, pose: Pose, light: Light) -> None:
    p = person
    z = front_depth(skull, 0.0, 0.0) + 0.14
    t = np.linspace(0, 2 * np.pi, 33)
    power, height = {"round": (1.0, 0.94), "square": (0.45, 0.80), "narrow": (0.65, 0.58)}[p.glasses_style]
    half = p.glasses_size
    dx = half * np.sign(np.cos(t)) * np.abs(np.cos(t)) ** power
    dy = half * height * np.sign(np.sin(t)) * np.abs(np.sin(t)) ** power
    colour = np.float32(FRAMES[min(4, int(p.glasses_colour * 5))]) * (0.7 * light.ambient + 0.6 * light.key)
    centre = max(p.eye_spacing, half + 0.06)
    width = (0.034 if p.glasses_style != "round" else 0.026) * pose.scale
    lines = []
    for side in (-1, 1):
        lens = np.stack([side * centre + dx, 0.03 + dy, z - 0.30 * (np.abs(side * centre + dx) - 0.1).clip(0) ** 2], 1)
        pixels = pose.project(lens)
        glare = polygon(image.shape[:2], pixels) * np.float32(0.07)
        paint(image, glare, (1, 1, 1))
        lines.append(pixels)
        outer = side * (centre + half)
        a = float(lookup(skull.a, np.array([-0.05], np.float32))[0])
        if side * pose.yaw <= 0.05:
            lines.append(pose.project([(outer, -0.04, z - 0.15), (side * (a + 0.02), -0.05, 0.10), (side * (a + 0.02), -0.04, -0.05)]))
        else:
            lines.append(pose.project([(outer, -0.04, z - 0.15), (side * (a + 0.01), -0.05, 0.30)]))
    inner = centre - half
    lines.append(pose.project([(-inner, -0.02, z), (0, -0.045, z + 0.03), (inner, -0.02, z)]))
    for line in lines:
        paint(image, stroke(image.shape[:2], line, width, 0.004 * pose.scale), colour)


def _face_box(person: Person, skull: Profile, pose: Pose) -> np.ndarray:
    """Bounds of the face: hairline to chin, ear to ear."""
    y = np.linspace(-0.70, person.chin_length, 12).astype(np.float32)
    a, c, z0 = lookup(skull.a, y), lookup(skull.c, y), lookup(skull.z0, y)
    angle = np.radians(np.linspace(-80, 80, 13))[:, None]
    points = pose.project(np.stack(np.broadcast_arrays(a * np.sin(angle), y, z0 + c * np.cos(angle)), -1).reshape(-1, 3))
    return np.concatenate([points.min(0), points.max(0)])


def _landmarks(person: Person, expression: Expression, skull: Profile, maps: FaceMaps, pose: Pose) -> np.ndarray:
    mouth = mouth_shape(person, expression)
    spots = [(-person.eye_spacing, 0.0), (person.eye_spacing, 0.0), (0.0, person.nose_length), (mouth.x[0], mouth.inner_top[0]), (mouth.x[-1], mouth.inner_top[-1])]
    points = []
    for x, y in spots:
        column, row = (int(round(float(v))) for v in maps.at(np.float32(x), np.float32(y)))
        points.append((x, y, front_depth(skull, x, y) + float(maps.relief[row, column])))
    return pose.project(points)


def _photograph(image: np.ndarray, view: View, width: int, height: int) -> np.ndarray:
    """Down to the final size, through the camera: exposure, vignette, sensor noise."""
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    image = image * (np.float32(view.exposure) * (1 - np.float32(view.vignette) * (x * x + y * y) * np.float32(0.5)))[..., None]
    grain = keyed.generator("grain", view.detail_seed).standard_normal((height, width, 3), dtype=np.float32)
    image = image + np.float32(view.noise) * grain
    over = np.maximum(image - np.float32(0.72), 0)        # highlights roll off instead of clipping
    image = image - over + np.float32(0.28) * (1 - np.exp(over / np.float32(-0.28)))
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
