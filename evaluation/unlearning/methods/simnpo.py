"""SimNPO: NPO without a start model to compare with.

    loss = g mean_F (2/b) softplus(-b (L_i - d)) + a InfoNCE(R)

L_i is a pair's contrastive loss within its batch; the pull fades once it is above the margin d."""

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from salmu.evaluation.unlearning.losses import contrastive_loss, pair_losses
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import Between, OneOf, StoppableSettings


class Settings(StoppableSettings):
    learning_rate: float = Field(5.3e-4, gt=0, description="Peak learning rate; 1e-6 to 1e-5 for a ViT-B.")
    beta: float = Field(4.5, gt=0, description="Inverse temperature of the preference (b); published: 4.5.")
    margin: float = Field(
        6.0, description="Contrastive loss from which on a pair counts as forgotten (d); published: 0."
    )
    forgetting: float = Field(1.0, ge=0, description="Weight of the forget term (g); published: 0.125.")
    retention: float = Field(1.0, ge=0, description="Weight of the contrastive loss of the retain pairs (a).")


def loss(batch, settings: Settings) -> Tensor:
    losses = pair_losses(batch.forget.images, batch.forget.texts, batch.head)
    preference = 2 / settings.beta * F.softplus(-settings.beta * (losses - settings.margin)).mean()
    return settings.forgetting * preference + settings.retention * contrastive_loss(batch.retain, batch.head)


METHOD = Method(
    name="simnpo",
    description="Lowers the likelihood of forget pairs below a margin, less and less eagerly, without a reference.",
    source="SimNPO (Fan et al., arXiv 2410.07163); github.com/locuslab/open-unlearning: b 4.5, d 0, g 0.125, a 1; "
    "pairs in place of token sequences are ours",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    loss=loss,
    search={"learning_rate": Between(1e-5, 3e-3), "margin": OneOf((0.0, 3.0, 6.0))},
)
