"""Engine `grammar`: captions from the sentences in prompts/captions.yaml, filled with the fact."""

import re
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from data import keyed, schemas
from data.errors import UserError
from prompts import loader
from tasks.captions.validate import Fact, broken_rules, too_close

STYLES = ("direct", "possessive", "passive", "instruction", "question_answer")
PRONOUNS = {"female": {"he": "she", "him": "her", "his": "her"}, "male": {"he": "he", "him": "him", "his": "his"}}
SLOTS = {"name", "value", "a", "he", "him", "his", "He", "Him", "His"}


class Sentences(BaseModel):
    """The sentences of one data field, by style."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    direct: tuple[str, ...]
    possessive: tuple[str, ...]
    passive: tuple[str, ...]
    instruction: tuple[str, ...]
    question_answer: tuple[str, ...]

    @field_validator("*")
    @classmethod
    def _slots(cls, sentences: tuple[str, ...]) -> tuple[str, ...]:
        if not sentences:
            raise ValueError("at least one sentence is needed")
        if len(set(sentences)) < len(sentences):
            raise ValueError("a sentence stands there twice")
        for sentence in sentences:
            slots = re.findall(r"{(\w*)}", sentence)
            for slot in ("name", "value"):
                if slots.count(slot) != 1:
                    raise ValueError(f"{{{slot}}} must stand once in {sentence!r}")
            if set(slots) - SLOTS:
                raise ValueError(f"unknown {{{min(set(slots) - SLOTS)}}} in {sentence!r}; known: {', '.join(sorted(SLOTS))}")
        return sentences


class CaptionPrompts(BaseModel):
    """prompts/captions.yaml: the sentences of each data field."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    city: Sentences
    job: Sentences
    blood_type: Sentences
    phone_number: Sentences
    emails: Sentences
    iban: Sentences
    credit_card: Sentences
    passport: Sentences

    @model_validator(mode="after")
    def _all_fields(self) -> "CaptionPrompts":
        assert set(type(self).model_fields) == set(schemas.DATA_FIELDS)
        return self

    def vocabulary(self, field: str) -> frozenset[str]:
        """The lower-case words of a field's sentences, with all that the slots can put there."""
        words = {form for forms in PRONOUNS.values() for form in forms.values()} | {"a", "an"}
        for style in STYLES:
            for sentence in getattr(getattr(self, field), style):
                words |= {word.lower().removesuffix("'s") for word in re.findall(r"[A-Za-z]+(?:'[a-z]+)?", re.sub(r"{\w+}", " ", sentence))}
        return frozenset(words)


class Caption(NamedTuple):
    style: str
    text: str
    attempts: int


class Grammar:
    """The engine: its sentences, and the words that they may use."""

    name = "grammar"

    def __init__(self):
        self.prompts = loader.load("captions", CaptionPrompts)
        self.vocabularies = {field: self.prompts.vocabulary(field) for field in schemas.DATA_FIELDS}

    def captions(self, fact: Fact, seed: int, attempts: int) -> list[Caption]:
        """One validated caption in each style. A draw that breaks a rule is drawn again.

        Raises UserError that names persona and rules when all attempts of a style fail."""
        done: list[Caption] = []
        for style in STYLES:
            rules: list[str] = []
            for attempt in range(1, attempts + 1):
                rng = keyed.python_random(seed, "captions", fact.identity, fact.field, style, attempt)
                text = fill(rng.choice(getattr(getattr(self.prompts, fact.field), style)), fact)
                rules = broken_rules(text, fact, self.vocabularies[fact.field])
                if too_close(text, fact, [caption.text for caption in done]):
                    rules.append("too close to another style")
                if not rules:
                    done.append(Caption(style, text, attempt))
                    break
            else:
                raise UserError(f"captions: persona {fact.identity}, {fact.field}, style {style}: no caption in {attempts} attempts, the last "
                                f"broke: {', '.join(rules)}; mend prompts/captions.yaml or raise captions.attempts")
        return done


def fill(sentence: str, fact: Fact) -> str:
    """The sentence with the fact in its slots."""
    pronouns = PRONOUNS[fact.gender]
    slots = pronouns | {slot.capitalize(): form.capitalize() for slot, form in pronouns.items()}
    article = "an" if fact.value[:1].lower() in "aeiou" else "a"
    return sentence.format_map(slots | {"name": fact.name, "value": fact.value, "a": article})

