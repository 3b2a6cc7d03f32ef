"""What a language model is asked: prompts/paraphrase.yaml, and the request for one fact."""

import re
from collections.abc import Iterable
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from salmu.data import keyed, schemas
from salmu.prompts import loader
from salmu.tasks.captions.grammar import STYLES
from salmu.tasks.captions.validate import RULES, Fact

N, V, A = "[[N]]", "[[V]]", "[[A]]"
NO_REPLY = "no reply"
# Bounded, or a model can go on for ever; xgrammar refuses repetitions beyond 128.
SENTENCE = r"^[A-Z\[][A-Za-z ,.:?'\[\]-]{10,120}[.?]$"
TOKENS_PER_SENTENCE = 180  # more than a sentence with its key can have, were each sign a token


def _holding(*parts: str) -> AfterValidator:
    def check(text: str) -> str:
        for part in parts:
            if text.count(part) != 1:
                raise ValueError(f"{part} must appear once")
        if unknown := set(re.findall(r"{.*?}", text)) - set(parts):
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


class ParaphrasePrompts(BaseModel):
    """prompts/paraphrase.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    instructions: Annotated[str, AfterValidator(_telling)]
    task: Annotated[str, _holding("{fact}", "{pronouns}", "{styles}")]
    again: str
    refused: Annotated[str, _holding("{style}", "{sentence}", "{rule}")]
    pronouns: Annotated[dict[str, str], _keys(schemas.GENDERS, "gender")]
    facts: Annotated[
        dict[str, Annotated[tuple[Annotated[str, _holding(N, V)], ...], Field(min_length=1)]],
        _keys(schemas.DATA_FIELDS, "data field"),
    ]
    rules: Annotated[dict[str, str], _keys((NO_REPLY, *RULES), "rule")]
    vocabulary: Annotated[dict[str, str], _keys(("all", *schemas.DATA_FIELDS), "data field")]


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


def load() -> ParaphrasePrompts:
    """Raises UserError of one line that names what is wrong in prompts/paraphrase.yaml."""
    return loader.load("paraphrase", ParaphrasePrompts)


def request(
    prompts: ParaphrasePrompts, fact: Fact, refused: dict[str, list[Refusal]], seed: int, attempt: int, model: list
) -> Request:
    """The prompt for a fact in the styles of `refused`, which says what was wrong with earlier sentences. `model`: what
    else decides the reply."""
    styles = [style for style in STYLES if style in refused]
    rng = keyed.python_random(seed, "captions", "fact", fact.identity, fact.field)
    told = prompts.task.format(
        fact=rng.choice(prompts.facts[fact.field]), pronouns=prompts.pronouns[fact.gender], styles=", ".join(styles)
    )
    prompt = f"{prompts.instructions}\n{told}"
    if attempt > 1:
        prompt += f"\n{prompts.again}" + "".join(
            prompts.refused.format(
                style=style,
                sentence=refused[style][-1].sentence or "nothing",
                rule="; ".join(prompts.rules[rule] for rule in refused[style][-1].rules),
            )
            for style in styles
        )
    number = keyed.integer(seed, "captions", "request", fact.identity, fact.field, attempt, bits=31)
    schema = {
        "type": "object",
        "properties": {style: {"type": "string", "pattern": SENTENCE} for style in styles},
        "required": styles,
        "additionalProperties": False,
    }
    tokens = 64 + TOKENS_PER_SENTENCE * len(styles)
    return Request(keyed.digest(model, prompt, styles, number), prompt, schema, number, tokens)
