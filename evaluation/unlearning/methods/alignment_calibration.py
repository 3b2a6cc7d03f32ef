"""Alignment Calibration: keep learning the retain pairs, and steer the parts of the contrastive loss of the forget
pairs.

    loss = InfoNCE(R) + a mean_i S_ii - b mean_i!=j S_ij + g U(F)
    U(F) = mean_i log mean_j!=i exp(s S_ij), images and captions averaged

S are the cosines of the forget batch, s their factor in the softmax. A contrastive loss consists of alignment, which
draws pairs together, and of uniformity U, which drives all else apart. Of the forget pairs, uniformity may stay (g) and
alignment is turned round (a); the similarity of mismatched pairs can be raised (b), so that forgetting shows in the
matrix of similarities. In the sigmoid loss uniformity is the mismatches' share: U(F) = mean_i sum_j!=i softplus(z_ij),
z the logits."""

import math

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from salmu.evaluation.unlearning.losses import Head, contrastive_loss, mean_cosine
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import Between, OneOf, StoppableSettings


class Settings(StoppableSettings):
    learning_rate: float = Field(3e-4, gt=0, description="Peak learning rate; published: 6e-3 by SGD, on a ResNet.")
    alignment: float = Field(1.0, ge=0, description="Weight of the pairs' cosines (a); published: 0.8 to 2.")
    mismatches: float = Field(
        0.0, ge=0, description="Weight of the cosines of mismatched forget pairs (b); 0 in the published scripts."
    )
    uniformity: float = Field(
        0.0, ge=0, description="Weight of the uniformity of the forget pairs (g); 0 in the published scripts."
    )


def loss(batch, settings: Settings) -> Tensor:
    total = contrastive_loss(batch.retain, batch.head) + settings.alignment * mean_cosine(batch.forget)
    pairs = batch.forget
    if len(pairs) > 1:  # a lone pair has no mismatch
        cosines = pairs.images @ pairs.texts.T
        off = ~torch.eye(len(pairs), dtype=torch.bool, device=cosines.device)
        total = total - settings.mismatches * cosines[off].mean()
        total = total + settings.uniformity * uniformity(batch.head, cosines, off)
    return total


def uniformity(head: Head, cosines: Tensor, off: Tensor) -> Tensor:
    """Softmax: mean over rows and over columns of the logarithm of the mean of exp(logits) outside the diagonal.
    Sigmoid: mean over rows of the sum of softplus(logits) outside it."""
    logits = head.of(cosines)
    if head.bias is not None:
        return F.softplus(logits)[off].sum() / len(logits)
    apart = logits.masked_fill(~off, -torch.inf)
    return (apart.logsumexp(0).mean() + apart.logsumexp(1).mean()) / 2 - math.log(len(logits) - 1)


METHOD = Method(
    name="alignment_calibration",
    description="Trains on retain pairs and calibrates alignment and uniformity of the forget pairs.",
    source="Alignment Calibration of MUC (Wang et al., TMLR 2025), arXiv 2406.03603 of 2024, "
    "github.com/EhanW/Alignment-Calibration: a 0.8 to 2, b and g 0; AdamW is ours",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    loss=loss,
    search={
        "learning_rate": Between(1e-5, 3e-3),
        "alignment": OneOf((0.3, 1.0, 3.0)),
        "uniformity": OneOf((0.0, 0.3, 1.0)),
    },
)
