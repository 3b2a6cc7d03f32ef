"""The portrait engine `procedural`: draws a person again under another view, and plants faults to be found."""

import json
from typing import Any

import numpy as np

from salmu.data import keyed
from salmu.data.procedural.person import Person, draw_person
from salmu.data.procedural.render import render
from salmu.data.procedural.view import View, draw_view
from salmu.data.schemas import GENDERS, REGIONS
from salmu.tasks.pictures import jpeg_file

FAULTS = ("other_person", "no_face", "two_faces", "near_black", "wrong_gender")
JPEG_QUALITY = 92
NEARLY_BLACK = 0.03  # exposure
WHERE = {
    "plain wall": "in front of a plain wall",
    "living room": "in a living room",
    "office": "in an office",
    "bookshelf": "in front of a bookshelf",
    "cafe": "in a cafe",
    "kitchen": "in a kitchen",
    "brick wall": "in front of a brick wall",
    "studio": "in a studio",
    "street": "on a street",
    "park": "in a park",
    "beach": "on a beach",
    "mountains": "in front of mountains",
    "city at night": "in a city at night",
    "garden": "in a garden",
}


def portrait(person: Person, seed: int, short_side: int, fault_share: float) -> dict[str, Any]:
    """A portrait of the person, decided by the seed alone: prompt, scene (JSON), width, height, image (JPEG), fault."""
    view = draw_view(keyed.generator(seed, "view"), person)
    fault = planted_fault(seed, fault_share)
    width, height = size_of(view.aspect_ratio, short_side)
    scene = scene_of(person, view)
    image = _image(person, view, width, height, fault, keyed.generator(seed, "fault"))
    return {
        "prompt": prompt_of(scene),
        "scene": json.dumps(scene),
        "width": width,
        "height": height,
        "fault": fault,
        "image": jpeg_file(image, JPEG_QUALITY),
    }


def planted_fault(seed: int, share: float) -> str | None:
    """The fault of a portrait: each kind with a probability of share / 5."""
    draw = keyed.integer(seed, "faulty") / 2**63
    return FAULTS[int(draw / share * len(FAULTS))] if draw < share else None


def _image(
    person: Person, view: View, width: int, height: int, fault: str | None, rng: np.random.Generator
) -> np.ndarray:
    someone = draw_person(rng, person.gender, person.age_group, str(rng.choice(REGIONS)))
    if fault == "other_person":
        return render(someone, view, width, height).image
    if fault == "no_face":
        return render(None, view, width, height).image
    if fault == "two_faces":
        return render(person, view, width, height, other=someone).image
    if fault == "near_black":
        return render(person, view.model_copy(update={"exposure": NEARLY_BLACK}), width, height).image
    if fault == "wrong_gender":
        (other,) = set(GENDERS) - {person.gender}
        return render(draw_person(rng, other, person.age_group, person.region), view, width, height).image
    return render(person, view, width, height).image


def size_of(aspect_ratio: float, short_side: int) -> tuple[int, int]:
    """Width and height in pixels."""
    if aspect_ratio <= 1:
        return short_side, round(short_side / aspect_ratio)
    return round(short_side * aspect_ratio), short_side


def scene_of(person: Person, view: View) -> dict[str, str]:
    """What the picture was asked to show, in short words."""
    denim = view.clothing == "denim jacket"  # the view's colour and pattern are those of the top under it
    age = "young" if person.age < 35 else "middle-aged" if person.age < 58 else "older"
    return {
        "place": view.place,
        "background": view.background,
        "clothing": view.clothing if denim or view.pattern == "plain" else f"{view.pattern} {view.clothing}",
        "clothing_colour": "blue" if denim else view.clothing_colour,
        "light": "city lights" if view.background == "city at night" else view.light,
        "framing": view.framing,
        "expression": view.expression,
        "pose": view.pose,
        "person": f"{age} {'woman' if person.gender == 'female' else 'man'}",
    }


def prompt_of(scene: dict[str, str]) -> str:
    """The scene as the request that a generative engine would get."""
    expression = scene["expression"] if scene["expression"] == "talking" else f"with {scene['expression']}"
    clothes = f"{scene['clothing_colour']} {scene['clothing']}"
    return (
        f"A {scene['framing']} portrait photo of {_with_article(scene['person'])} {WHERE[scene['background']]}, "
        f"wearing {_with_article(clothes)}, {scene['pose']}, {expression}, {scene['light']}"
    )


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
