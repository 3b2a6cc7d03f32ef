"""The form of DELETE that most likely stands behind the published table of SALMUBench: all cosines of the forget batch
go to zero, and those of the retain batch stay.

    loss = MSE(S_F, 0) + MSE(S_R, S_R before), image to text and text to image

S holds the cosines of all images with all captions of a batch. There is no softmax and no mask as in DELETE's own paper
(delete.py), and all entries of S_F go to zero, mismatched ones too. This explains the published row. Portraits and
personal captions of everybody become orthogonal, so the cosines of held-out people and facts end near zero too (.023
each, where Clean has .143). The retain term asks for the start model's cosines, so GenKnow stays (.632 of .638)."""

from pydantic import Field
from torch import Tensor

from salmu.evaluation.unlearning.losses import matrix_drift, matrix_mse
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import Between, OneOf, StoppableSettings


class Settings(StoppableSettings):
    learning_rate: float = Field(3e-4, gt=0, description="Peak learning rate; published: 1e-7 for a ViT-B.")
    most_a_step: int = Field(
        16, ge=4, description="Most pairs of a kind in a step, whatever batch_size is; published: 16."
    )
    weight_decay: float = Field(1e-3, ge=0, description="Decoupled weight decay of AdamW; published: 1e-3.")
    forgetting: float = Field(1.0, ge=0, description="Weight of the forget term; published: 1.")
    retention: float = Field(
        3.0,
        ge=0,
        description="Weight of the retain term; published: 1, which on the small pair loses general knowledge.",
    )


def loss(batch, settings: Settings) -> Tensor:
    return settings.forgetting * matrix_mse(batch.forget, 0.0) + settings.retention * matrix_drift(batch.retain)


METHOD = Method(
    name="salmubench_delete",
    description="Draws all cosines of forget images with forget captions to zero, and keeps those of retain pairs.",
    source="DELETE row of SALMUBench (Selvas-Sala, Kang and Gomez, CVPR 2026), as an author's public fork of "
    "MultiDelete has it (2025): AdamW, 1e-7, decay 1e-3, warm-up and cosine; that the table was made with it is "
    "likely, not proven",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    loss=loss,
    search={
        "learning_rate": Between(3e-5, 3e-3),
        "retention": OneOf((1.0, 3.0, 10.0)),
        "most_a_step": OneOf((8, 16, 32)),
    },
)
