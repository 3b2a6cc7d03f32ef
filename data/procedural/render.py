"""Renders a person under a view: a soft-shaded portrait with the boxes and the five landmarks of its faces."""

from typing import NamedTuple

import cv2
import numpy as np

from salmu.data import keyed
from salmu.data.procedural.backdrop import draw_backdrop
from salmu.data.procedural.body import draw_body
from salmu.data.procedural.canvas import lerp, paint, soften
from salmu.data.procedural.details import draw_ear, draw_glasses, draw_knot
from salmu.data.procedural.face import draw_face
from salmu.data.procedural.facemap import Expression, FaceMaps
from salmu.data.procedural.features import mouth_shape
from salmu.data.procedural.hair import hair_cover, hair_profile, hair_shading, strands, style_of
from salmu.data.procedural.head import (
    HEIGHTS,
    PIVOT_Y,
    Pose,
    Profile,
    front_depth,
    head_profile,
    lookup,
    normals,
    surface,
)
from salmu.data.procedural.light import Light, light_of
from salmu.data.procedural.person import Person
from salmu.data.procedural.view import View

OVERSAMPLING = 1.5
BEARD_LENGTH = {"short beard": 0.02, "full beard": 0.11}


class Rendered(NamedTuple):
    image: np.ndarray  # uint8 RGB [h, w, 3]
    boxes: np.ndarray  # float32 [faces, 4]: x1, y1, x2, y2 in pixels
    landmarks: np.ndarray  # float32 [faces, 5, 2]: eyes, nose tip, mouth corners; the image's left first


def render(person: Person | None, view: View, width: int, height: int, other: Person | None = None) -> Rendered:
    """The picture of a person, of two people side by side, or (person None) of the place alone."""
    light = light_of(view)
    image = draw_backdrop(view, round(width * OVERSAMPLING), round(height * OVERSAMPLING))
    image *= 0.55 + 0.45 * (light.ambient + light.key * np.float32(0.6)) / np.float32(0.95)
    people = [someone for someone in (person, other) if someone]
    boxes, landmarks = [], []
    for number, someone in enumerate(people):
        shown = _mirrored(view) if number else view
        box, points = _draw_person(image, someone, shown, _pose(shown, width, height, number, len(people)), light)
        boxes.append(box / OVERSAMPLING)
        landmarks.append(points / OVERSAMPLING)
    boxes = np.clip(np.array(boxes, np.float32).reshape(-1, 4), 0, [width, height, width, height]).astype(np.float32)
    return Rendered(_photograph(image, view, width, height), boxes, np.array(landmarks, np.float32).reshape(-1, 5, 2))


def _mirrored(view: View) -> View:
    """How the second of two people stands: turned the other way, in other clothes."""
    return view.model_copy(
        update={
            "yaw": -view.yaw,
            "roll": -view.roll,
            "gaze": -view.gaze,
            "clothing_colour": "navy" if view.clothing_colour == "grey" else "grey",
        }
    )


def _pose(view: View, width: int, height: int, number: int, count: int) -> Pose:
    """Where the head of the number-th of `count` people is, in oversampled pixels."""
    short = min(width, height)
    scale, x = view.scale * short, view.centre_x * width
    if count == 2:
        scale = min(scale, 0.27 * width, 0.36 * height)
        x = width * (0.28 if number == 0 else 0.72)
    else:
        x = np.clip(x, min(scale, width / 2), max(width - scale, width / 2))
    top, bottom = 2.02 * scale, height - 0.78 * scale  # of the pivot: room for the skull above, for the chin below
    y = lerp(top, bottom, view.centre_y) if bottom > top else height - 0.72 * scale
    y = min(y, top + 0.28 * short)
    yaw, pitch, roll = (float(np.radians(angle)) for angle in (view.yaw, view.pitch, view.roll))
    return Pose(scale * OVERSAMPLING, float(x) * OVERSAMPLING, float(y) * OVERSAMPLING, yaw, pitch, roll)


def _window(pose: Pose, size: tuple[int, ...], shape: Profile, bottom: float) -> tuple[int, int, int, int]:
    """Pixel bounds of what can be seen of a solid: left, top, right, bottom."""
    ((_, top),) = pose.project([(0.0, HEIGHTS[np.flatnonzero(shape.inside)[0]], 0.0)])
    half = (
        max(float(np.max(shape.a * shape.inside)), 0.86)
        + 0.12
        + 2.0 * abs(np.sin(pose.roll))
        + 0.15 * abs(np.sin(pose.yaw))
    )
    return (
        max(0, int(pose.x - half * pose.scale)),
        max(0, int(top - 0.35 * pose.scale)),
        min(size[1], int(pose.x + half * pose.scale) + 1),
        min(size[0], int(pose.y + (bottom - PIVOT_Y + 0.25) * pose.scale) + 1),
    )


def _draw_person(
    image: np.ndarray, person: Person, view: View, pose: Pose, light: Light
) -> tuple[np.ndarray, np.ndarray]:
    """Paint a person into the picture, back to front; returns the face's box and landmarks in oversampled pixels."""
    expression = Expression(view.smile, view.mouth_open, view.eyes_open, view.brows, view.gaze)
    skull = head_profile(person, 0.10 * expression.mouth_open, BEARD_LENGTH.get(person.beard_style, 0.0))
    maps = draw_face(person, expression, max(52.0, min(0.8 * pose.scale, 400.0)))
    style = style_of(person)
    hair_mask = np.zeros(image.shape[:2], np.float32)
    if style:
        shape = hair_profile(skull, person, style)
        left, top, right, bottom = bounds = _window(pose, image.shape, shape, max(1.0, style.bottom + 0.05))
        shell = surface(shape, pose, *pose.plane(*bounds), rounds=2)
        hair = hair_shading(person, strands(person, shell), normals(shell.depth, pose.scale), light)
        draw_knot(image, person, style, pose, light)
        if not style.is_rim:
            paint(image[top:bottom, left:right], shell.cover, hair * np.float32(0.42))
        hair_mask[top:bottom, left:right] = hair_cover(person, style, shell)
    draw_body(image, person, view, pose, light)
    far = [side for side in (-1, 1) if side * pose.yaw > 0]
    for side in far:
        draw_ear(image, person, skull, pose, light, side)
    _draw_head(image, person, skull, maps, pose, light, hair_mask)
    for side in (-1, 1):
        if side not in far:
            draw_ear(image, person, skull, pose, light, side)
    if style:
        paint(image[top:bottom, left:right], hair_mask[top:bottom, left:right], hair)
    if person.glasses_style != "none":
        draw_glasses(image, person, skull, pose, light)
    return _face_box(person, skull, pose), _landmarks(person, expression, skull, maps, pose)


def _draw_head(
    image: np.ndarray, person: Person, skull: Profile, maps: FaceMaps, pose: Pose, light: Light, hair_mask: np.ndarray
) -> None:
    left, top, right, bottom = bounds = _window(pose, image.shape, skull, person.chin_length + 0.25)
    low = cv2.GaussianBlur(maps.relief, (0, 0), 0.012 * maps.scale + 0.3)

    def on_face(values, x, y):
        return cv2.remap(values, *maps.at(x, y), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    seen = surface(skull, pose, *pose.plane(*bounds), relief=lambda x, y: on_face(low, x, y))
    colour, gloss = on_face(maps.colour, seen.x, seen.y), on_face(maps.gloss, seen.x, seen.y)
    nx, ny, nz = normals(soften(seen.depth, 0.01 * pose.scale), pose.scale)
    shaded = colour * light.shade(nx, ny, nz, bleed=0.25)
    rim = np.clip(nz * 1.6 + 0.25, 0, 1)  # a little darker where the surface turns away
    shaded *= (0.72 + 0.28 * rim)[..., None]
    shaded += (gloss * light.glance(nx, ny, nz, 26) * np.float32(0.45))[..., None] * light.key
    shift = max(1, int(0.06 * pose.scale))  # the hair's shadow falls downwards
    shadow = soften(hair_mask[max(0, top - shift) : bottom, left:right], 0.05 * pose.scale)[: bottom - top]
    shaded *= (1 - 0.38 * shadow)[..., None]
    paint(image[top:bottom, left:right], seen.cover, shaded)


def _face_box(person: Person, skull: Profile, pose: Pose) -> np.ndarray:
    """Bounds of the face: hairline to chin, ear to ear."""
    y = np.linspace(-0.70, person.chin_length, 12).astype(np.float32)
    a, c, z0 = lookup(skull.a, y), lookup(skull.c, y), lookup(skull.z0, y)
    angle = np.radians(np.linspace(-80, 80, 13))[:, None]
    points = np.stack(np.broadcast_arrays(a * np.sin(angle), y, z0 + c * np.cos(angle)), -1).reshape(-1, 3)
    pixels = pose.project(points)
    return np.concatenate([pixels.min(0), pixels.max(0)])


def _landmarks(person: Person, expression: Expression, skull: Profile, maps: FaceMaps, pose: Pose) -> np.ndarray:
    """Pixels [5, 2] of the eyes, the nose's tip and the corners of the mouth."""
    mouth = mouth_shape(person, expression)
    corners = [(mouth.x[end], mouth.inner_top[end]) for end in (0, -1)]
    points = []
    for x, y in [(-person.eye_spacing, 0.0), (person.eye_spacing, 0.0), (0.0, person.nose_length), *corners]:
        column, row = (int(round(float(v))) for v in maps.at(np.float32(x), np.float32(y)))
        points.append((x, y, front_depth(skull, x, y) + float(maps.relief[row, column])))
    return pose.project(points)


def _photograph(image: np.ndarray, view: View, width: int, height: int) -> np.ndarray:
    """Down to the final size, through the camera: exposure, vignette, sensor noise, highlights."""
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    corners = 1 - np.float32(view.vignette) * (x * x + y * y) * np.float32(0.5)
    image = image * (np.float32(view.exposure) * corners)[..., None]
    grain = keyed.generator("grain", view.detail_seed).standard_normal((height, width, 3), dtype=np.float32)
    image = image + np.float32(view.noise) * grain
    over = np.maximum(image - np.float32(0.72), 0)  # highlights roll off instead of clipping
    image = image - over + np.float32(0.28) * (1 - np.exp(over / np.float32(-0.28)))
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
