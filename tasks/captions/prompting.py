"""What a language model is asked: prompts/paraphrase.yaml, and the request for one fact."""

import functools
import itertools
import json
import re
from collections.abc import Iterable
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from salmu.data import keyed, schemas
from salmu.prompts import loader
from salmu.tasks.captions.grammar import PRONOUNS, STYLES, CaptionPrompts, drawn
from salmu.tasks.captions.patterns import sentence_pattern
from salmu.tasks.captions.validate import RULES, Fact

N, V, A = "[[N]]", "[[V]]", "[[A]]"
NO_REPLY = "no reply"
TOKENS_PER_SENTENCE = 180  # more than a sentence with its key has


def _holding(*parts: str, may: str = "") -> AfterValidator:
    def check(text: str) -> str:
        for part in parts:
            if text.count(part) != 1:
                raise ValueError(f"{part} must appear once")
        if unknown := set(re.findall(r"{.*?}", text)) - {*parts, may}:
            raise ValueError(f"{min(unknown)} is unknown; known: {', '.join(parts)}")
        return text

    return AfterValidator(check)


def _telling(text: str) -> str:
    for part in (N, V):
        if part not in text:
            raise ValueError(f"{part} is missing")
    return text


def _keys(names: Iterable[str], what: str) -> AfterValidator:
    def check(values: dict) -> dict:
        if wrong := set(names) ^ set(values):
            raise ValueError(f"{', '.join(sorted(wrong))} is {'missing' if wrong - set(values) else f'no {what}'}")
        return values

    return AfterValidator(check)


Mark = Annotated[str, Field(min_length=2, max_length=12, pattern=r"^[!-~]+$")]


class Placeholders(BaseModel):
    """How [[N]], [[V]] and [[A]] are written for the model. Models keep some forms better than others."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Mark = N
    value: Mark = V
    article: Mark = A

    @model_validator(mode="after")
    def _told_apart(self):
        marks = (self.name, self.value, self.article)
        if any(one in other for one, other in itertools.permutations(marks, 2)) or re.search(
            r"[\\\"{}]", "".join(marks)
        ):
            raise ValueError(
                "no placeholder may be part of another one or hold a backslash, a brace or a quotation mark"
            )
        return self

    def shown(self, text: str) -> str:
        """A text with [[N]], [[V]] and [[A]], as the model sees it."""
        return text.replace(N, self.name).replace(V, self.value).replace(A, self.article)

    def restored(self, text: str) -> str:
        """What the model wrote, with [[N]], [[V]] and [[A]]."""
        return text.replace(self.name, N).replace(self.value, V).replace(self.article, A)


class ParaphrasePrompts(BaseModel):
    """prompts/paraphrase.yaml, or a file that changes some of its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    placeholders: Placeholders = Placeholders()
    instructions: Annotated[str, AfterValidator(_telling)]
    examples: int = Field(0, ge=0, le=10)  # sentences of captions.yaml that the model is shown in each style
    task: Annotated[str, _holding("{fact}", "{pronouns}", "{styles}", may="{examples}")]
    again: str
    refused: Annotated[str, _holding("{style}", "{sentence}", "{rule}")]
    pronouns: Annotated[dict[str, str], _keys(schemas.GENDERS, "gender")]
    facts: Annotated[
        dict[str, Annotated[tuple[Annotated[str, _holding(N, V)], ...], Field(min_length=1)]],
        _keys(schemas.DATA_FIELDS, "data field"),
    ]
    rules: Annotated[dict[str, str], _keys((NO_REPLY, *RULES), "rule")]
    vocabulary: Annotated[dict[str, str], _keys(("all", *schemas.DATA_FIELDS), "data field")]


@functools.cache
def captions() -> CaptionPrompts:
    """The sentences of the grammar."""
    return loader.load("captions", CaptionPrompts)


class Request(NamedTuple):
    """One prompt: sentences of some styles for one fact."""

    digest: str  # of all that decides the reply
    prompt: str
    schema: dict  # JSON schema of the reply
    seed: int
    max_tokens: int


class Refusal(NamedTuple):
    sentence: str  # with placeholders; empty where there was none
    rules: tuple[str, ...]


def load(name: str = "paraphrase") -> ParaphrasePrompts:
    """prompts/NAME.yaml, with the keys that it does not have from prompts/paraphrase.yaml. Raises UserError of one line
    that names what is wrong."""
    return loader.load(name, ParaphrasePrompts, base="paraphrase")


def request(
    prompts: ParaphrasePrompts, fact: Fact, refused: dict[str, list[Refusal]], seed: int, attempt: int, model: list
) -> Request:
    """The prompt for a fact in the styles of `refused`, which says what was wrong with earlier sentences. `model`: what
    else decides the reply."""
    styles = [style for style in STYLES if style in refused]
    rng = keyed.python_random(seed, "captions", "fact", fact.identity, fact.field)
    told = rng.choice(prompts.facts[fact.field])
    examples = _examples(prompts.examples, fact, styles, seed, attempt)
    task = prompts.task.format(
        fact=told,
        pronouns=prompts.pronouns[fact.gender],
        styles=", ".join(styles),
        examples="\n".join(map(json.dumps, examples)),
    )
    prompt = f"{prompts.instructions}\n{task}"
    if attempt > 1:
        prompt += f"\n{prompts.again}" + "".join(
            prompts.refused.format(
                style=style,
                sentence=refused[style][-1].sentence or "nothing",
                rule="; ".join(prompts.rules[rule] for rule in refused[style][-1].rules),
            )
            for style in styles
        )
    prompt = prompts.placeholders.shown(prompt)
    number = keyed.integer(seed, "captions", "request", fact.identity, fact.field, attempt, bits=31)
    marks = prompts.placeholders
    shown = [told, *(sentence for example in examples for sentence in example.values())] if examples else []
    named = tuple(sentence.replace(N, "{name}").replace(V, "{value}") for sentence in shown)
    patterns = {
        style: sentence_pattern(style, fact.field, marks.name, marks.value, marks.article, named) for style in styles
    }
    schema = {
        "type": "object",
        "properties": {style: {"type": "string", "pattern": pattern} for style, pattern in patterns.items()},
        "required": styles,
        "additionalProperties": False,
    }
    tokens = 64 + TOKENS_PER_SENTENCE * len(styles)
    return Request(keyed.digest(model, prompt, patterns, number), prompt, schema, number, tokens)


def _examples(number: int, fact: Fact, styles: list[str], seed: int, attempt: int) -> list[dict[str, str]]:
    """So many times a sentence of captions.yaml in each style, by lot."""
    rng, grammar = keyed.python_random(seed, "captions", "examples", fact.identity, fact.field, attempt), captions()
    slots = PRONOUNS[fact.gender] | {"name": N, "value": V, "a": A, "A": A}
    slots |= {slot.capitalize(): form.capitalize() for slot, form in PRONOUNS[fact.gender].items()}
    drawn_ones = {style: rng.sample(grammar.sentences(fact.field, style), number) for style in styles}
    return [
        {style: drawn(drawn_ones[style][place], rng).format_map(slots) for style in styles} for place in range(number)
    ]
