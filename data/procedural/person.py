"""A fictitious person: gender, age and region are drawn first and shape about seventy parameters of the face.

Lengths are in head units: the eye line is y = 0, y grows downwards to the chin near 1.1, half the face is 0.78 wide.
"""

from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from salmu.data.schemas import AGE_GROUPS, GENDERS, REGIONS

YOUNGEST, OLDEST = 20, 85
HAIR_STYLES = {
    "female": {"long": 30, "long parted": 16, "shoulder": 20, "bob": 14, "updo": 10, "bun": 7, "pixie": 5},
    "male": {"short": 34, "side part": 22, "quiff": 16, "buzz": 12, "tousled": 12, "bald": 4, "horseshoe": 0},
}
BEARD_STYLES = {"none": 46, "stubble": 14, "moustache": 8, "goatee": 10, "short beard": 13, "full beard": 9}
GLASSES_STYLES = {"none": 76, "round": 8, "square": 9, "narrow": 7}


def trait(
    mean: float, sd: float, male: float = 0, age: float = 0, low: float = -9, high: float = 9, about: str = ""
) -> Any:
    """A parameter: normal around `mean`, +/- `male` by gender, + `age` for each 25 years over 45, cut to low..high."""
    law = {"mean": mean, "sd": sd, "male": male, "age": age, "low": low, "high": high}
    return Field(description=about, json_schema_extra=law)


class Person(BaseModel):
    """Who somebody is; everything that stays the same from picture to picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    gender: Literal[GENDERS]
    age: int = Field(ge=YOUNGEST, le=OLDEST)
    age_group: Literal[AGE_GROUPS]
    region: Literal[REGIONS]
    hair_style: str
    beard_style: Literal[tuple(BEARD_STYLES)]
    glasses_style: Literal[tuple(GLASSES_STYLES)]

    face_width: float = trait(0.775, 0.04, male=0.012, low=0.69, high=0.87, about="half width at the temples")
    cheek_width: float = trait(0.745, 0.045, male=0.0, low=0.65, high=0.85, about="half width at the cheekbones")
    jaw_width: float = trait(0.585, 0.055, male=0.045, age=0.02, low=0.46, high=0.74, about="half width at the mouth")
    chin_width: float = trait(0.33, 0.06, male=0.05, low=0.2, high=0.5, about="half width above the chin's end")
    chin_length: float = trait(1.10, 0.05, male=0.035, low=0.98, high=1.25, about="y of the chin's end")
    chin_relief: float = trait(0.05, 0.03, male=0.015, low=0, high=0.13, about="how far the chin stands out")
    skull_height: float = trait(1.12, 0.045, low=1.02, high=1.22, about="top of the skull over the eye line")
    cheek_relief: float = trait(
        0.06, 0.03, male=-0.01, age=-0.015, low=0, high=0.13, about="how far the cheekbones stand out"
    )
    skin_tone: float = trait(0.3, 0.07, low=0, high=1, about="0 lightest, 1 darkest")
    skin_undertone: float = trait(0, 0.5, low=-1, high=1, about="-1 rosy, 1 olive")
    skin_redness: float = trait(0.35, 0.2, age=0.08, low=0, high=1, about="red cheeks and nose")
    freckles: float = trait(-0.5, 0.55, low=0, high=1, about="density of freckles")
    mole_x: float = trait(0, 0.38, low=-0.6, high=0.6)
    mole_y: float = trait(0.45, 0.3, low=-0.5, high=0.98)
    mole_size: float = trait(-0.005, 0.028, low=0, high=0.04, about="radius; 0 for none")
    second_mole_x: float = trait(0, 0.38, low=-0.6, high=0.6)
    second_mole_y: float = trait(0.45, 0.35, low=-0.55, high=0.98)
    second_mole_size: float = trait(-0.015, 0.028, low=0, high=0.036, about="radius; 0 for none")
    eye_spacing: float = trait(0.325, 0.027, low=0.27, high=0.385, about="x of the eye's centre")
    eye_width: float = trait(0.16, 0.014, male=-0.006, low=0.12, high=0.2, about="half length of the eye")
    eye_opening: float = trait(
        0.078, 0.013, male=-0.007, age=-0.007, low=0.045, high=0.115, about="half height of the eye"
    )
    eye_tilt: float = trait(
        0.02, 0.025, male=-0.006, age=-0.012, low=-0.06, high=0.09, about="outer corner over the inner"
    )
    eye_depth: float = trait(0.075, 0.025, male=0.015, low=0.01, high=0.15, about="depth of the eye's socket")
    eyelid_crease: float = trait(0.8, 0.15, age=-0.05, low=0, high=1, about="visibility of the fold over the eye")
    eye_bags: float = trait(0.2, 0.15, age=0.2, low=0, high=1)
    iris_colour: float = trait(0.1, 0.05, low=0, high=1, about="dark brown, brown, hazel, green, blue, grey")
    iris_size: float = trait(0.074, 0.005, low=0.062, high=0.088, about="radius")
    lashes: float = trait(0.5, 0.15, male=-0.32, low=0.05, high=1)
    brow_thickness: float = trait(0.05, 0.017, male=0.014, low=0.018, high=0.095)
    brow_height: float = trait(0.235, 0.03, male=-0.018, low=0.17, high=0.31, about="over the eye line")
    brow_arch: float = trait(0.04, 0.022, male=-0.014, low=-0.01, high=0.1)
    brow_tilt: float = trait(0.01, 0.025, low=-0.05, high=0.07, about="outer end over the inner")
    brow_gap: float = trait(0.135, 0.025, male=-0.02, low=0.05, high=0.19, about="x of the inner end")
    brow_darkness: float = trait(0.6, 0.17, male=0.12, age=-0.1, low=0.2, high=1)
    nose_length: float = trait(0.46, 0.04, male=0.018, age=0.015, low=0.36, high=0.58, about="y of the tip")
    nose_width: float = trait(0.165, 0.02, male=0.012, low=0.115, high=0.25, about="half width of the wings")
    nose_relief: float = trait(0.27, 0.04, male=0.025, low=0.15, high=0.38, about="how far the tip stands out")
    nose_bridge: float = trait(0.085, 0.015, male=0.006, low=0.05, high=0.13, about="half width of the bridge")
    nose_hump: float = trait(0.03, 0.035, male=0.012, low=-0.04, high=0.12)
    nose_tip: float = trait(0.10, 0.018, male=0.005, low=0.06, high=0.15, about="radius of the tip")
    mouth_height: float = trait(0.235, 0.025, male=0.012, low=0.17, high=0.3, about="below the nose's tip")
    mouth_width: float = trait(0.27, 0.034, male=0.012, low=0.2, high=0.35, about="half width")
    upper_lip: float = trait(0.06, 0.014, male=-0.009, age=-0.013, low=0.018, high=0.11)
    lower_lip: float = trait(0.078, 0.015, male=-0.008, age=-0.012, low=0.03, high=0.13)
    lip_curve: float = trait(0.018, 0.022, low=-0.03, high=0.07, about="corners up")
    lip_redness: float = trait(0.5, 0.17, male=-0.33, age=-0.05, low=0, high=1, about="natural colour and lipstick")
    lip_hue: float = trait(0.5, 0.28, low=0, high=1, about="of the lipstick: coral to berry")
    eye_shadow: float = trait(0.28, 0.25, male=-0.45, low=0, high=1)
    ear_size: float = trait(0.22, 0.025, male=0.012, age=0.012, low=0.15, high=0.3, about="half height")
    ear_relief: float = trait(0.1, 0.035, male=0.01, low=0.03, high=0.2, about="how far the ears stand out")
    hair_colour: float = trait(0.1, 0.05, low=0, high=1, about="black, brown, chestnut, red, dark blond, blond")
    hair_grey: float = trait(0.25, 0.2, male=0.05, age=0.45, low=0, high=1)
    hair_length: float = trait(0, 0.26, low=-0.4, high=0.5, about="added to the style's length")
    hair_volume: float = trait(0.5, 0.28, age=-0.06, low=0, high=1)
    hair_curl: float = trait(0.3, 0.15, low=0, high=1, about="0 straight, 1 tight curls")
    hair_gloss: float = trait(0.45, 0.18, male=-0.12, low=0, high=1)
    hair_cover: float = trait(0, 1, low=-2, high=2, about="how far long hair covers the cheeks")
    hairline: float = trait(0.74, 0.06, male=0.02, age=0.03, low=0.62, high=0.9, about="over the eye line")
    hair_recession: float = trait(0.06, 0.06, male=0.06, age=0.05, low=0, high=0.35, about="at the temples")
    hair_parting: float = trait(0, 26, low=-45, high=45, about="degrees from the middle")
    fringe: float = trait(-0.2, 0.6, male=-0.25, low=0, high=1, about="hair over the forehead")
    beard_density: float = trait(0.72, 0.15, low=0.35, high=1)
    wrinkles: float = trait(0.28, 0.1, age=0.38, low=0, high=1)
    jowls: float = trait(0.1, 0.12, age=0.22, low=0, high=1)
    glasses_size: float = trait(0.25, 0.025, low=0.2, high=0.31, about="half width of a lens")
    glasses_colour: float = trait(0.42, 0.4, low=0, high=1, about="black, brown, metal, red, blue")
    neck_width: float = trait(0.43, 0.03, male=0.06, low=0.33, high=0.58, about="half width")
    neck_length: float = trait(0.42, 0.05, male=-0.03, low=0.28, high=0.56, about="from the chin to the collar")
    shoulder_width: float = trait(1.8, 0.1, male=0.2, low=1.45, high=2.3, about="half width")
    shoulder_slope: float = trait(0.3, 0.06, male=-0.02, low=0.16, high=0.45)


# What a region adds to a mean; with a second number, also the deviation that it has instead of the trait's own.
REGION_TRAITS: dict[str, dict[str, float | tuple[float, float]]] = {
    "White": {
        "skin_tone": (-0.18, 0.07),
        "iris_colour": (0.45, 0.3),
        "hair_colour": (0.4, 0.3),
        "skin_undertone": -0.35,
        "freckles": 0.25,
        "skin_redness": 0.15,
        "nose_relief": 0.02,
        "hair_curl": (-0.05, 0.17),
    },
    "Black": {
        "skin_tone": (0.5, 0.11),
        "hair_curl": (0.62, 0.1),
        "nose_width": 0.042,
        "upper_lip": 0.022,
        "lower_lip": 0.022,
        "nose_relief": -0.03,
        "hair_colour": (-0.08, 0.03),
        "skin_redness": -0.2,
    },
    "Latino_Hispanic": {
        "skin_tone": (0.09, 0.08),
        "hair_colour": (0.1, 0.15),
        "iris_colour": (0.08, 0.1),
        "skin_undertone": 0.2,
        "lower_lip": 0.008,
        "hair_curl": (0.08, 0.17),
    },
    "East Asian": {
        "skin_tone": (-0.08, 0.06),
        "eyelid_crease": -0.62,
        "eye_opening": -0.014,
        "eye_tilt": 0.028,
        "nose_relief": -0.055,
        "nose_bridge": 0.018,
        "hair_curl": (-0.26, 0.06),
        "hair_colour": (-0.05, 0.09),
        "eye_depth": -0.04,
        "skin_undertone": 0.4,
        "cheek_width": 0.03,
        "hair_gloss": 0.15,
    },
    "Southeast Asian": {
        "skin_tone": (0.13, 0.08),
        "eyelid_crease": -0.35,
        "eye_opening": -0.008,
        "nose_width": 0.025,
        "nose_relief": -0.05,
        "hair_curl": (-0.2, 0.1),
        "hair_colour": (-0.04, 0.09),
        "eye_depth": -0.025,
        "upper_lip": 0.01,
        "skin_undertone": 0.45,
        "cheek_width": 0.02,
    },
    "Indian": {
        "skin_tone": (0.27, 0.1),
        "brow_thickness": 0.01,
        "brow_darkness": 0.2,
        "hair_colour": (-0.05, 0.08),
        "eye_width": 0.006,
        "skin_undertone": 0.3,
        "nose_hump": 0.015,
        "hair_curl": (-0.02, 0.15),
        "lashes": 0.12,
    },
    "Middle Eastern": {
        "skin_tone": (0.03, 0.08),
        "nose_hump": 0.045,
        "nose_relief": 0.045,
        "brow_thickness": 0.014,
        "brow_darkness": 0.22,
        "hair_colour": (0.02, 0.13),
        "iris_colour": (0.08, 0.12),
        "hair_curl": (0.06, 0.16),
        "skin_undertone": 0.2,
        "nose_length": 0.015,
        "brow_gap": -0.015,
    },
}


def age_group_of(age: int) -> str:
    """The name of the age group that an age in years belongs to."""
    return AGE_GROUPS[min(max(age // 10 - 2, 0), len(AGE_GROUPS) - 1)]


def draw_person(rng: np.random.Generator, gender: str, age_group: str, region: str) -> Person:
    """A person of these demographics; the same generator state gives the same person."""
    low = int(age_group[:2])
    age = int(rng.integers(low, OLDEST + 1 if age_group == AGE_GROUPS[-1] else low + 10))
    styles = dict(HAIR_STYLES[gender])
    if gender == "male":
        styles["bald"] += max(0, age - 40) // 2
        styles["horseshoe"] += max(0, age - 45) // 2
    words = {
        "hair_style": _pick(rng, styles),
        "beard_style": _pick(rng, BEARD_STYLES) if gender == "male" else "none",
        "glasses_style": _pick(rng, GLASSES_STYLES | {"none": GLASSES_STYLES["none"] - age // 3}),
    }
    laws = {name: field.json_schema_extra for name, field in Person.model_fields.items() if field.json_schema_extra}
    numbers = {}
    for (name, law), luck in zip(laws.items(), np.clip(rng.normal(size=len(laws)), -2.3, 2.3), strict=True):
        change = REGION_TRAITS[region].get(name, 0)
        shift, deviation = change if isinstance(change, tuple) else (change, law["sd"])
        mean = law["mean"] + law["male"] * (1 if gender == "male" else -1) + law["age"] * (age - 45) / 25 + shift
        value = mean + deviation * float(luck)
        numbers[name] = round(min(max(value, law["low"]), law["high"]), 4)
    return Person(gender=gender, age=age, age_group=age_group, region=region, **words, **numbers)


def _pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    values = np.array(list(weights.values()), float)
    return str(rng.choice(list(weights), p=values / values.sum()))
