"""SCRUB: a student that contradicts its teacher on forget pairs and obeys it on retain pairs.

    loss = a K(R) + g InfoNCE(R) - K(F) in the first part of the steps, a K(R) + g InfoNCE(R) afterwards

K is the KL divergence of the matching within a batch from the start model's. The published code takes turns by epochs;
here both sides share each step."""

from pydantic import Field
from torch import Tensor

from salmu.evaluation.unlearning.losses import contrastive_loss, matching_drift
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import Between, OneOf, StoppableSettings


class Settings(StoppableSettings):
    learning_rate: float = Field(8.8e-4, gt=0, description="Peak learning rate; published: 5e-4 by SGD, on a ResNet.")
    obedience: float = Field(0.5, ge=0, description="Weight of the KL divergence on retain pairs (a); published: 0.5.")
    retention: float = Field(1.0, ge=0, description="Weight of the contrastive loss of the retain pairs (g).")
    contradiction: float = Field(
        0.25,
        gt=0,
        le=1,
        description="Share of the steps, from the first, with the forget term; published: 2 of 5 epochs.",
    )


def loss(batch, settings: Settings) -> Tensor:
    kept = settings.obedience * matching_drift(batch.retain, batch.head)
    kept = kept + settings.retention * contrastive_loss(batch.retain, batch.head)
    return kept - matching_drift(batch.forget, batch.head) if batch.progress < settings.contradiction else kept


METHOD = Method(
    name="scrub",
    description="Contradicts the start model on forget pairs, then obeys it on retain pairs.",
    source="SCRUB (Kurmanji et al., NeurIPS 2023), github.com/meghdadk/SCRUB: a 0.5, g 1, SGD, 5e-4; without "
    "its rewinding",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    loss=loss,
    search={"learning_rate": Between(1e-5, 3e-3), "contradiction": OneOf((0.25, 0.5, 0.75))},
)
