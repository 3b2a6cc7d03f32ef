"""SSD: shrink the weights that matter much more for the forget pairs than for the retain pairs.

    w <- min(1, lambda I_R / I_F) w   where I_F > alpha I_R

I is the mean squared gradient of the contrastive loss, the diagonal of the Fisher information. No training."""

from typing import Any

import torch
from pydantic import Field

from salmu.evaluation.unlearning.losses import contrastive_loss
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import Between, MethodSettings


class Settings(MethodSettings):
    alpha: float = Field(
        60.0, gt=0, description="How much more a weight must matter for forget pairs to be shrunk; published: 10."
    )
    strength: float = Field(0.6, gt=0, description="How much of such a weight is left (lambda); published: 1.")


def importance(work, stream, settings: Settings) -> dict[str, torch.Tensor]:
    """Mean over batches of the squared gradient, by name of the weight; one pass over the pairs, or what the budget
    allows."""
    total, batches = {name: torch.zeros_like(weight) for name, weight in work.weights.items()}, 0
    for pairs in stream.batches(len(work.forget.pool), settings.batch_size):
        batches += 1
        for name, gradient in work.gradient(contrastive_loss(pairs, work.head)).items():
            total[name] += gradient.square()
    return {name: value / batches for name, value in total.items()}


def edit(work, settings: Settings) -> dict[str, Any]:
    of_forget = importance(work, work.forget, settings)
    of_retain = importance(work, work.retain, settings)
    dampened = 0
    with torch.no_grad():
        for name, weight in work.weights.items():
            chosen = of_forget[name] > settings.alpha * of_retain[name]
            factor = (settings.strength * of_retain[name] / of_forget[name].clamp_min(1e-30)).clamp_max(1)
            weight.copy_(torch.where(chosen, factor * weight, weight))
            dampened += int(chosen.sum())
    return {"dampened": dampened, "share": round(dampened / sum(w.numel() for w in work.weights.values()), 6)}


METHOD = Method(
    name="ssd",
    description="Shrinks the weights that matter much more for forget pairs than for retain pairs, in one pass.",
    source="SSD (Foster et al., AAAI 2024), github.com/if-loops/selective-synaptic-dampening: alpha 10, "
    "lambda 1; the contrastive loss in place of cross-entropy is ours",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    edit=edit,
    search={"alpha": Between(3, 300), "strength": Between(0.3, 10)},
)
