"""Descent-to-Delete: go on training on what may stay, from the start model, then publish the weights with noise.

    w <- w after InfoNCE(R),   w <- w + N(0, sigma^2) for every weight

The paper guarantees that nobody can tell such weights from noisy retrained ones, whatever is done with them. This holds
for strongly convex losses: descent then forgets where it started, at a known rate, and sigma follows from the steps,
the constants of the loss, the number of samples, epsilon and delta. The two networks here have many minima, and descent
stays near its start. So sigma is a setting that follows from nothing, and no privacy is promised. What remains is
fine-tuning plus noise."""

from typing import Any

import torch
from pydantic import Field

from salmu.data.keyed import generator
from salmu.evaluation.unlearning.losses import contrastive_loss
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import Between, GradientSettings


class Settings(GradientSettings):
    learning_rate: float = Field(
        3.2e-4, gt=0, description="Peak learning rate; published: from the constants of a convex loss."
    )
    noise: float = Field(
        1e-3,
        ge=0,
        description="Standard deviation of the noise (sigma), the same for all weights; published: from the constants "
        "of a convex loss.",
    )


def edit(work, settings: Settings) -> dict[str, Any]:
    added = 0.0
    with torch.no_grad():
        for name, weight in work.weights.items():
            drawn = generator(settings.seed, "unlearning", "descent_to_delete", name).standard_normal(weight.shape)
            noise = settings.noise * torch.as_tensor(drawn, dtype=weight.dtype, device=weight.device)
            added += noise.square().sum().item()
            weight += noise
    return {"noise_length": round(added**0.5, 5)}


METHOD = Method(
    name="descent_to_delete",
    description="Trains on retain pairs only, then adds Gaussian noise to all weights.",
    source="Descent-to-Delete (Neel, Roth and Sharifi-Malvajerdi, ALT 2021), arXiv 2007.02923: full gradient descent "
    "and noise; its guarantee does not hold for networks; AdamW on batches and the scale of the noise are ours",
    sees=frozenset({"retain"}),
    settings=Settings,
    loss=lambda batch, settings: contrastive_loss(batch.retain, batch.head),
    edit=edit,
    search={"learning_rate": Between(3e-4, 5e-3), "noise": Between(1e-4, 1e-2)},
)
