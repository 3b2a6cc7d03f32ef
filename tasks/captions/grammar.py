"""Engine `grammar`: captions from the sentences in prompts/captions.yaml, filled with the fact."""

import itertools
import random
import re
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict

from salmu.data import keyed, schemas
from salmu.data.errors import UserError
from salmu.prompts import loader
from salmu.tasks.captions.validate import Fact, article, broken_rules, too_close, words_of

STYLES = ("direct", "possessive", "passive", "instruction", "question_answer")
PRONOUNS = {"female": {"he": "she", "him": "her", "his": "her"}, "male": {"he": "he", "him": "him", "his": "his"}}
SLOTS = {"name", "value", "a", "A", "he", "him", "his", "He", "Him", "His"}
CHOICE = re.compile(r"\(([^()]*)\)")


def _checked(sentence: str) -> str:
    if re.search(r"[()|]", CHOICE.sub("", sentence)) or any("|" not in found for found in CHOICE.findall(sentence)):
        raise ValueError("a choice is written (one|another)")
    for one in expanded(sentence):
        slots = re.findall(r"{(\w*)}", one)
        for slot in ("name", "value"):
            if slots.count(slot) != 1:
                raise ValueError(f"{{{slot}}} must appear once")
        if set(slots) - SLOTS:
            raise ValueError(f"{{{min(set(slots) - SLOTS)}}} is unknown; known: {', '.join(sorted(SLOTS))}")
    return sentence


def _different(sentences: tuple[str, ...]) -> tuple[str, ...]:
    every = [one for sentence in sentences for one in expanded(sentence)]
    twice = [one for one in every if every.count(one) > 1]
    if not sentences or twice:
        raise ValueError(f"there must be one sentence at least, and none twice{': ' + twice[0] if twice else ''}")
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

    def sentences(self, field: str, style: str) -> tuple[str, ...]:
        return getattr(getattr(self, field), style)

    def vocabulary(self, field: str) -> frozenset[str]:
        """The lower-case words of a field's sentences, with all that the slots can put there."""
        words = {form for forms in PRONOUNS.values() for form in forms.values()} | {"a", "an"}
        for style in STYLES:
            for sentence in self.sentences(field, style):
                words |= words_of(re.sub(r"{\w+}", " ", sentence))
        return frozenset(words)


class Caption(NamedTuple):
    style: str
    text: str
    generator: str
    attempts: int
    broken: tuple[str, ...] = ()  # the rules that the refused attempts before it broke
    refused: str = ""  # the last sentence that a language model tried in its place


class Grammar:
    """The engine: its sentences, and the words that they may use."""

    name = "grammar"

    def __init__(self):
        self.prompts = loader.load("captions", CaptionPrompts)
        self.vocabularies = {field: self.prompts.vocabulary(field) for field in schemas.DATA_FIELDS}

    def captions(self, fact: Fact, seed: int, attempts: int) -> list[Caption]:
        """One validated caption in each style. Raises UserError as `caption` does."""
        done: list[Caption] = []
        for style in STYLES:
            done.append(self.caption(fact, style, seed, attempts, [caption.text for caption in done]))
        return done

    def caption(self, fact: Fact, style: str, seed: int, attempts: int, others: list[str]) -> Caption:
        """A validated caption that is not too close to the others of its fact. A draw that breaks a rule is drawn
        again.

        Raises UserError that names persona and rules when all attempts fail."""
        refused: list[str] = []
        for attempt in range(1, attempts + 1):
            rng = keyed.python_random(seed, "captions", fact.identity, fact.field, style, attempt)
            text = fill(drawn(rng.choice(self.prompts.sentences(fact.field, style)), rng), fact)
            rules = broken_rules(text, fact, self.vocabularies[fact.field])
            if too_close(text, fact, others):
                rules.append("too close to another style")
            if not rules:
                return Caption(style, text, self.name, attempt, tuple(refused))
            refused += rules
        raise UserError(
            f"captions: persona {fact.identity}, {fact.field}, style {style}: no caption in {attempts} attempts, the "
            f"last broke: {', '.join(rules)}; correct prompts/captions.yaml or raise captions.attempts"
        )


def expanded(sentence: str) -> list[str]:
    """The sentence with every combination of its choices."""
    parts = CHOICE.split(sentence)  # text, choice, text, choice, text …
    return ["".join(chosen) for chosen in itertools.product(*(_options(part, at) for at, part in enumerate(parts)))]


def drawn(sentence: str, rng: random.Random) -> str:
    """The sentence with one of each of its choices."""
    return "".join(rng.choice(_options(part, at)) for at, part in enumerate(CHOICE.split(sentence)))


def fill(sentence: str, fact: Fact) -> str:
    """The sentence with the fact in its slots."""
    slots = PRONOUNS[fact.gender] | {"a": article(fact.value)}
    slots |= {slot.capitalize(): form.capitalize() for slot, form in slots.items()}
    return sentence.format_map(slots | {"name": fact.name, "value": fact.value})


def _options(part: str, place: int) -> list[str]:
    return part.split("|") if place % 2 else [part]
