"""Task-vector negation: learn the forget set even better, then go the other way.

w <- w before - lambda (w finetuned with InfoNCE(F) - w before)"""

from typing import Any

import torch
from pydantic import Field

from salmu.evaluation.unlearning.losses import contrastive_loss
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import Between, GradientSettings


class Settings(GradientSettings):
    learning_rate: float = Field(3.7e-4, gt=0, description="Peak learning rate; published: 1e-5 for a ViT-B.")
    strength: float = Field(
        0.83, ge=0, description="How far to go the other way (lambda); published: the best of 0 to 1 on a control set."
    )


def edit(work, settings: Settings) -> dict[str, Any]:
    length = 0.0
    with torch.no_grad():
        for name, weight in work.weights.items():
            vector = weight - work.start[name]
            length += vector.square().sum().item()
            weight.copy_(work.start[name] - settings.strength * vector)
    return {"vector_length": round(length**0.5, 5)}


METHOD = Method(
    name="task_vector_negation",
    description="Finetunes on the forget set and subtracts what that changed.",
    source="Editing models with task arithmetic (Ilharco et al., ICLR 2023), "
    "github.com/mlfoundations/task_vectors: AdamW, 1e-5",
    sees=frozenset({"forget"}),
    settings=Settings,
    loss=lambda batch, settings: contrastive_loss(batch.forget, batch.head),
    edit=edit,
    search={"learning_rate": Between(1e-5, 1e-3), "strength": Between(0.3, 3)},
)
