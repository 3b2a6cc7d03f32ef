"""Direct Similarity Minimisation: push the cosine of each forget pair down.

loss = mean_i cos(image_i, caption_i) over F"""

from pydantic import Field

from salmu.evaluation.unlearning.losses import mean_cosine
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import Between, StoppableSettings


class Settings(StoppableSettings):
    learning_rate: float = Field(2.3e-5, gt=0, description="Peak learning rate; none is published, 1e-6 for a ViT-B.")


METHOD = Method(
    name="direct_similarity_minimisation",
    description="Pushes the cosine of each forget pair down, without a floor.",
    source="baseline of SALMUBench (Selvas-Sala, Kang and Gomez, CVPR 2026); its settings are not published, ours are",
    sees=frozenset({"forget"}),
    settings=Settings,
    loss=lambda batch, settings: mean_cosine(batch.forget),
    search={"learning_rate": Between(3e-6, 1e-3)},
)
