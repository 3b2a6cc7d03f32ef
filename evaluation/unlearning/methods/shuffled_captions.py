"""Shuffled Captions: train the forget images on captions of other forget images.

loss = InfoNCE(x_i, y_p(i)), p a permutation without fixed points, drawn anew in every pass over F"""

from pydantic import Field

from salmu.evaluation.unlearning.losses import contrastive_loss
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import Between, GradientSettings


class Settings(GradientSettings):
    learning_rate: float = Field(1e-4, gt=0, description="Peak learning rate; 1e-6 to 1e-5 for a ViT-B.")


METHOD = Method(
    name="shuffled_captions",
    description="Trains the forget images on captions of other forget images, drawn again in every pass.",
    source="baseline of SALMUBench (Selvas-Sala, Kang and Gomez, CVPR 2026); its settings are not published, ours are",
    sees=frozenset({"forget"}),
    settings=Settings,
    loss=lambda batch, settings: contrastive_loss(batch.forget, batch.head),
    captions="shuffled",
    search={"learning_rate": Between(1e-5, 3e-3)},
)
