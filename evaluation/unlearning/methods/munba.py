"""MUNBa: forgetting and keeping bargain over each step, and neither may dominate or undo the other.

    step along a_F g_F + a_R g_R,   a_k = 1 / ||g_k|| sqrt((1 - c) / (1 - c^2 + xi)),   c = cos(g_F, g_R)

g_F and g_R are the gradients of -InfoNCE(F) and InfoNCE(R). With xi = 0 the weights solve the bargain of Nash: each
player's gain along the step, a_k ||g_k||^2 + a_l <g_k, g_l>, is 1 / a_k. A longer gradient gets a smaller weight."""

import torch
from pydantic import Field
from torch import Tensor

from salmu.evaluation.unlearning.losses import contrastive_loss
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import Between, OneOf, StoppableSettings


class Settings(StoppableSettings):
    learning_rate: float = Field(1e-4, gt=0, description="Peak learning rate; 1e-6 to 1e-5 for a ViT-B.")
    damping: float = Field(1e-3, gt=0, description="Bounds the weights where the gradients are parallel (xi).")


def loss(batch, settings: Settings) -> Tensor:
    """A scalar whose gradient is the bargained one; its value means nothing."""
    players = (-contrastive_loss(batch.forget, batch.head), contrastive_loss(batch.retain, batch.head))
    weights = list(batch.work.weights.values())
    forget, retain = (
        torch.cat(
            [
                torch.zeros_like(weight).flatten() if part is None else part.flatten()
                for weight, part in zip(
                    weights, torch.autograd.grad(player, weights, retain_graph=True, allow_unused=True), strict=True
                )
            ]
        )
        for player in players
    )
    return sum(share * player for share, player in zip(bargain(forget, retain, settings.damping), players, strict=True))


def bargain(forget: Tensor, retain: Tensor, damping: float) -> tuple[Tensor, Tensor]:
    """The weights of two gradients [n]; 0 for one that is 0."""
    lengths = [gradient.norm() for gradient in (forget, retain)]
    cosine = (forget @ retain) / (lengths[0] * lengths[1]).clamp_min(1e-30)
    shared = ((1 - cosine) / (1 - cosine.square() + damping)).clamp_min(0).sqrt()
    forget_share, retain_share = (shared / length if length > 0 else torch.zeros_like(length) for length in lengths)
    return forget_share, retain_share


METHOD = Method(
    name="munba",
    description="Weighs the gradients of forgetting and of keeping in each step so that both gain by Nash's bargain.",
    source="MUNBa (Wu and Harandi, ICCV 2025), arXiv 2411.15537, closed form for two players; the forget player's loss "
    "is ours",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    loss=loss,
    search={"learning_rate": Between(1e-5, 3e-3), "damping": OneOf((1e-3, 1e-2, 1e-1))},
)
