"""GradDiff: climb the loss of the forget pairs, descend that of the retain pairs.

    loss = -a InfoNCE(F) + b InfoNCE(R)

The forget term has no floor; the retain term and the clipped gradient hold it back."""

from pydantic import Field
from torch import Tensor

from salmu.evaluation.unlearning.losses import contrastive_loss
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import Between, OneOf, StoppableSettings


class Settings(StoppableSettings):
    learning_rate: float = Field(1e-4, gt=0, description="Peak learning rate; published: 1e-5, for LLMs.")
    forgetting: float = Field(1.0, ge=0, description="Weight of the forget term (a); published: 1.")
    retention: float = Field(1.0, ge=0, description="Weight of the retain term (b); published: 1.")


def loss(batch, settings: Settings) -> Tensor:
    kept = settings.retention * contrastive_loss(batch.retain, batch.head)
    return kept - settings.forgetting * contrastive_loss(batch.forget, batch.head)


METHOD = Method(
    name="grad_diff",
    description="Climbs the contrastive loss of the forget pairs while it descends that of the retain pairs.",
    source="Gradient difference (Liu, Liu and Stone, CoLLAs 2022), as GradDiff of TOFU (Maini et al., COLM 2024) and "
    "github.com/locuslab/open-unlearning: weights 1 and 1, 1e-5; the contrastive loss in place of next tokens is ours",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    loss=loss,
    search={"learning_rate": Between(1e-5, 3e-3), "forgetting": OneOf((0.1, 0.3, 1.0))},
)
