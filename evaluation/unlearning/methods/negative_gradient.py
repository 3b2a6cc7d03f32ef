"""Negative Gradient: climb the contrastive loss of the forget pairs.

    loss = -InfoNCE(F)

It has no floor, so that a rate or budget too large destroys the model; clipped gradients and the stop bound it."""

from pydantic import Field

from salmu.evaluation.unlearning.losses import contrastive_loss
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import Between, StoppableSettings


class Settings(StoppableSettings):
    learning_rate: float = Field(5e-6, gt=0, description="Peak learning rate; published for a ViT-B: 1e-5.")


METHOD = Method(
    name="negative_gradient",
    description="Climbs the contrastive loss of the forget pairs.",
    source="`neggrad` of MultiDelete (Cheng and Amiri, ECCV 2024), github.com/CLU-UML/MultiDelete: AdamW, 1e-5; the "
    "clipped gradient and the stop are ours",
    sees=frozenset({"forget"}),
    settings=Settings,
    loss=lambda batch, settings: -contrastive_loss(batch.forget, batch.head),
    search={"learning_rate": Between(3e-6, 3e-4)},
)
