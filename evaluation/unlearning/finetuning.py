"""Finetuning: train on retain pairs only and let the forget set fade."""

from pydantic import Field

from evaluation.unlearning.losses import info_nce
from evaluation.unlearning.method import Method, MethodSettings


class Settings(MethodSettings):
    learning_rate: float = Field(2e-3, gt=0, description="Peak learning rate; 1e-6 to 1e-5 for a ViT-B/16.")


METHOD = Method(
    name="finetuning",
    source="`ft` of MultiDelete (Cheng and Amiri, ECCV 2024), github.com/CLU-UML/MultiDelete",
    sees=frozenset({"retain"}),
    settings=Settings,
    loss=lambda batch, settings: info_nce(batch.retain, batch.scale),
)
