"""How a person is shown in one picture: pose, expression, light, clothes, place, framing, camera."""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from salmu.data.procedural.person import Person

# width/height -> weight: a third square, the rest the ratios of photographs, 0.35 to 3, as in the published dataset
ASPECT_RATIOS = {
    1.0: 33,
    0.67: 10,
    0.75: 10,
    1.33: 10,
    1.5: 9,
    0.56: 6,
    1.78: 6,
    0.8: 4,
    1.25: 3,
    0.61: 2,
    2.0: 2,
    0.5: 2,
    2.35: 1.2,
    0.42: 0.8,
    0.35: 0.5,
    3.0: 0.5,
}
PLACES = {
    "indoors": ("plain wall", "living room", "office", "bookshelf", "cafe", "kitchen", "brick wall", "studio"),
    "outdoors": ("street", "park", "beach", "mountains", "city at night", "garden"),
}
CLOTHES = {
    "female": ("t-shirt", "blouse", "sweater", "blazer", "dress", "turtleneck", "hoodie", "denim jacket"),
    "male": ("t-shirt", "shirt", "sweater", "suit", "polo shirt", "turtleneck", "hoodie", "denim jacket"),
}
COLOURS = {
    "white": (0.92, 0.91, 0.89),
    "black": (0.10, 0.10, 0.11),
    "grey": (0.50, 0.51, 0.53),
    "navy": (0.11, 0.15, 0.29),
    "blue": (0.20, 0.38, 0.66),
    "light blue": (0.60, 0.74, 0.88),
    "red": (0.70, 0.14, 0.15),
    "burgundy": (0.40, 0.09, 0.15),
    "green": (0.16, 0.42, 0.26),
    "olive": (0.38, 0.39, 0.22),
    "yellow": (0.88, 0.72, 0.25),
    "orange": (0.85, 0.45, 0.16),
    "pink": (0.89, 0.60, 0.66),
    "purple": (0.42, 0.26, 0.52),
    "beige": (0.80, 0.72, 0.60),
    "brown": (0.40, 0.27, 0.18),
    "teal": (0.12, 0.46, 0.48),
}
PATTERNS = {"plain": 70, "striped": 16, "checked": 14}
# light -> azimuth, elevation (degrees), key, ambient, warmth -1 cold .. 1 warm
LIGHTS = {
    "soft daylight": (20, 35, 0.5, 0.62, 0.0),
    "bright sun": (45, 40, 0.78, 0.42, 0.35),
    "golden hour": (60, 16, 0.72, 0.42, 0.95),
    "overcast light": (5, 60, 0.34, 0.7, -0.35),
    "window light": (62, 22, 0.7, 0.42, -0.1),
    "warm lamp light": (38, 28, 0.6, 0.44, 0.8),
    "studio light": (32, 30, 0.64, 0.5, 0.05),
    "cool evening light": (40, 25, 0.5, 0.48, -0.75),
}
LIGHTS_OF_PLACE = {
    "indoors": ("soft daylight", "window light", "warm lamp light", "studio light"),
    "outdoors": ("soft daylight", "bright sun", "golden hour", "overcast light", "cool evening light"),
}
# framing -> pixels a head unit, as a share of the picture's short side
FRAMINGS = {"close-up": (0.345, 0.385), "head and shoulders": (0.27, 0.33), "half body": (0.215, 0.255)}
# expression -> smile, mouth open, eyes open, brows
EXPRESSIONS = {
    "a neutral expression": (0.05, 0.0, 1.0, 0.0),
    "a gentle smile": (0.5, 0.0, 0.95, 0.1),
    "a broad smile": (0.95, 0.45, 0.85, 0.2),
    "a serious look": (-0.2, 0.0, 0.92, -0.5),
    "a surprised look": (0.05, 0.55, 1.15, 0.9),
    "a thoughtful look": (-0.05, 0.0, 0.85, 0.3),
    "a laugh": (0.9, 0.8, 0.72, 0.4),
    "talking": (0.2, 0.35, 1.0, 0.2),
}
POSES = {
    "facing the camera": 46,
    "turned slightly to the left": 17,
    "turned slightly to the right": 17,
    "turned to the left": 10,
    "turned to the right": 10,
}


class View(BaseModel):
    """One picture's circumstances; words name what the numbers make."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    aspect_ratio: float = Field(description="width / height")
    place: Literal[tuple(PLACES)]
    background: str
    clothing: str
    clothing_colour: str
    pattern: Literal[tuple(PATTERNS)]
    light: str
    framing: str
    expression: str
    pose: str
    yaw: float = Field(description="degrees, > 0 to the image's right")
    pitch: float = Field(description="degrees, > 0 up")
    roll: float = Field(description="degrees, > 0 clockwise")
    smile: float
    mouth_open: float
    eyes_open: float
    brows: float
    gaze: float
    scale: float = Field(description="pixels a head unit / short side")
    centre_x: float = Field(description="of the head, share of the width")
    centre_y: float = Field(description="of the head, share of the room that is left, 0 top .. 1 bottom")
    light_azimuth: float = Field(description="degrees, > 0 from the image's right")
    light_elevation: float = Field(description="degrees")
    key: float
    ambient: float
    warmth: float
    exposure: float = Field(1.0, description="1 is right, below 0.1 nearly black")
    blur: float = Field(description="of the background, share of the short side")
    noise: float = Field(description="of the camera, standard deviation")
    vignette: float
    detail_seed: int = Field(description="of the background's details and the noise")


def draw_view(rng: np.random.Generator, person: Person | None) -> View:
    """A picture's circumstances; the person decides the choice of clothes only."""
    ratios = np.array(list(ASPECT_RATIOS.values()))
    place = _choose(rng, tuple(PLACES))
    light = _choose(rng, LIGHTS_OF_PLACE[place])
    framing = _choose(rng, tuple(FRAMINGS), (0.3, 0.45, 0.25))
    expression = _choose(rng, tuple(EXPRESSIONS), (0.24, 0.26, 0.16, 0.1, 0.05, 0.08, 0.05, 0.06))
    pose = _choose(rng, tuple(POSES), np.array(list(POSES.values())) / 100)
    azimuth, elevation, key, ambient, warmth = LIGHTS[light]
    smile, mouth_open, eyes_open, brows = EXPRESSIONS[expression]
    return View(
        aspect_ratio=float(rng.choice(list(ASPECT_RATIOS), p=ratios / ratios.sum())),
        place=place,
        background=_choose(rng, PLACES[place]),
        clothing=_choose(rng, CLOTHES[person.gender if person else "female"]),
        clothing_colour=_choose(rng, tuple(COLOURS)),
        pattern=_choose(rng, tuple(PATTERNS), np.array(list(PATTERNS.values())) / 100),
        light=light,
        framing=framing,
        expression=expression,
        pose=pose,
        yaw=_yaw(rng, pose),
        pitch=_normal(rng, 0, 5, 11),
        roll=_normal(rng, 0, 4.5, 11),
        smile=_normal(rng, smile, 0.08, 0.2),
        mouth_open=max(0.0, _normal(rng, mouth_open, 0.06, 0.12) if mouth_open else 0.0),
        eyes_open=_normal(rng, eyes_open, 0.05, 0.1),
        brows=_normal(rng, brows, 0.12, 0.25),
        gaze=_normal(rng, 0, 0.3, 0.8),
        scale=_uniform(rng, *FRAMINGS[framing]),
        centre_x=_uniform(rng, 0.36, 0.64),
        centre_y=_uniform(rng, 0.2, 0.55),
        light_azimuth=(azimuth + _normal(rng, 0, 8, 15)) * (1 if rng.random() < 0.5 else -1),
        light_elevation=elevation + _normal(rng, 0, 5, 10),
        key=key * _uniform(rng, 0.92, 1.08),
        ambient=ambient * _uniform(rng, 0.92, 1.08),
        warmth=warmth + _normal(rng, 0, 0.1, 0.2),
        exposure=_uniform(rng, 0.92, 1.06),
        blur=_uniform(rng, 0.008, 0.03),
        noise=_uniform(rng, 0.004, 0.014),
        vignette=_uniform(rng, 0.0, 0.22),
        detail_seed=int(rng.integers(0, 2**31)),
    )


def anchor_view(rng: np.random.Generator, person: Person) -> View:
    """The circumstances of an identity's reference picture: square, frontal, even light, plain background."""
    view = draw_view(rng, person)
    return view.model_copy(
        update={
            "aspect_ratio": 1.0,
            "place": "indoors",
            "background": "studio",
            "light": "studio light",
            "framing": "head and shoulders",
            "expression": "a neutral expression",
            "pose": "facing the camera",
            "yaw": _normal(rng, 0, 2.5, 5),
            "pitch": _normal(rng, 0, 2, 4),
            "roll": _normal(rng, 0, 1.5, 3),
            "smile": _normal(rng, 0.15, 0.1, 0.2),
            "mouth_open": 0.0,
            "eyes_open": 1.0,
            "brows": 0.0,
            "gaze": 0.0,
            "scale": _uniform(rng, 0.32, 0.35),
            "centre_x": 0.5,
            "centre_y": 0.5,
            "light_azimuth": _normal(rng, 0, 15, 25),
            "light_elevation": 30.0,
            "key": 0.55,
            "ambient": 0.56,
            "warmth": 0.05,
            "exposure": 1.0,
            "blur": 0.03,
            "noise": 0.005,
            "vignette": 0.1,
        }
    )


def _choose(rng: np.random.Generator, words: tuple[str, ...], weights=None) -> str:
    return words[int(rng.choice(len(words), p=weights))]


def _normal(rng: np.random.Generator, mean: float, deviation: float, limit: float) -> float:
    return float(mean + np.clip(rng.normal() * deviation, -limit, limit))


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _yaw(rng: np.random.Generator, pose: str) -> float:
    if pose == "facing the camera":
        return _normal(rng, 0, 4, 8)
    turn = _uniform(rng, 10, 19) if "slightly" in pose else _uniform(rng, 20, 30)
    return turn if pose.endswith("right") else -turn
