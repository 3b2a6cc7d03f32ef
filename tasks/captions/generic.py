"""Captions without personal data: what a portrait shows, from the scene that it was made with."""

import random
import re

from pydantic import BaseModel, ConfigDict, field_validator

from data import keyed
from data.errors import UserError
from prompts import loader
from tasks.captions.validate import HEDGES, MARKUP

PARTS = ("clothing", "expression", "pose", "background", "place", "light")      # in this order in the sentence
ARTICLE = re.compile(r"^(a|an|the)\b", re.I)


class GenericPrompts(BaseModel):
    """prompts/generic.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    person: dict[str, tuple[str, ...]]                    # gender, or "unknown"
    openings: dict[str, tuple[str, ...]]                  # framing, or "any"
    parts: dict[str, tuple[str, ...]]
    phrases: dict[str, dict[str, tuple[str, ...]]]

    @field_validator("person", "openings")
    @classmethod
    def _fallback(cls, wordings: dict, info) -> dict:
        needed = {"person": {"female", "male", "unknown"}, "openings": {"any"}}[info.field_name]
        if needed - set(wordings):
            raise ValueError(f"{', '.join(sorted(needed - set(wordings)))} is missing")
        for key, forms in wordings.items():
            for form in forms if info.field_name == "openings" else ():
                if re.findall(r"{(\w*)}", form) != ["person"]:
                    raise ValueError(f"{key}: {{person}} must stand once, and no other slot, in {form!r}")
        return wordings

    @field_validator("parts", "phrases")
    @classmethod
    def _known_parts(cls, wordings: dict, info) -> dict:
        unknown = set(wordings) - set(PARTS) or (set(PARTS) - set(wordings) if info.field_name == "parts" else set())
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: the parts are {', '.join(PARTS)}")
        for part, forms in wordings.items():
            for form in forms if info.field_name == "parts" else ():
                if re.findall(r"{(\w*)}", form) != ["value"]:
                    raise ValueError(f"{part}: {{value}} must stand once, and no other slot, in {form!r}")
        return wordings


def load() -> GenericPrompts:
    return loader.load("generic", GenericPrompts)


def caption(prompts: GenericPrompts, file_name: str, scene: dict[str, str], gender: str | None, seed: int, private: tuple[str, ...],
            attempts: int) -> tuple[str, int]:
    """A caption of a portrait, and the attempt that gave it. `private`: texts of which it must hold none.

    Raises UserError when all attempts hold something private or break a rule of form."""
    for attempt in range(1, attempts + 1):
        rng = keyed.python_random(seed, "captions", "generic", file_name, attempt)
        text = _sentence(prompts, scene, gender, rng)
        if not broken_rules(text, private):
            return text, attempt
    raise UserError(f"captions: portrait {file_name}: no generic caption in {attempts} attempts, the last broke: "
                    f"{', '.join(broken_rules(text, private))}; mend prompts/generic.yaml or the portrait's scene")


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


def _sentence(prompts: GenericPrompts, scene: dict[str, str], gender: str | None, rng: random.Random) -> str:
    told = {part: value for part in PARTS if (value := scene.get(part))}
    if "background" in told:
        told.pop("place", None)                           # the background tells more
    if "clothing" in told:
        told["clothing"] = _with_article(" ".join(filter(None, (scene.get("clothing_colour"), told["clothing"]))))
    chosen = set(rng.sample(sorted(told), min(len(told), rng.randint(2, 4))))
    framed = scene.get("framing") in prompts.openings and rng.random() < 0.5
    opening = rng.choice(prompts.openings[scene["framing"] if framed else "any"])
    opening = opening.format(person=rng.choice(prompts.person[gender if gender in prompts.person else "unknown"]))
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
    return ("an " if words[0].lower() in "aeiou" else "a ") + words
