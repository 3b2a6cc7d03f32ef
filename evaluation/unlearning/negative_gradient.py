"""Negative Gradient: climb the contrastive loss of the forget pairs.

The loss has no floor, so that a rate or budget too large destroys the model; the runner's clipped gradients and the
stop bound it."""

from pydantic import Field

from evaluation.unlearning.losses import info_nce, mean_cosine
from evaluation.unlearning.method import Batch, Method, MethodSettings


class Settings(MethodSettings):
    learning_rate: float = Field(2e-5, gt=0, description="Peak learning rate; 1e-7 to 1e-6 for a ViT-B/16.")
    stop_at_cosine: float | None = Field(
        None,
        ge=-1,
        le=1,
        description="End as soon as the forget pairs of a batch have this mean cosine or "
        "less; null spends the whole budget.",
    )


def stop(batch: Batch, settings: Settings) -> bool:
    return settings.stop_at_cosine is not None and mean_cosine(batch.forget).item() <= settings.stop_at_cosine


METHOD = Method(
    name="negative_gradient",
    source="`neggrad` of MultiDelete (Cheng and Amiri, ECCV 2024), github.com/CLU-UML/MultiDelete; the stop is ours",
    sees=frozenset({"forget"}),
    settings=Settings,
    loss=lambda batch, settings: -info_nce(batch.forget, batch.scale),
    stop=stop,
)
