"""Engine `grammar`: captions from the sentences in prompts/captions.yaml, filled with the fact."""

import re
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict

from data import keyed, schemas
from data.errors import UserError
from prompts import loader
from tasks.captions.validate import Fact, broken_rules, too_close, words_of

STYLES = ("direct", "possessive", "passive", "instruction", "question_answer")
PRONOUNS = {"female": {"he": "she", "him": "her", "his": "her"}, "male": {"he": "he", "him": "him", "his": "his"}}
SLOTS = {"name", "value", "a", "he", "him", "his", "He", "Him", "His"}


def _checked(sentence: str) -> str:
    slots = re.findall(r"{(\w*)}", sentence)
    for slot in ("name", "value"):
        if slots.count(slot) != 1:
            raise ValueError(f"{{{slot}}} must stand once")
    if set(slots) - SLOTS:
        raise ValueError(f"{{{min(set(slots) - SLOTS)}}} is unknown; known: {', '.join(sorted(SLOTS))}")
    return sentence


def _different(sentences: tuple[str, ...]) -> tuple[str, ...]:
    if not sentences or len(set(sentences)) < len(sentences):
        raise ValueError("there must be one sentence at least, and none twice")
    return sentences


Style = Annotated[tuple[Annotated[str, AfterValidator(_checked)], ...], AfterValidator(_different)]


class Sentences(BaseModel):
    """The sentences of one data field, by style."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    direct: Style
    possessive: Style
    passive: Style
    instruction: Style
    question_answer: Style


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

    def vocabulary(self, field: str) -> frozenset[str]:
        """The lower-case words of a field's sentences, with all that the slots can put there."""
        words = {form for forms in PRONOUNS.values() for form in forms.values()} | {"a", "an"}
        for style in STYLES:
            for sentence in getattr(getattr(self, field), style):
                words |= words_of(re.sub(r"{\w+}", " ", sentence))
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
                raise UserError(
                    f"captions: persona {fact.identity}, {fact.field}, style {style}: no caption in "
                    f"{attempts} attempts, the last broke: {', '.join(rules)}; mend prompts/captions.yaml or raise "
                    "captions.attempts"
                )
        return done


def fill(sentence: str, fact: Fact) -> str:
    """The sentence with the fact in its slots."""
    pronouns = PRONOUNS[fact.gender]
    slots = pronouns | {slot.capitalize(): form.capitalize() for slot, form in pronouns.items()}
    article = "an" if fact.value[:1].lower() in "aeiou" else "a"
    return sentence.format_map(slots | {"name": fact.name, "value": fact.value, "a": article})
