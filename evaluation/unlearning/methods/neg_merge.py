"""NegMerge: learn the forget set several times, keep what all of them agree on, and go the other way.

    t_k = w finetuned with InfoNCE(F) in way k - w before,   k = 1 ... n
    w <- w before - lambda mean_k t_k   where all t_k have the same sign; elsewhere w stays

The ways differ in learning rate and in the order of the pairs. Task-vector negation takes one of them, and depends much
on which; here none has to be chosen. The budget is shared by all."""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from salmu.evaluation.unlearning.losses import contrastive_loss
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import Between, MethodSettings, OneOf
from salmu.evaluation.unlearning.training import schedule


class Settings(MethodSettings):
    learning_rate: float = Field(
        3.7e-4, gt=0, description="Peak learning rate of AdamW, that of the middle model; published: 1e-5 for a ViT-B."
    )
    apart: float = Field(
        3.0, ge=1, description="The largest rate over the middle one, and the middle one over the smallest."
    )
    models: int = Field(3, ge=2, le=30, description="Fine-tuned models that are merged (n); published: 8 to 30.")
    strength: float = Field(
        1.0, ge=0, description="How far to go the other way (lambda); published: the best of 0 to 1 on a control set."
    )


def edit(work, settings: Settings) -> dict[str, Any]:
    vectors = []
    for number in range(settings.models):
        place = 2 * number / (settings.models - 1) - 1  # from -1 to 1
        _finetune(work, work.count // settings.models, settings.learning_rate * settings.apart**place, settings)
        vectors.append({name: weight.detach() - work.start[name] for name, weight in work.weights.items()})
        work.restore()
    agreed = total = 0
    with torch.no_grad():
        for name, weight in work.weights.items():
            merged = consensus(torch.stack([vector[name] for vector in vectors]))
            agreed, total = agreed + int(merged.count_nonzero()), total + merged.numel()
            weight -= settings.strength * merged
    return {"models": settings.models, "agreed": round(agreed / total, 4)}


def consensus(vectors: Tensor) -> Tensor:
    """The mean [...] of vectors [n, ...] where all of them have the same sign, 0 elsewhere."""
    signs = vectors.sign()
    return torch.where((signs == signs[0]).all(0), vectors.mean(0), 0.0)


def _finetune(work, pairs: int, rate: float, settings: Settings) -> None:
    """Train the network on the next forget pairs."""
    weights = work.weights.values()
    optimiser = torch.optim.AdamW(weights, rate, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.0, fused=True)
    batches = list(work.forget.batches(pairs, settings.batch_size))
    for step, batch in enumerate(batches):
        for group in optimiser.param_groups:
            group["lr"] = rate * schedule(step, len(batches), 0.05)
        optimiser.zero_grad()
        contrastive_loss(batch, work.head).backward()
        torch.nn.utils.clip_grad_norm_(work.weights.values(), 1.0)
        optimiser.step()


METHOD = Method(
    name="neg_merge",
    description="Finetunes on the forget set in several ways and subtracts the mean change where all agree in sign.",
    source="NegMerge (Kim, Han and Choe, ICML 2025), arXiv 2410.05583 of 2024, github.com/naver-ai/negmerge; models "
    "that differ in learning rate and order, and a shared budget, are ours",
    sees=frozenset({"forget"}),
    settings=Settings,
    edit=edit,
    search={"learning_rate": Between(1e-5, 1e-3), "strength": Between(0.3, 3), "models": OneOf((2, 3, 5))},
)
