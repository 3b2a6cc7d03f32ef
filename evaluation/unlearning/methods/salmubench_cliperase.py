"""The form of CLIPErase that most likely stands behind the published table of SALMUBench: that of its DELETE
(salmubench_delete.py), and the retain embeddings stay too.

    loss = MSE(S_F, 0) + MSE(S_R, S_R before), both directions, + MSE(v_R, v_R before) + MSE(t_R, t_R before)

The mean of the last two is over the width as well. CLIPErase's own paper is another method (cliperase.py): it lowers
the cosine of the pairs without a floor, and goes on learning the retain pairs. Here the forget term is that of
salmubench_delete. This explains why the two rows of the table are so close: holdouts .024 and .023, GenKnow .634 and
.632."""

from pydantic import Field
from torch import Tensor

from salmu.evaluation.unlearning.losses import entry_drift, matrix_drift, matrix_mse
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.methods import salmubench_delete


class Settings(salmubench_delete.Settings):
    consistency: float = Field(1.0, ge=0, description="Weight of the retain embeddings; published: 1.")


def loss(batch, settings: Settings) -> Tensor:
    return (
        settings.forgetting * matrix_mse(batch.forget, 0.0)
        + settings.retention * matrix_drift(batch.retain)
        + settings.consistency * entry_drift(batch.retain)
    )


METHOD = Method(
    name="salmubench_cliperase",
    description="Draws all cosines of forget images with forget captions to zero, and keeps retain cosines and "
    "embeddings.",
    source="CLIPErase row of SALMUBench (Selvas-Sala, Kang and Gomez, CVPR 2026), as an author's public fork of "
    "MultiDelete has it (2025): AdamW, 1e-7, decay 1e-3, warm-up and cosine; that the table was made with it is "
    "likely, not proven",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    loss=loss,
    search=salmubench_delete.METHOD.search,
)
