"""Similarity floor: push the cosine of each forget pair down, but not below what strangers have, and keep the rest.

loss = mean_i max(0, cos(image_i, caption_i) - floor) over F + retain_weight * InfoNCE(R)"""

import torch
from pydantic import Field
from torch import Tensor

from salmu.evaluation.unlearning.losses import contrastive_loss
from salmu.evaluation.unlearning.method import Batch, Method
from salmu.evaluation.unlearning.settings import Between, GradientSettings


class Settings(GradientSettings):
    learning_rate: float = Field(1e-4, gt=0, description="Peak learning rate; set by hand for the tiny pair.")
    floor: float = Field(0.1, ge=-1, le=1, description="Cosine at which a forget pair is left alone.")
    retain_weight: float = Field(1.0, ge=0, description="Weight of the contrastive loss of the retain pairs.")


def loss(batch: Batch, settings: Settings) -> Tensor:
    """A scalar; `batch.forget` and `batch.retain` hold embeddings [b, width] with rows of length 1."""
    cosines = torch.einsum("bd,bd->b", batch.forget.images, batch.forget.texts)
    leaked = (cosines - settings.floor).clamp(min=0).mean()
    return leaked + settings.retain_weight * contrastive_loss(batch.retain, batch.head)


METHOD = Method(
    name="similarity_floor",
    description="Pushes the cosine of each forget pair down to a floor while it trains on retain pairs.",
    source="example of this book, after Direct Similarity Minimisation of SALMUBench (Selvas-Sala, Kang and Gomez, "
    "CVPR 2026), to which it adds the floor and the retain pairs; its settings are not tuned",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    loss=loss,
    search={"learning_rate": Between(1e-5, 1e-3), "floor": Between(0.05, 0.5)},
)
