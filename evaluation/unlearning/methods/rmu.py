"""RMU: steer what a middle block puts out for forget pairs to a random direction, and keep it for retain pairs.

    loss = ||h(F) - c u||^2 + a ||h(R) - h before(R)||^2, in each tower

u is a fixed random unit vector of the block's width, c is set from the size of h before(F). Only the block and the
ones just before it change."""

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from salmu.data.keyed import generator
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.pair_streams import Encoded
from salmu.evaluation.unlearning.settings import Between, GradientSettings, OneOf
from salmu.evaluation.unlearning.towers import blocks, outputs


class Settings(GradientSettings):
    learning_rate: float = Field(3e-3, gt=0, description="Peak learning rate; published: 5e-5, for 7-billion LLMs.")
    depth: float = Field(
        0.6, gt=0, le=1, description="Position of the block in its tower, as a share of the blocks; published: 7 of 32."
    )
    changed: int = Field(3, ge=1, description="Blocks that may change: this one and those before it; published: 3.")
    steering: float = Field(
        2.0,
        gt=0,
        description="Length of the target (c), as a multiple of the mean length before; published: 2 to 20 outright.",
    )
    retention: float = Field(10.0, ge=0, description="Weight of the retain term (a); published: 1 to 1200.")


def masks(work, settings: Settings) -> dict[str, Tensor]:
    names = []
    for tower in blocks(work.network).values():
        last = _number(tower, settings)
        names += [name for name, _ in tower[max(0, last + 1 - settings.changed) : last + 1]]
    return {
        name: torch.ones_like(weight, dtype=torch.bool)
        for name, weight in work.weights.items()
        if name.startswith(tuple(f"{block}." for block in names))
    }


def loss(batch, settings: Settings) -> Tensor:
    network, teacher, device = batch.work.network, batch.work.teacher, batch.work.device
    with torch.no_grad():
        forget_before, retain_before = (_hidden(teacher, pairs, settings) for pairs in (batch.forget, batch.retain))
    total = torch.zeros((), device=device)
    forget, retain = (_hidden(network, pairs, settings) for pairs in (batch.forget, batch.retain))
    for tower in forget:
        length = forget_before[tower].norm(dim=1).mean()
        target = settings.steering * length * _direction(batch.work.settings.seed, tower, forget[tower])
        total = total + F.mse_loss(forget[tower], target.expand_as(forget[tower]))
        total = total + settings.retention * F.mse_loss(retain[tower], retain_before[tower])
    return total


def _hidden(network, pairs: Encoded, settings: Settings) -> dict[str, Tensor]:
    """What the block of each tower puts out: tower -> float32 [positions of all pairs, width]."""
    found = {}
    towers = {tower: among[_number(among, settings)][1] for tower, among in blocks(network).items()}
    with outputs([towers["image"]]) as image, outputs([towers["text"]]) as text:
        pairs.through(network)
    for tower, collected in (("image", image), ("text", text)):
        maps = [output.flatten(2).transpose(1, 2) if output.ndim == 4 else output for output in collected]
        found[tower] = torch.cat([positions.flatten(0, 1).float() for positions in maps])
    return found


def _number(tower: list, settings: Settings) -> int:
    return max(1, round(settings.depth * len(tower))) - 1


def _direction(seed: int, tower: str, like: Tensor) -> Tensor:
    """A unit vector with entries that are not negative, as in the published code."""
    drawn = torch.as_tensor(generator(seed, "rmu", tower).random(like.shape[1]), dtype=like.dtype, device=like.device)
    return drawn / drawn.norm()


METHOD = Method(
    name="rmu",
    description="Steers a middle block's output for forget pairs to a random direction, and keeps it for retain pairs.",
    source="RMU (Li et al., ICML 2024, WMDP), github.com/centerforaisafety/wmdp: layer 7, layers 5 to 7 "
    "changed; both towers in place of one language model are ours",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    loss=loss,
    masks=masks,
    search={"learning_rate": Between(1e-4, 1e-2), "retention": OneOf((1.0, 10.0, 100.0))},
)
