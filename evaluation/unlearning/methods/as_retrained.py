"""As retrained: a forget caption is read as one about a stranger, whom the model knows as little as a retrained model
knows the person; a wholly forgotten person's portraits look like those of people alike.

    t*_i = the unit vector nearest to s_i with cosine f l_i to the person's mean portrait p
    s_i  = mean of the start model's embeddings of a stranger's captions of the same attribute, in all styles; of people
           who keep some attributes, weighted mean of these (1) and of their own name's with strangers' values (b)
    l_i  = mean cosine of these captions with p

A model that never saw the forget pairs still gives any personal caption a high cosine with any portrait, and a little
more or less with this one. So the level of each fact is that of its own stand-in. stranger_targets takes the level of a
model that saw no personal caption at all, which is far too low. f makes up for the regression, which ends a little
above its targets. Stand-ins are chosen by their captions as they are. Captions with strangers' values of the forgotten
attributes, and the bare names of people of whom everything is forgotten, get the same targets. Where the budget
suffices to reach the targets, they are not turned (f null), and a name that stays known says something about the face
(b): a retrained model reads a forgotten fact of such a person as one with any other value.

A mean of captions lies nearer to the middle of all captions than any of them, so targets that are means lie too near to
all portraits, and to each other. With `same_sentence`, s_i is the embedding of caption i itself, with the stranger's
name and value in place of the person's; for b, with the stranger's value alone.

The regression stops short of its targets, on the way from where the captions were. What is left of the way ties a
caption to the very portrait that it was trained with. With `overshoot` (c), captions are aimed further by that much:
t*_i + c (t*_i - g0(y_i)), to length 1.

A retrained model saw fewer personal captions than the start model, and sets those that it never saw a little nearer to
all portraits. How much nearer differs from pair to pair. The cosine that it gives forget pairs hardly does: 0.530 to
0.560 on eight pairs of this project's tiny models. `level` (e) is that cosine. All targets are turned until those of
the forget captions have it on average with their own portraits, where these shall be.

Both towers learn in the same steps, from the same pairs (text_regression.py, faces.py). p is the mean of where the
portraits shall be. Where nobody is wholly forgotten, or `faces` is 0, the image tower is frozen."""

from functools import partial
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator

from salmu.evaluation.unlearning.aims import Aim
from salmu.evaluation.unlearning.caption_makers import maker_for
from salmu.evaluation.unlearning.faces import Faces, FaceSettings, faces_loss, faces_of
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.neighbours import Caption, Stranger, swap_words
from salmu.evaluation.unlearning.presets import PRESETS
from salmu.evaluation.unlearning.settings import Between, OneOf
from salmu.evaluation.unlearning.stand_ins import (
    StandInSettings,
    check_level,
    mean_portraits,
    overshot,
    raised,
    rise_of,
    stand_ins_of_all,
)
from salmu.evaluation.unlearning.text_regression import SEARCH, TextSettings, before, loss, ready, text_tower, turned


class Settings(FaceSettings, StandInSettings):
    preset: Literal["precise"] | None = Field(
        None,
        description="precise: other settings are those that came nearest to Retrained, where they are not given. They "
        "are for a budget of 20, and take about four times as long as the defaults.",
    )
    learning_rate: float = Field(4e-3, gt=0, description=TextSettings.model_fields["learning_rate"].description)
    most_a_step: int = Field(8, ge=1, description=TextSettings.model_fields["most_a_step"].description)
    strangers: int = Field(400, ge=1, description=TextSettings.model_fields["strangers"].description)
    others: int = Field(3000, ge=0, description=TextSettings.model_fields["others"].description)
    scenes: int = Field(2000, ge=0, description=TextSettings.model_fields["scenes"].description)
    neighbours: int = Field(24, ge=0, description=TextSettings.model_fields["neighbours"].description)
    drawn_paraphrases: int = Field(6, ge=0, description=TextSettings.model_fields["drawn_paraphrases"].description)
    forgetting: float = Field(1.5, gt=0, description=TextSettings.model_fields["forgetting"].description)
    pull_back: float = Field(0.75, ge=0, description=TextSettings.model_fields["pull_back"].description)
    factor: float | None = Field(
        0.95,
        gt=0,
        le=1,
        description="Share of a stand-in's cosine that is the target (f); null: targets are not turned, for a budget "
        "that suffices to reach them.",
    )
    own_name: float = Field(
        0.0,
        ge=0,
        description="Weight of captions with the own name and strangers' values, of which `altered` makes some, in the "
        "targets of people who keep some attributes (b).",
    )
    altered: int = Field(
        5, ge=0, description="Captions of each forgotten attribute with strangers' values; 0: none, nor bare names."
    )
    drawn_altered: int = Field(1, ge=0, description="How many of these are drawn for each forget pair.")
    same_sentence: bool = Field(
        False,
        description="Targets are what the start model makes of the very caption with the name and value of the (first) "
        "stand-in in place of the person's, instead of the mean of the stand-in's captions.",
    )
    typical: bool = Field(
        False,
        description="Choose stand-ins whose captions also lie as near to the forget set's portraits as strangers' "
        "captions do on average.",
    )
    level: float | None = Field(
        None,
        ge=-1,
        lt=1,
        description="Mean cosine of the forget captions' targets with their own portraits, where these shall be (e): "
        "that of a retrained model, which is about 0.7 of the start model's; null: targets keep their own.",
    )
    turned_round: bool = Field(False, description='Give the bare "VALUE NAME" of each fact its target too.')

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, values: Any) -> Any:
        preset = values.get("preset") if isinstance(values, dict) else None
        return PRESETS[preset] | values if isinstance(preset, str) and preset in PRESETS else values


class Ready(NamedTuple):
    targets: torch.Tensor  # of the forget captions, in order of the pool [n, width]
    aims: tuple[Aim, ...]
    figures: dict[str, Any]
    faces: Faces | None


def prepare(work, settings: Settings) -> Ready:
    if settings.level is not None:
        check_level(work, settings.level)
    faces = faces_of(work, settings)
    portraits = mean_portraits(work, faces and faces.wanted)
    anybody = F.normalize(torch.stack(list(portraits.values())).mean(0), dim=0)  # for those whom the budget leaves out

    def targets(work, settings: Settings, known: dict[str, torch.Tensor], made: list[Stranger]):
        unit = partial(F.normalize, dim=1)
        stood_for = stand_ins_of_all(work, settings, known, portraits, unit, settings.typical)
        named = {} if settings.same_sentence else by_name(work, settings, made)

        def stand_in_for(facts, said):
            stood = torch.stack(
                [
                    mixed(known[field][stood_for(who, field)].mean(0), named.get((who, field)), settings)
                    for who, field in facts
                ]
            )
            if settings.same_sentence:
                stood = in_same_sentence(work, settings, facts, said, stood_for, made, stood)
            there = F.normalize(stood, dim=1)
            if settings.factor is not None:
                seen = torch.stack([portraits.get(who, anybody) for who, _ in facts])
                there = turned(there, seen[:, None], settings.factor * (stood * seen).sum(1, keepdim=True))
            return there

        pool = work.forget.pool
        facts = list(zip(pool.columns["identity_id"], pool.columns["data_field"], strict=True))
        lift = rise_of(work, settings, stand_in_for(facts, pool.texts), faces) if settings.level is not None else None

        def aim(facts, texts, said):
            there = stand_in_for(facts, said)
            return overshot(raised(there, *lift) if lift else there, texts, settings.overshoot)

        return aim, {"portraits_moved": int(faces.moved.sum())} if faces else {}

    return Ready(*ready(work, settings, targets, reworded, settings.drawn_altered), faces)


def reworded(work, made) -> list[Caption]:
    people = work.forget.pool.people
    return altered(work, made) + (maker_for(people).turned_round(people) if work.settings.turned_round else [])


def altered(work, made) -> list[Caption]:
    settings, people = work.settings, work.forget.pool.people
    each = settings.altered
    return maker_for(people).altered(people, made, each, settings.seed, work.worded[0]) if each else []


def mixed(stranger: torch.Tensor, name: torch.Tensor | None, settings: Settings) -> torch.Tensor:
    """s_i [width]."""
    return stranger if name is None else (stranger + settings.own_name * name) / (1 + settings.own_name)


def in_same_sentence(work, settings: Settings, facts, said: list[str], stood_for, made, otherwise) -> torch.Tensor:
    """s_i [n, width] of captions `said`; `otherwise` where a caption has neither name nor value."""
    people = work.forget.pool.people
    shares = maker_for(people).forgotten_shares(people)
    named, theirs = [], []
    for (who, field), text in zip(facts, said, strict=True):
        stranger = made[stood_for(who, field)[0]]
        value = stranger.values.get(field)
        values = dict.fromkeys(people[who].facts.get(field, ()), value) if value else {}
        named.append(swap_words(text, values))
        theirs.append(swap_words(text, values | {people[who].name: stranger.name}))
    stood = before(work, work.tokenizer(theirs))
    if settings.own_name:
        own = torch.tensor([shares[who] < 1 for who, _ in facts], device=stood.device)[:, None]
        stood = torch.where(own, mixed(stood, before(work, work.tokenizer(named)), settings), stood)
    swapped = torch.tensor([new != text for new, text in zip(theirs, said, strict=True)], device=stood.device)
    return torch.where(swapped[:, None], stood, otherwise)


def by_name(work, settings: Settings, made: list[Stranger]) -> dict[tuple[str, str], torch.Tensor]:
    """Of people who keep some attributes: person, forgotten attribute -> what their name alone tells the start model,
    the mean embedding of captions with strangers' values [width]."""
    if not settings.own_name:
        return {}
    people = work.forget.pool.people
    shares = maker_for(people).forgotten_shares(people)
    told = [one for one in altered(work, made) if shares[one.person] < 1]
    if not told:
        return {}
    texts = before(work, work.tokenizer([one.text for one in told]))
    places: dict[tuple[str, str], list[int]] = {}
    for place, one in enumerate(told):
        places.setdefault((one.person, one.field), []).append(place)
    return {key: texts[own].mean(0) for key, own in places.items()}


def both_towers(batch, settings: Settings) -> torch.Tensor:
    faces = batch.work.prepared.faces
    return loss(batch, settings) + (faces_loss(batch, settings, faces) if faces else 0)


def masks(work, settings: Settings) -> dict[str, torch.Tensor]:
    """All weights may change where faces are moved, those of the text tower elsewhere."""
    if work.prepared.faces is None:
        return text_tower(work, settings)
    return {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in work.weights.items()}


METHOD = Method(
    name="as_retrained",
    description="Teaches the text tower to read a forget caption as one about a stranger and the image tower to see a "
    "wholly forgotten face as one of many, and holds all other captions and pictures where they are.",
    source="this project, 2026; counterfactual targets as in Who's Harry Potter (Eldan and Russinovich, 2023)",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    loss=both_towers,
    masks=masks,
    prepare=prepare,
    search=SEARCH
    | {
        "learning_rate": Between(1.5e-3, 8e-3),
        "factor": OneOf((0.9, 0.95, 1.0)),
        "forgetting": OneOf((1.5, 2.0, 3.0, 4.0)),
        "optimiser": OneOf(("adamw", "muon")),
        "epsilon": OneOf((1e-6, 1e-3)),
        "pull_back": OneOf((0.0, 0.4, 0.75, 1.5)),
    },
)
