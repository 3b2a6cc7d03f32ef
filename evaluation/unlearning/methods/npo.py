"""NPO: negative preference optimisation, with a retain loss.

    loss = g mean_F (2/b) softplus(b (L_i before - L_i)) + a InfoNCE(R)

L_i is a pair's contrastive loss within its batch, minus a log-likelihood. Unlike plain ascent, the pull fades once a
pair is less likely than before."""

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from salmu.evaluation.unlearning.losses import contrastive_loss, pair_losses
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import Between, OneOf, StoppableSettings


class Settings(StoppableSettings):
    learning_rate: float = Field(2.9e-5, gt=0, description="Peak learning rate; 1e-6 to 1e-5 for a ViT-B.")
    beta: float = Field(0.05, gt=0, description="Inverse temperature of the preference (b); published: 0.1.")
    forgetting: float = Field(1.0, ge=0, description="Weight of the forget term (g).")
    retention: float = Field(1.0, ge=0, description="Weight of the contrastive loss of the retain pairs (a).")


def loss(batch, settings: Settings) -> Tensor:
    forget = batch.forget
    now = pair_losses(forget.images, forget.texts, batch.head)
    before = pair_losses(forget.images_before, forget.texts_before, batch.head)
    preference = 2 / settings.beta * F.softplus(settings.beta * (before - now)).mean()
    return settings.forgetting * preference + settings.retention * contrastive_loss(batch.retain, batch.head)


METHOD = Method(
    name="npo",
    description="Lowers the likelihood of forget pairs below the start model's, less and less eagerly.",
    source="NPO (Zhang et al., COLM 2024); weights of github.com/locuslab/open-unlearning: b 0.1, a = g = 1; "
    "pairs in place of token sequences are ours",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    loss=loss,
    search={"learning_rate": Between(1e-5, 3e-3), "beta": OneOf((0.05, 0.1, 0.5))},
)
