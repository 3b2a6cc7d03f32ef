"""VLUnlearn (MultiDelete): make forget pairs as similar as mismatched pairs were, and keep the retain pairs.

    loss = MSE(S_F, S_F,p before)           modality decoupling: S_F,p has the captions permuted by p
         + MSE(S_R, S_R before)             multimodal retention, in place of the fused embeddings that CLIP lacks
         + mean_R (|v - v before|^2 + |t - t before|^2)      unimodal retention

S holds the cosines of all images with all captions of a batch. The mean over the batch gives a pair's own cosine a
weight of 1/b only; `diagonal` asks for it explicitly."""

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from salmu.evaluation.metrics.matching import derangement
from salmu.evaluation.unlearning.losses import embedding_drift
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import Between, OneOf, StoppableSettings


class Settings(StoppableSettings):
    learning_rate: float = Field(2.4e-3, gt=0, description="Peak learning rate; published: 1e-5, falling to 1e-6.")
    decoupling: float = Field(3.0, ge=0, description="Weight of modality decoupling; published: 1.")
    diagonal: float = Field(
        1.0, ge=0, description="Weight, within it, of the pairs' own cosines; 0 is the published form."
    )
    multimodal: float = Field(1.0, ge=0, description="Weight of multimodal retention.")
    unimodal: float = Field(1.0, ge=0, description="Weight of unimodal retention.")


def loss(batch, settings: Settings) -> Tensor:
    forget, retain = batch.forget, batch.retain
    partner = torch.as_tensor(derangement(len(forget), *batch.key), device=forget.images.device)
    mismatched = forget.images_before @ forget.texts_before[partner].T
    now = forget.images @ forget.texts.T
    decoupling = F.mse_loss(now, mismatched) + settings.diagonal * F.mse_loss(now.diagonal(), mismatched.diagonal())
    multimodal = F.mse_loss(retain.images @ retain.texts.T, retain.images_before @ retain.texts_before.T)
    return (
        settings.decoupling * decoupling
        + settings.multimodal * multimodal
        + settings.unimodal * embedding_drift(retain)
    )


METHOD = Method(
    name="vlunlearn",
    description="Makes forget pairs as similar as mismatched pairs were, and keeps retain embeddings in place.",
    source="MultiDelete (Cheng and Amiri, ECCV 2024), package vl_unlearn, github.com/CLU-UML/MultiDelete: equal "
    "weights, AdamW, 1e-5 to 1e-6; that SALMUBench's VLUnlearn is this method is likely, not proven",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    loss=loss,
    search={"learning_rate": Between(1e-5, 3e-3), "decoupling": OneOf((1.0, 3.0, 10.0))},
)
