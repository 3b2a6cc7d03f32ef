"""CLIPErase: lower the cosine of forget pairs, keep learning the retain pairs, and keep their matching as it was.

    loss = l1 InfoNCE(R) + l2 mean_F cos(image, caption) + l3 KL(matching before || matching now, on R)

The forget term has no floor, so that it goes on below the level of a model that never saw the pairs."""

from typing import Literal

from pydantic import Field

from salmu.evaluation.unlearning.losses import contrastive_loss, matching_drift, mean_cosine
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import Between, OneOf, StoppableSettings


class Settings(StoppableSettings):
    learning_rate: float = Field(3e-4, gt=0, description="Peak learning rate; published: 1e-6, on Flickr30k 1e-8.")
    retention: float = Field(1.0, ge=0, description="Weight of the contrastive loss of the retain pairs (l1).")
    forgetting: float = Field(3.0, ge=0, description="Weight of the forget term (l2).")
    consistency: float = Field(3.0, ge=0, description="Weight of the KL divergence on the retain pairs (l3).")
    forget: Literal["cosine", "neg_ce"] = Field(
        "cosine", description="Forget term: the pairs' mean cosine, as published, or minus their contrastive loss."
    )


def loss(batch, settings: Settings):
    lowered = mean_cosine(batch.forget) if settings.forget == "cosine" else -contrastive_loss(batch.forget, batch.head)
    return (
        settings.retention * contrastive_loss(batch.retain, batch.head)
        + settings.forgetting * lowered
        + settings.consistency * matching_drift(batch.retain, batch.head)
    )


METHOD = Method(
    name="cliperase",
    description="Lowers the cosine of forget pairs while retain pairs are learned on and their matching is kept.",
    source="CLIPErase (Yang et al., ACL 2025), forgetting, retention and consistency modules: weights 1, 3, 3, Adam, "
    "1e-6, both encoders",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    loss=loss,
    search={"learning_rate": Between(1e-5, 3e-3), "forgetting": OneOf((1.0, 3.0, 10.0))},
)
