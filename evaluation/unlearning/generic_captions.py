"""Generic Captions: train the forget images on captions without personal data, so that those take the place of the
personal ones."""

from pydantic import Field

from evaluation.unlearning.losses import info_nce
from evaluation.unlearning.method import Method, MethodSettings


class Settings(MethodSettings):
    learning_rate: float = Field(1e-5, gt=0, description="Peak learning rate; 1e-6 to 1e-5 for a ViT-B/16.")


METHOD = Method(
    name="generic_captions",
    source="baseline of SALMUBench (Selvas-Sala, Kang and Gomez, CVPR 2026); defaults are ours",
    sees=frozenset({"forget"}),
    settings=Settings,
    loss=lambda batch, settings: info_nce(batch.forget, batch.scale),
    generic_captions=True,
)
