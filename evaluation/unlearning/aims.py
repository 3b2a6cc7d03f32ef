"""Captions that a step draws, and where they shall be: loss = sum over the aims of a mean |g(y) - t_y|^2.

g: the text tower; t_y: where caption y shall be; a: the weight of its aim."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from salmu.data.keyed import generator
from salmu.model_training.network import encode_text


class Aim(NamedTuple):
    """Captions and where they shall be."""

    tokens: Tensor  # [n, length]
    wanted: Tensor  # unit vectors [n, width]
    each: int  # drawn for each forget pair
    weight: float


class Drawn(NamedTuple):
    """Captions of a step."""

    tokens: Tensor  # [k, length]
    wanted: Tensor  # [k, width]
    weight: float


def drawn_from(aims: tuple[Aim, ...], batch, pairs: int) -> list[Drawn]:
    """Captions of a step of this many forget pairs."""
    parts = []
    for number, aim in enumerate(aims):
        rows = generator(*batch.key, "neighbours", number).integers(len(aim.tokens), size=aim.each * pairs)
        parts.append(Drawn(aim.tokens[rows], aim.wanted[rows], aim.weight))
    return parts


def missed(work, parts: list[Drawn]) -> Tensor:
    """Weighted sum of each part's mean squared distance from where it shall be, a scalar."""
    texts = encoded(work, torch.cat([one.tokens for one in parts]))
    found = texts.split([len(one.tokens) for one in parts])
    return sum(one.weight * (now - one.wanted).square().sum(1).mean() for now, one in zip(found, parts, strict=True))


def encoded(work, tokens: Tensor, network: torch.nn.Module | None = None) -> Tensor:
    """Captions' embeddings, float32 of length 1 [n, width]."""
    with torch.autocast(work.device.type, torch.bfloat16, enabled=work.settings.precision == "bf16"):
        texts = encode_text(network or work.network, tokens.to(work.device))
    return F.normalize(texts.float(), dim=-1)
