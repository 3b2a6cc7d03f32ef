"""Which placeholders a language model keeps: it words the same facts with each form, and its sentences are counted.

model = OpenAiModel(OpenAiSettings(base_url=..., model=...), temperature=0.9, top_p=0.95)
for found in compared(model, prompting.load("paraphrase_small")):
    print(found.form.name, found.both, "of", found.asked)"""

import time
from collections.abc import Iterable
from typing import NamedTuple

from salmu.data import schemas
from salmu.tasks.captions.grammar import STYLES, Grammar
from salmu.tasks.captions.paraphrase import Model, parsed, skeleton_rules, vocabularies
from salmu.tasks.captions.prompting import N, ParaphrasePrompts, Placeholders, Request, V, request
from salmu.tasks.captions.validate import Fact

FORMS = (
    Placeholders(),
    Placeholders(name="$N", value="$V", article="$A"),
    Placeholders(name="<N>", value="<V>", article="<A>"),
)


class Found(NamedTuple):
    """What a model made of one form of the placeholders."""

    form: Placeholders
    asked: int  # sentences that it was asked for
    given: int  # of these, sentences in its replies
    both: int  # of these, with name and value once each
    accepted: int  # of these, those that keep all rules and copy nothing
    seconds: float


def compared(
    model: Model,
    prompts: ParaphrasePrompts,
    seed: int = 0,
    rounds: int = 1,
    forms: Iterable[Placeholders] = FORMS,
    patterns: bool = False,
) -> list[Found]:
    """Each form's sentences, `rounds` times one in each style for each of the eight data fields. `patterns`: whether
    the schema forces name and value, as the stage's does; without it the model is on its own. Raises what the model
    does."""
    words = vocabularies(Grammar())
    facts = [
        Fact(f"{number}", "", schemas.GENDERS[(number + place) % 2], field, "")
        for number in range(rounds)
        for place, field in enumerate(schemas.DATA_FIELDS)
    ]
    results = []
    for form in forms:
        told = prompts.model_copy(update={"placeholders": form})
        asked = [request(told, fact, {style: [] for style in STYLES}, seed, 1, model.identity) for fact in facts]
        if not patterns:
            asked = [one._replace(schema=_without_patterns(one)) for one in asked]
        began = time.perf_counter()
        places = list(range(0, len(asked), model.group))
        replies = dict(model.ask([asked[place : place + model.group] for place in places]))
        seconds = time.perf_counter() - began
        given = both = accepted = 0
        for fact, one, reply in zip(
            facts, asked, (text for at in sorted(replies) for text in replies[at]), strict=True
        ):
            for style, sentence in parsed(reply).items():
                if style not in STYLES or not isinstance(sentence, str):
                    continue
                given += 1
                skeleton = form.restored(sentence)
                both += skeleton.count(N) == 1 == skeleton.count(V)
                accepted += sentence not in one.prompt and not skeleton_rules(skeleton, style, fact, words[fact.field])
        results.append(Found(form, len(asked) * len(STYLES), given, both, accepted, seconds))
    return results


def _without_patterns(asked: Request) -> dict:
    """The request's schema, with any text in each style."""
    return asked.schema | {"properties": {style: {"type": "string"} for style in asked.schema["properties"]}}
