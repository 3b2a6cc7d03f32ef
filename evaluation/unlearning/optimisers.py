"""The optimiser of a gradient method: AdamW, or Muon for the matrices inside the towers and AdamW for the rest."""

from typing import Any

import torch
from torch import Tensor

from salmu.evaluation.unlearning.towers import blocks

BETAS = (0.9, 0.98)


class Optimiser:
    """One or two optimisers of torch behind one call."""

    def __init__(self, parts: list[torch.optim.Optimizer]):
        self.parts = parts

    def step(self, rate: float) -> None:
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad()

    def state_dict(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, kept: list[dict[str, Any]]) -> None:
        for part, state in zip(self.parts, kept, strict=True):
            part.load_state_dict(state)


def optimiser(work, changed: list[Tensor]) -> Optimiser:
    """The optimiser that `work.settings` asks for, of the weights that may change.

    Muon takes steps of the size of AdamW's, so that one learning rate serves both. Raises UserError for a network whose
    blocks are not known (towers.py)."""
    settings = work.settings
    matrices = (
        [weight for weight in changed if id(weight) in _inner(work.network)] if settings.optimiser == "muon" else []
    )
    others = [weight for weight in changed if not any(weight is matrix for matrix in matrices)]
    shared = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    parts: list[torch.optim.Optimizer] = []
    if others:
        parts.append(torch.optim.AdamW(others, betas=BETAS, eps=settings.epsilon, fused=True, **shared))
    if matrices:
        parts.append(torch.optim.Muon(matrices, adjust_lr_fn="match_rms_adamw", **shared))
    return Optimiser(parts)


def _inner(network: torch.nn.Module) -> set[int]:
    """The matrices of the towers' blocks, by id: neither tables of embeddings nor projections out of a tower."""
    modules = [block for tower in blocks(network).values() for _, block in tower]
    return {id(weight) for module in modules for weight in module.parameters() if weight.ndim == 2}
