"""Fisher fence: the targets of stranger targets, with a fence in the weights instead of captions that are held.

    loss = a mean_F |g(y) - t*|^2 + b mean_P |g(y) - t*|^2 + u mean_R |g(y) - g0(y)|^2 + sum_k H_k (w_k - w0_k)^2
    H_k  = sum_Q weight_Q E_Q |d g(y) / d w_k|^2, at w0

Q are the captions that stranger targets holds, each kind with its weight. H is the diagonal of what holding them would
cost to second order (Gauss-Newton), so the fence is that term without its captions: elastic weight consolidation with
the sensitivity of what must stay. It is estimated once; a step then encodes no made captions but paraphrases (P).

It forgets everybody, with every height of the fence that was tried (docs/precision-record.md). A likely cause, not
tested: what tells one person's captions from another's lies in how weights move together, which a diagonal does not
see."""

import copy
from typing import Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from salmu.data.keyed import integer
from salmu.evaluation.unlearning import text_regression
from salmu.evaluation.unlearning.aims import Aim, encoded
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.methods import stranger_targets
from salmu.evaluation.unlearning.settings import Between, OneOf
from salmu.evaluation.unlearning.text_regression import TextSettings, held_captions, made_people, ready, text_tower

BATCH = 32  # captions of one look at the sensitivity


class Settings(stranger_targets.Settings):
    learning_rate: float = Field(1.24e-3, gt=0, description=TextSettings.model_fields["learning_rate"].description)
    hold: float = Field(1.0, ge=0, description=TextSettings.model_fields["hold"].description)
    drawn_paraphrases: int = Field(6, ge=0, description=TextSettings.model_fields["drawn_paraphrases"].description)
    looks: int = Field(64, ge=1, description="Batches of 32 captions that the sensitivity is estimated from.")


class Fenced(NamedTuple):
    """What text_regression.Ready has, and the fence."""

    targets: Tensor
    aims: tuple[Aim, ...]
    figures: dict[str, Any]
    fence: dict[str, Tensor]  # H by name of the weight


def prepare(work, settings: Settings) -> Fenced:
    stay = held_captions(work, settings, made_people(work, settings))
    alone = settings.model_copy(update={"neighbours": 0, "retain": 0})
    targets, aims, figures = ready(work, alone, stranger_targets.targets)
    figures = figures | {"captions_looked_at": len(stay) * settings.looks * BATCH}
    return Fenced(targets, aims, figures, sensitivity(work, stay, settings))


def sensitivity(work, kinds: tuple[Aim, ...], settings: Settings) -> dict[str, Tensor]:
    """H by name of the weight. Along random directions r with unit variance, drawn for each caption, the squared
    gradient of sum_i r_i g(y_i) is an unbiased estimate of sum_i |d g(y_i) / d w|^2."""
    network = copy.deepcopy(work.teacher).requires_grad_(True)
    weights = {name: weight for name, weight in network.named_parameters() if name in text_tower(work, settings)}
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for number, kind in enumerate(kinds):
        for look in range(settings.looks):
            rng = torch.Generator().manual_seed(integer(settings.seed, "unlearning", "fence", number, look, bits=62))
            rows = torch.randint(len(kind.tokens), (BATCH,), generator=rng)
            texts = encoded(work, kind.tokens[rows], network)
            along = torch.randn(texts.shape, generator=rng).to(texts.device)
            found = torch.autograd.grad((texts * along).sum(), list(weights.values()), allow_unused=True)
            for sum_of, gradient in zip(total.values(), found, strict=True):
                if gradient is not None:
                    sum_of += kind.weight / (settings.looks * BATCH) * gradient.square()
    return total


def loss(batch, settings: Settings) -> Tensor:
    """A scalar; see the formula above."""
    weights, start = batch.work.weights, batch.work.start
    fence = batch.work.prepared.fence.items()
    moved = sum((height * (weights[name] - start[name]).square()).sum() for name, height in fence)
    return text_regression.loss(batch, settings) + moved


METHOD = Method(
    name="fisher_fence",
    description="Moves forget captions to those of strangers, and lets weights move the less the more other captions "
    "depend on them.",
    source="this project, 2026; elastic weight consolidation (Kirkpatrick et al., PNAS 2017) with the Gauss-Newton "
    "diagonal of generated captions",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    loss=loss,
    masks=text_tower,
    prepare=prepare,
    search={
        "learning_rate": Between(1e-4, 6e-3),
        "hold": OneOf((1.0, 3.0, 10.0, 30.0)),
        "each": OneOf(("person", "fact")),
        "drawn_paraphrases": OneOf((3, 6, 10)),
    },
)
