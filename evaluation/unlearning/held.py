"""Any gradient method with made captions held where they are: `held_METHOD`.

    loss = the method's own + hold * mean_Q |g(y) - g0(y)|^2

Q are captions that lie around those of the forget set (neighbours.py): of strangers, of what the forget set does not
hold of its people, and, if asked for, the forget facts in other words; g and g0: the text tower now and before. They
carry much of the precision of stranger_targets; here every method can have them."""

from dataclasses import replace
from typing import Any, NamedTuple

from pydantic import Field, create_model
from torch import Tensor

from salmu.data.errors import UserError
from salmu.evaluation.unlearning.aims import Aim, drawn_from, missed
from salmu.evaluation.unlearning.caption_makers import maker_for
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import GradientSettings, OneOf
from salmu.evaluation.unlearning.text_regression import before, held_neighbours, made_people
from salmu.evaluation.unlearning.wordings import WORDINGS

PREFIX = "held_"


class HeldSettings(GradientSettings):
    """What the wrapper adds to a method's own settings."""

    hold: float = Field(2.0, ge=0, description="Weight of the captions that are held.")
    strangers: int = Field(1000, ge=1, description="Made-up people whose captions are held.")
    others: int = Field(8000, ge=0, description="Captions about facts of forget people that are not in the forget set.")
    neighbours: int = Field(
        6, ge=1, description="Captions of strangers (two thirds) and others (one third) drawn for each pair of a step."
    )
    wordings: str = WORDINGS
    paraphrases: int = Field(
        0,
        ge=0,
        description="Wordings of each forget fact that are held too, one drawn for each pair; 0: none. They spare "
        "facts that are partly held out, but those facts stay known in other words.",
    )


class Held(NamedTuple):
    aims: tuple[Aim, ...]
    figures: dict[str, Any]  # for the record


def own_fields() -> list[str]:
    """Names of the settings that the wrapper adds."""
    return [name for name in HeldSettings.model_fields if name not in GradientSettings.model_fields]


def can_be_held(method: Method) -> bool:
    """Whether the wrapper works with a method: it has a loss, and nothing prepared of its own, as those have that hold
    captions themselves."""
    return method.loss is not None and method.prepare is None


def held(method: Method) -> Method:
    """The method with made captions held. Raises UserError for one that it does not work with."""
    name = f"{PREFIX}{method.name}"
    if not can_be_held(method):
        why = "it holds captions, or prepares other things, itself" if method.prepare else "it has no loss to add to"
        raise UserError(f"{name}: {method.name} cannot be wrapped: {why}; see salmu methods")
    if shared := set(own_fields()) & set(method.settings.model_fields):
        raise UserError(f"{name}: {method.name} has settings of the same names as the wrapper: {', '.join(shared)}")
    settings = create_model(
        f"Held{method.name}", __base__=(method.settings, HeldSettings), __doc__=method.settings.__doc__
    )
    return replace(
        method,
        name=name,
        description=f"{method.description} Made captions are held where they were.",
        source=f"{method.source}; captions held by this project, 2026",
        sees=method.sees | {"forget"},
        settings=settings,
        prepare=prepare,
        loss=lambda batch, chosen: method.loss(batch, chosen) + held_loss(batch),
        search=dict(method.search) | {"hold": OneOf((0.5, 1.0, 2.0, 4.0, 8.0))},
    )


def prepare(work, settings: HeldSettings) -> Held:
    """The captions that are held, with their embeddings by the start model. Raises UserError where they cannot be
    made."""
    people = work.forget.pool.people
    aims = held_neighbours(work, settings, made_people(work, settings))
    worded, sentences = work.worded
    words = maker_for(people).paraphrases(people, settings.paraphrases, settings.seed, worded)
    if words:
        tokens = work.tokenizer([caption.text for caption in words])
        aims.append(Aim(tokens, before(work, tokens), 1, settings.hold))
    made, drawn = sum(len(aim.tokens) for aim in aims), sum(aim.each for aim in aims)
    return Held(tuple(aims), {**sentences, "captions_made": made, "captions_a_pair": drawn})


def held_loss(batch) -> Tensor:
    """The weighted distance of this step's held captions from where they were, a scalar."""
    return missed(batch.work, drawn_from(batch.work.prepared.aims, batch, batch.size))
