"""What a portrait shows, drawn from the grammar of prompts/portraits.yaml: the prompt in words, the scene in keys."""

import string
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field, model_validator

from salmu.data import keyed
from salmu.data.procedural.view import ASPECT_RATIOS
from salmu.data.schemas import AGE_GROUPS, GENDERS, REGIONS
from salmu.data.settings import Settings
from salmu.prompts import loader

UNKNOWN = "unknown"


def _slots(*names: str, all_of_them: bool):
    """Only these slots may stand in a text; with `all_of_them` each must, once."""

    def check(text: str) -> str:
        found = [slot for _, slot, _, _ in string.Formatter().parse(text) if slot is not None]
        if set(found) - set(names) or (all_of_them and sorted(found) != sorted(names)):
            listed = ", ".join(f"{{{name}}}" for name in names)
            raise ValueError(f"may hold no slots but {listed}" + (", and each once" if all_of_them else ""))
        return text

    return AfterValidator(check)


def _keys(*names: str):
    """Exactly these keys, in any order."""

    def check(values: dict) -> dict:
        if set(values) != set(names):
            raise ValueError(f"needs the keys {', '.join(names)} and no other")
        return values

    return AfterValidator(check)


Weight = Annotated[float, Field(gt=0)]
SLOTS = ("framing", "person", "where", "clothing", "pose", "expression", "light", "camera")


class Gender(Settings):
    noun: str
    possessive: str


class Age(Settings):
    word: str
    phrases: tuple[Annotated[str, _slots("person", "possessive", all_of_them=False)], ...] = Field(min_length=1)


class Person(Settings):
    genders: Annotated[dict[str, Gender], _keys(*GENDERS, UNKNOWN)]
    ages: Annotated[dict[str, Age], _keys(*AGE_GROUPS, UNKNOWN)]
    regions: Annotated[dict[str, str], _keys(*REGIONS, UNKNOWN)]


class Choice(Settings):
    phrase: str
    weight: Weight = 1


class Background(Choice):
    lights: tuple[str, ...] = ()


class Place(Settings):
    weight: Weight
    lights: tuple[str, ...] = Field(min_length=1)
    backgrounds: dict[str, Background] = Field(min_length=1)


class Garment(Settings):
    weight: Weight = 1
    patterns: bool = True
    colours: tuple[str, ...] = ()


class PortraitPrompts(Settings):
    """prompts/portraits.yaml."""

    template: Annotated[str, _slots(*SLOTS, all_of_them=True)]
    negative: Annotated[dict[str, str], _keys("sd15", "sdxl")]
    person: Person
    places: dict[str, Place] = Field(min_length=1)
    lights: dict[str, Choice] = Field(min_length=1)
    clothes: Annotated[dict[str, dict[str, Garment]], _keys(*GENDERS, UNKNOWN)]
    colours: dict[str, Weight] = Field(min_length=1)
    patterns: dict[str, Weight] = Field(min_length=1)
    framings: dict[str, Choice] = Field(min_length=1)
    expressions: dict[str, Choice] = Field(min_length=1)
    poses: dict[str, Choice] = Field(min_length=1)
    cameras: dict[str, Choice] = Field(min_length=1)

    @model_validator(mode="after")
    def _lights_are_known(self):
        named = {light for place in self.places.values() for light in place.lights}
        named |= {
            light for place in self.places.values() for spot in place.backgrounds.values() for light in spot.lights
        }
        if unknown := named - set(self.lights):
            raise ValueError(f"places name lights that are not under lights: {', '.join(sorted(unknown))}")
        return self


class Wish(NamedTuple):
    """What is asked for in one portrait."""

    prompt: str
    scene: dict[
        str, str
    ]  # place, background, clothing, clothing_colour, light, framing, expression, pose, person, camera
    aspect_ratio: float  # width / height


def load() -> PortraitPrompts:
    """Raises UserError of one line that names what is wrong in prompts/portraits.yaml."""
    return loader.load("portraits", PortraitPrompts)


def draw_wish(prompts: PortraitPrompts, seed: int, person: dict[str, str | None]) -> Wish:
    """One portrait of a person (gender, age_group, region, each of the schema or None), decided by its seed alone."""
    gender, age_group, region = (person[key] or UNKNOWN for key in ("gender", "age_group", "region"))
    place = _draw(seed, "place", {name: place.weight for name, place in prompts.places.items()})
    backgrounds = prompts.places[place].backgrounds
    background = _draw(seed, "background", backgrounds)
    light = _draw(seed, "light", dict.fromkeys(backgrounds[background].lights or prompts.places[place].lights, 1))
    garments = prompts.clothes[gender]
    clothing = _draw(seed, "clothing", garments)
    colours = garments[clothing].colours
    colour = _draw(seed, "colour", dict.fromkeys(colours, 1) if colours else prompts.colours)
    pattern = _draw(seed, "pattern", prompts.patterns) if garments[clothing].patterns else "plain"
    framing, expression, pose, camera = (
        _draw(seed, part, getattr(prompts, f"{part}s")) for part in ("framing", "expression", "pose", "camera")
    )
    scene = {
        "place": place,
        "background": background,
        "clothing": clothing if pattern == "plain" else f"{pattern} {clothing}",
        "clothing_colour": colour,
        "light": light,
        "framing": framing,
        "expression": expression,
        "pose": pose,
        "person": f"{prompts.person.ages[age_group].word} {prompts.person.genders[gender].noun}".strip(),
        "camera": camera,
    }
    prompt = prompts.template.format(
        framing=prompts.framings[framing].phrase,
        person=_person(prompts.person, seed, gender, age_group, region),
        where=backgrounds[background].phrase,
        clothing=_with_article(f"{colour} {scene['clothing']}"),
        pose=prompts.poses[pose].phrase,
        expression=prompts.expressions[expression].phrase,
        light=prompts.lights[light].phrase,
        camera=prompts.cameras[camera].phrase,
    )
    return Wish(prompt, scene, _draw(seed, "aspect ratio", ASPECT_RATIOS))


def _person(words: Person, seed: int, gender: str, age_group: str, region: str) -> str:
    noun = f"{words.regions[region]} {words.genders[gender].noun}".strip()
    phrase = keyed.python_random(seed, "age phrase").choice(words.ages[age_group].phrases)
    return _with_article(phrase.format(person=noun, possessive=words.genders[gender].possessive))


def _draw(seed: int, part: str, options: dict):
    """One of the options by weight (a number, or what has one), keyed by the part: each part is drawn on its own."""
    weights = [option if isinstance(option, (int, float)) else option.weight for option in options.values()]
    return keyed.python_random(seed, part).choices(list(options), weights)[0]


def _with_article(words: str) -> str:
    return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"
