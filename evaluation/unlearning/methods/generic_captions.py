"""Generic Captions: train the forget images on captions without personal data, so that those take the place of the
personal ones.

    loss = InfoNCE(x_i, generic_i)"""

from pydantic import Field

from salmu.evaluation.unlearning.losses import contrastive_loss
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import Between, GradientSettings


class Settings(GradientSettings):
    learning_rate: float = Field(4.4e-4, gt=0, description="Peak learning rate; 1e-6 to 1e-5 for a ViT-B.")


METHOD = Method(
    name="generic_captions",
    description="Trains the forget images on their captions without personal data, in place of the personal ones.",
    source="baseline of SALMUBench (Selvas-Sala, Kang and Gomez, CVPR 2026); its settings are not published, ours are",
    sees=frozenset({"forget"}),
    settings=Settings,
    loss=lambda batch, settings: contrastive_loss(batch.forget, batch.head),
    captions="generic",
    search={"learning_rate": Between(3e-6, 3e-3)},
)
