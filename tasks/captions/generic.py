"""Captions without personal data: what a portrait shows, from the scene that it was made with."""

import random
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from salmu.data import keyed
from salmu.data.errors import UserError
from salmu.data.schemas import AGE_GROUPS
from salmu.prompts import loader
from salmu.tasks.captions.validate import HEDGES, MARKUP, article

PARTS = ("clothing", "expression", "pose", "background", "place", "light")  # in this order in the sentence
ARTICLE = re.compile(r"^(a|an|the)\b", re.I)
POSSESSIVE = {"female": "her", "male": "his"}


def _with_slot(slot: str):
    def check(form: str) -> str:
        if re.findall(r"{(\w*)}", form) != [slot]:
            raise ValueError(f"{{{slot}}} must appear once, and no other slot")
        return form

    return AfterValidator(check)


def _with_keys(*needed: str):
    def check(wordings: dict) -> dict:
        if set(needed) - set(wordings):
            raise ValueError(f"{', '.join(sorted(set(needed) - set(wordings)))} is missing")
        return wordings

    return AfterValidator(check)


Part = Literal[PARTS]


class GenericPrompts(BaseModel):
    """prompts/generic.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    person: Annotated[dict[str, tuple[str, ...]], _with_keys("female", "male", "unknown")]
    ages: Annotated[dict[str, Annotated[str, _with_slot("possessive")]], _with_keys(*AGE_GROUPS)]
    openings: Annotated[dict[str, tuple[Annotated[str, _with_slot("person")], ...]], _with_keys("any")]  # by framing
    parts: Annotated[dict[Part, tuple[Annotated[str, _with_slot("value")], ...]], _with_keys(*PARTS)]
    phrases: dict[Part, dict[str, tuple[str, ...]]]


def load() -> GenericPrompts:
    return loader.load("generic", GenericPrompts)


def caption(
    prompts: GenericPrompts,
    file_name: str,
    scene: dict[str, str],
    gender: str | None,
    age_group: str | None,
    seed: int,
    private: tuple[str, ...],
    attempts: int,
) -> tuple[str, int]:
    """A caption of a portrait from its scene and its labels, of which any may be missing, and the attempt that gave it.
    `private`: texts of which it must hold none. A part of the scene that may not be told is left out.

    Raises UserError when all attempts hold something private or break a rule of form."""
    scene = {
        part: words
        for part, words in scene.items()
        if isinstance(words, str) and words.strip() and not broken_rules(words, private)
    }
    for attempt in range(1, attempts + 1):
        rng = keyed.python_random(seed, "captions", "generic", file_name, attempt)
        text = _sentence(prompts, scene, gender, age_group, rng)
        if not broken_rules(text, private):
            return text, attempt
    raise UserError(
        f"captions: portrait {file_name}: no generic caption in {attempts} attempts, the last broke: "
        f"{', '.join(broken_rules(text, private))}; correct prompts/generic.yaml or the portrait's scene"
    )


def broken_rules(text: str, private: tuple[str, ...]) -> list[str]:
    """The rules that a generic caption breaks."""
    broken = []
    if re.search(r"[\d@]", text):
        broken.append("digit or address")
    if MARKUP.search(text) or not text.isascii():
        broken.append("form")
    if HEDGES.search(text):
        broken.append("hedge")
    if any(re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text) for part in private):
        broken.append("personal data")
    return broken


def _sentence(
    prompts: GenericPrompts, scene: dict[str, str], gender: str | None, age_group: str | None, rng: random.Random
) -> str:
    told = {part: scene[part] for part in PARTS if part in scene}
    if "background" in told:
        told.pop("place", None)  # the background tells more
    if "clothing" in told:
        told["clothing"] = _with_article(" ".join(filter(None, (scene.get("clothing_colour"), told["clothing"]))))
    chosen = set(rng.sample(sorted(told), min(len(told), rng.randint(2, 4))))
    framed = scene.get("framing") in prompts.openings and rng.random() < 0.5
    opening = rng.choice(prompts.openings[scene["framing"] if framed else "any"])
    people = [*prompts.person[gender if gender in prompts.person else "unknown"]]
    if "person" in scene:
        people.append(_with_article(scene["person"]))
    elif age_group in prompts.ages:
        age = prompts.ages[age_group].format(possessive=POSSESSIVE.get(gender, "their"))
        people += [f"{person} {age}" for person in people]
    opening = opening.format(person=rng.choice(people))
    wordings = [_part(prompts, part, told[part], rng) for part in PARTS if part in chosen]
    return " ".join([opening, ", ".join(wordings)]).strip().rstrip(",") + "."


def _part(prompts: GenericPrompts, part: str, value: str, rng: random.Random) -> str:
    phrases = prompts.phrases.get(part, {}).get(value)
    if phrases:
        return rng.choice(phrases)
    return rng.choice(prompts.parts[part]).format(value=value)


def _with_article(words: str) -> str:
    if ARTICLE.match(words):
        return words
    return f"{article(words)} {words}"
