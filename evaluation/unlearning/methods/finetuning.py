"""Finetuning: train on retain pairs only and let the forget set fade.

loss = InfoNCE(R)"""

from pydantic import Field

from salmu.evaluation.unlearning.losses import contrastive_loss
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import Between, GradientSettings


class Settings(GradientSettings):
    learning_rate: float = Field(3.2e-4, gt=0, description="Peak learning rate; published for a ViT-B: 1e-7 to 1e-5.")


METHOD = Method(
    name="finetuning",
    description="Trains on retain pairs only and lets the forget set fade.",
    source="`ft` of MultiDelete (Cheng and Amiri, ECCV 2024), github.com/CLU-UML/MultiDelete: AdamW, 1e-5",
    sees=frozenset({"retain"}),
    settings=Settings,
    loss=lambda batch, settings: contrastive_loss(batch.retain, batch.head),
    search={"learning_rate": Between(3e-4, 5e-3)},
)
