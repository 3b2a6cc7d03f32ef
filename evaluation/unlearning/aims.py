"""Captions that a step draws, and where they shall be.

    loss = sum over the aims of a mean |g(y) - (t_y + d_f)|^2      d_f <- d_f + c (t_y - g(y)) whenever y is drawn

g: the text tower; t_y: where caption y shall be; f: the fact that y is about. The corrections d_f are 0 at first, and
stay so where an aim has none. They are the method of multipliers (Hestenes 1969; Powell 1969) for the constraints that
an aim's captions about f miss their targets by nothing on average, with 2 a d_f as multipliers. A regression ends some
way before its targets, where its terms pull against each other; with corrections it ends at them, whatever pulls. They
begin late, since earlier ones would add up the way itself."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor

from salmu.data.keyed import generator
from salmu.model_training.network import encode_text


class CorrectionSettings(BaseModel):
    """Of a method's settings, those for corrections."""

    correction: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of what a caption misses its target by that is added to the targets of all captions of its "
        "kind about the same fact, whenever it is drawn (c). It holds for captions that are moved, and for those about "
        "facts of forget people that shall stay; 0: none.",
    )
    correct_after: float = Field(0.4, ge=0, lt=1, description="Share of the steps after which corrections begin.")


class Aim(NamedTuple):
    """Captions and where they shall be."""

    tokens: Tensor  # [n, length]
    wanted: Tensor  # unit vectors [n, width]
    each: int  # drawn for each forget pair
    weight: float
    facts: Tensor | None = None  # number of what each is about, int64 [n]; None: they are not corrected


class Drawn(NamedTuple):
    """Captions of a step."""

    tokens: Tensor  # [k, length]
    wanted: Tensor  # [k, width]
    weight: float
    facts: Tensor | None = None  # int64 [k]
    correction: Tensor | None = None  # d of all facts of their aim [facts, width]


def drawn(aim: Aim, rows, work, name: str) -> Drawn:
    """The captions in `rows` of an aim. `name`: of the aim, under which its corrections are carried on."""
    own = Drawn(aim.tokens[rows], aim.wanted[rows], aim.weight)
    if aim.facts is None:
        return own
    if name not in work.carried:
        work.carried[name] = aim.wanted.new_zeros(int(aim.facts.max()) + 1, aim.wanted.shape[1])
    return own._replace(facts=aim.facts[rows].to(aim.wanted.device), correction=work.carried[name])


def drawn_from(aims: tuple[Aim, ...], batch, pairs: int) -> list[Drawn]:
    """Captions of a step of this many forget pairs."""
    parts = []
    for number, aim in enumerate(aims):
        rows = generator(*batch.key, "neighbours", number).integers(len(aim.tokens), size=aim.each * pairs)
        parts.append(drawn(aim, rows, batch.work, f"captions {number}"))
    return parts


def missed(batch, parts: list[Drawn]) -> Tensor:
    """Weighted sum of each part's mean squared distance from where it shall be, a scalar; corrects what is to be."""
    texts = encoded(batch.work, torch.cat([one.tokens for one in parts]))
    found = texts.split([len(one.tokens) for one in parts])
    total = sum(
        one.weight * (now - _towards(one)).square().sum(1).mean() for now, one in zip(found, parts, strict=True)
    )
    settings = batch.work.settings
    for now, one in zip(found, parts, strict=True):
        if one.correction is not None and batch.progress >= settings.correct_after:
            missing = one.wanted - now.detach()
            one.correction.index_add_(0, one.facts, settings.correction * missing)  # twice in a step counts twice
    return total


def _towards(one: Drawn) -> Tensor:
    return one.wanted if one.correction is None else one.wanted + one.correction[one.facts]


def encoded(work, tokens: Tensor, network: torch.nn.Module | None = None) -> Tensor:
    """Captions' embeddings, float32 of length 1 [n, width]."""
    with torch.autocast(work.device.type, torch.bfloat16, enabled=work.settings.precision == "bf16"):
        texts = encode_text(network or work.network, tokens.to(work.device))
    return F.normalize(texts.float(), dim=-1)
