"""VLUnlearn (MultiDelete): make forget pairs as similar as mismatched pairs were, and keep the retain pairs.

    loss = MSE(S_F, S_F,p before), both directions     modality decoupling: S_F,p has the captions permuted by p
         + MSE(h_R, h_R before)                        multimodal retention: h is the unit vector along v + t
         + MSE(v_R, v_R before) + MSE(t_R, t_R before) unimodal retention

This is the form that most likely stands behind the published table of SALMUBench: means over all entries, the width
too, and all weights 1. S holds the cosines of all images with all captions of a batch. h takes the place of the fused
embedding, which CLIP lacks. The mean over the matrix gives a pair's own cosine a weight of 1/b only; `diagonal`, which
is ours, asks for it explicitly."""

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from salmu.evaluation.metrics.matching import derangement
from salmu.evaluation.unlearning.losses import entry_drift, matrix_mse
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import Between, OneOf, StoppableSettings


class Settings(StoppableSettings):
    learning_rate: float = Field(
        3e-4, gt=0, description="Peak learning rate; published: 1e-5, falling to 1e-6, in SALMUBench's form 1e-7."
    )
    decoupling: float = Field(1.0, ge=0, description="Weight of modality decoupling; published: 1.")
    diagonal: float = Field(
        0.0, ge=0, description="Weight, within it, of the pairs' own cosines; ours, 0 is the published form."
    )
    multimodal: float = Field(1.0, ge=0, description="Weight of multimodal retention; published: 1.")
    unimodal: float = Field(1.0, ge=0, description="Weight of unimodal retention; published: 1.")


def loss(batch, settings: Settings) -> Tensor:
    forget, retain = batch.forget, batch.retain
    partner = torch.as_tensor(derangement(len(forget), *batch.key), device=forget.images.device)
    mismatched = forget.images_before @ forget.texts_before[partner].T
    decoupling = matrix_mse(forget, mismatched)
    if settings.diagonal:
        own = (forget.images * forget.texts).sum(1)
        decoupling = decoupling + settings.diagonal * F.mse_loss(own, mismatched.diagonal())
    now, before = fused(retain.images, retain.texts), fused(retain.images_before, retain.texts_before)
    return (
        settings.decoupling * decoupling
        + settings.multimodal * F.mse_loss(now, before)
        + settings.unimodal * entry_drift(retain)
    )


def fused(images: Tensor, texts: Tensor) -> Tensor:
    """The normalised mean of both embeddings [b, width]."""
    return F.normalize(images + texts, dim=1)


METHOD = Method(
    name="vlunlearn",
    description="Makes forget pairs as similar as mismatched pairs were, and keeps retain embeddings in place.",
    source="MultiDelete (Cheng and Amiri, ECCV 2024), package vl_unlearn, github.com/CLU-UML/MultiDelete: equal "
    "weights, AdamW, 1e-5 to 1e-6; in the form for CLIP of a public fork by an author of SALMUBench (2025); that the "
    "published table was made with it is likely, not proven",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    loss=loss,
    search={"learning_rate": Between(1e-5, 5e-3), "decoupling": OneOf((1.0, 3.0, 10.0))},
)
