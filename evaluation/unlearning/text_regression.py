"""Unlearning by regression of the text tower: the image tower is frozen, each forget caption is moved to a target that
is computed beforehand, and every other caption that can be made or drawn is held where it was.

    loss = a mean_F |g(y) - t*|^2 + b mean_P |g(y) - t*|^2 + w mean_Q |g(y) - g0(y)|^2 + u mean_R |g(y) - g0(y)|^2

F: forget captions; P: their paraphrases; Q: captions of strangers, and of what forget people have beside the forget
set (neighbours.py); R: retain captions; g0: the text tower before. With the image tower frozen, the similarity of a
held-out pair can change by its caption only, and held-out captions lie among those of Q."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from salmu.evaluation.unlearning.aims import Aim, Drawn, drawn_from, encoded, missed
from salmu.evaluation.unlearning.caption_makers import maker_for
from salmu.evaluation.unlearning.neighbours import Caption, Stranger
from salmu.evaluation.unlearning.settings import Between, GradientSettings, OneOf
from salmu.evaluation.unlearning.wordings import WORDINGS
from salmu.model_training.retain import scene_captions

CHUNK = 512  # captions that are encoded at once
SETTLED = 6  # captions that earlier runs moved, drawn for each forget pair
SOLVED = 8  # turns of projecting onto the wanted cosines and back to length 1


class HoldSettings(GradientSettings):
    """Of methods that hold captions where they are."""

    strangers: int = Field(1000, ge=0, description="Made-up people whose captions are held; 0: no neighbours.")
    others: int = Field(8000, ge=0, description="Captions about facts of forget people that are not in the forget set.")
    neighbours: int = Field(
        12, ge=0, description="Captions of strangers (two thirds) and others (one third) drawn for each forget pair."
    )
    retain: int = Field(
        2,
        ge=0,
        description="More retain captions drawn for each forget pair, as text only: counted in the record as "
        "captions, not as pairs.",
    )
    scenes: int = Field(
        6000,
        ge=0,
        description="Captions of further procedural scenes that are held like retain captions, where retain_scenes "
        "declares that source; only their texts are made. As many are drawn as retain captions.",
    )
    wordings: str = WORDINGS
    pull_back: float = Field(
        0.0,
        ge=0,
        description="Decay towards the start model: each step takes back this times the learning rate of what each "
        "weight has moved, so that what the loss does not ask for again and again is undone.",
    )
    hold: float = Field(2.0, ge=0, description="Weight of the captions of strangers and others (w).")
    hold_retain: float = Field(2.0, ge=0, description="Weight of the retain captions (u).")


class TextSettings(HoldSettings):
    """Of methods that move captions to targets."""

    learning_rate: float = Field(
        3e-3, gt=0, description="Peak learning rate, for this project's small text tower; a ViT-B needs about 1e-5."
    )
    most_a_step: int = Field(
        2,
        ge=1,
        description="Most forget pairs in a step, whatever batch_size is. The budget limits the pairs, so small steps "
        "mean many steps.",
    )
    paraphrases: int = Field(
        10, ge=0, description="More wordings of each forget fact; the first is the bare NAME VALUE."
    )
    drawn_paraphrases: int = Field(3, ge=0, description="How many of these wordings are drawn for each forget pair.")
    forgetting: float = Field(2.0, gt=0, description="Weight of the forget captions (a).")
    rewording: float = Field(
        1.0, gt=0, description="Weight of the paraphrases (b), and of other made captions that are moved."
    )


SEARCH = {  # what a tuning tries for methods of this kind
    "learning_rate": Between(1.5e-3, 6e-3),
    "hold": OneOf((1.0, 2.0, 3.0, 4.0)),
    "neighbours": OneOf((12, 24, 48)),
    "drawn_paraphrases": OneOf((3, 6, 10)),
}


class Told(NamedTuple):
    """Captions as the start model saw them."""

    tokens: Tensor
    wanted: Tensor


class Ready(NamedTuple):
    targets: Tensor  # of the forget pairs, in order of the pool [n, width]
    aims: tuple[Aim, ...]
    figures: dict[str, Any]  # for the record


def ready(
    work,
    settings: TextSettings,
    targets: Callable[[Any, TextSettings, dict[str, Tensor], list[Stranger]], tuple[Callable, dict[str, Any]]],
    altered: Callable[[Any, list[Stranger]], list[Caption]] = lambda work, made: [],
    drawn: int = 1,
) -> Ready:
    """Targets and held captions of a run. `targets(work, settings, known, made)` gives a function, a list of (person,
    attribute) and the captions' embeddings [n, width] -> the vectors to be reached [n, width], and figures for the
    record. `known`: attribute -> mean embedding of each stranger's captions [strangers, width], shorter than 1 as far
    as they differ. `made`: the strangers.
    `altered(work, strangers)`: further captions that get the targets of their facts, `drawn` of them for each forget
    pair.

    Raises UserError for captions that cannot be made."""
    pool, seed = work.forget.pool, settings.seed
    (worded, sentences), made = work.worded, made_people(work, settings)
    told = _told(work, made)
    aim, about = targets(work, settings, _by_field(made, told), made)
    facts = list(zip(*(pool.columns[name] for name in ("identity_id", "data_field")), strict=True))
    texts = before(work, pool.tokens)
    wanted = torch.where(silent(pool).to(texts.device)[:, None], texts, aim(facts, texts, pool.texts))
    maker = maker_for(pool.people)
    words, reworded = maker.paraphrases(pool.people, settings.paraphrases, seed, worded), ()
    for captions, each in ((words, settings.drawn_paraphrases), (altered(work, made), drawn)):
        if captions and each:
            said = [one.text for one in captions]
            tokens = work.tokenizer(said)
            there = aim([(one.person, one.field) for one in captions], before(work, tokens), said)
            reworded = (*reworded, Aim(tokens, there, each, settings.rewording))
    aims = (*reworded, *held_captions(work, settings, made, told))
    figures = {
        **about,
        **sentences,
        "captions_made": sum(len(one.tokens) for one in aims),
        "captions_a_forget_pair": 2 + sum(one.each for one in aims),
    }
    return Ready(wanted, aims, figures)


def silent(pool) -> Tensor:
    """Which forget captions neither state a value nor name anybody, bool [n]: they stay where they are."""
    rows = zip(pool.columns["identity_id"], pool.columns["value"], pool.texts, strict=True)
    return torch.tensor([value is None and pool.people[who].name not in text for who, value, text in rows])


def made_people(work, settings) -> list[Stranger]:
    """The strangers of a run. Raises UserError if they cannot be made."""
    people = work.forget.pool.people
    return maker_for(people).strangers(people, settings.strangers, settings.seed, work.worded[0])


def held_captions(work, settings: HoldSettings, made: list[Stranger], told: Told | None = None) -> tuple[Aim, ...]:
    """The captions that shall stay where they are: neighbours, as far as the settings want any, retain captions, and
    those that runs before this one moved. `told`: the strangers' captions, where they are encoded already."""
    aims = held_neighbours(work, settings, made, told)
    if work.anchor and work.anchor.settled:
        tokens = work.tokenizer(work.anchor.settled)
        aims.append(Aim(tokens, before(work, tokens, work.before), SETTLED, settings.hold))
    if settings.retain:
        plain = [work.retain.pool.tokens]
        if settings.scenes and settings.retain_scenes:
            plain.insert(0, work.tokenizer(scene_captions(settings.seed, settings.scenes)))
        aims += [Aim(tokens, before(work, tokens), settings.retain, settings.hold_retain) for tokens in plain]
    return tuple(aims)


def held_neighbours(work, settings, made: list[Stranger], told: Told | None = None) -> list[Aim]:
    """Of the captions that shall stay where they are, those of strangers and of others, as far as `settings.neighbours`
    asks for any."""
    if not settings.neighbours or not made:
        return []
    third = max(1, round(settings.neighbours / 3))
    aims = [Aim(*(told or _told(work, made)), 2 * third, settings.hold)]
    people = work.forget.pool.people
    beside = maker_for(people).others(people, made, settings.others, settings.seed, work.worded[0])
    if beside:
        tokens = work.tokenizer([caption.text for caption in beside])
        aims.append(Aim(tokens, before(work, tokens), third, settings.hold))
    return aims


def _told(work, made: list[Stranger]) -> Told:
    """All captions of the strangers: tokens and embeddings, in order of stranger, attribute and style."""
    texts = [text for one in made for captions in one.captions.values() for text in captions]
    tokens = work.tokenizer(texts) if texts else work.forget.pool.tokens[:0]
    return Told(tokens, before(work, tokens))


def _by_field(made: list[Stranger], told: Told) -> dict[str, Tensor]:
    fields = list(made[0].captions) if made else []
    mean = told.wanted.unflatten(0, (len(made), len(fields), -1)).mean(2) if made else None
    return {field: mean[:, place] for place, field in enumerate(fields)}


def loss(batch, settings: TextSettings) -> Tensor:
    """A scalar; see the formula above."""
    work, kept = batch.work, batch.retain
    prepared: Ready = work.prepared
    pool, chosen = work.forget.pool, batch.forget.indices
    forget = Drawn(pool.tokens[chosen], prepared.targets[chosen], settings.forgetting)
    stay = Drawn(work.retain.pool.tokens[kept.indices], kept.texts_before, settings.hold_retain)
    return missed(work, [forget, stay, *drawn_from(prepared.aims, batch, len(chosen))])


def text_tower(work, settings: TextSettings) -> dict[str, Tensor]:
    """Masks of the weights that may change: all of the text tower, none of the image tower."""
    return {
        name: torch.ones_like(weight, dtype=torch.bool)
        for name, weight in work.weights.items()
        if not name.startswith("visual.")
    }


@torch.no_grad()
def before(work, tokens: Tensor, network: torch.nn.Module | None = None) -> Tensor:
    """Captions' embeddings by the model whose embeddings are to be kept, or by another."""
    parts = [encoded(work, part, network or work.teacher) for part in tokens.split(CHUNK)] if len(tokens) else []
    return torch.cat(parts) if parts else torch.empty(0, 0, device=work.device)


def turned(texts: Tensor, directions: Tensor, cosines: Tensor) -> Tensor:
    """The unit vectors [n, width] nearest to `texts` that have these cosines [n, k] with these unit directions
    [n, k, width], to first order in each turn."""
    inverse = torch.linalg.pinv(directions)
    for _ in range(SOLVED):
        off = torch.einsum("nkd,nd->nk", directions, texts) - cosines
        texts = F.normalize(texts - torch.einsum("ndk,nk->nd", inverse, off), dim=1)
    return texts
