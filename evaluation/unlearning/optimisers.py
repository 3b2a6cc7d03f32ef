"""The optimisers of a gradient method: AdamW, or Muon for the matrices inside the towers and AdamW for the rest."""

import torch
from torch import Tensor

from salmu.evaluation.unlearning.towers import blocks

BETAS = (0.9, 0.98)


def optimisers(work, changed: list[Tensor]) -> list[torch.optim.Optimizer]:
    """Those that `work.settings` asks for, of the weights that may change; each weight is in one.

    Muon takes steps of the size of AdamW's, so that one learning rate serves both. Raises UserError for a network whose
    blocks are not known (towers.py)."""
    settings = work.settings
    inner = _inner(work.network) if settings.optimiser == "muon" else set()
    matrices = [weight for weight in changed if id(weight) in inner]
    others = [weight for weight in changed if id(weight) not in inner]
    shared = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    parts: list[torch.optim.Optimizer] = []
    if others:
        parts.append(torch.optim.AdamW(others, betas=BETAS, eps=settings.epsilon, fused=True, **shared))
    if matrices:
        parts.append(torch.optim.Muon(matrices, adjust_lr_fn="match_rms_adamw", **shared))
    return parts


def _inner(network: torch.nn.Module) -> set[int]:
    """The matrices of the towers' blocks, by id: neither tables of embeddings nor projections out of a tower."""
    modules = [block for tower in blocks(network).values() for _, block in tower]
    return {id(weight) for module in modules for weight in module.parameters() if weight.ndim == 2}
