"""The optimisers of a gradient method: AdamW, or Muon for the matrices and kernels inside the towers and AdamW for the
rest."""

import torch
from torch import Tensor, nn

from salmu.evaluation.unlearning.towers import blocks

BETAS = (0.9, 0.98)


class KernelMuon(torch.optim.Muon):
    """Muon for the kernels of convolutions [out, in, height, width], each as a matrix with its first axis as rows."""

    def __init__(self, kernels: list[nn.Parameter], **settings):
        self.kernels = kernels
        super().__init__([nn.Parameter(_turned(one.data, one).view(len(one), -1)) for one in kernels], **settings)

    def step(self, closure=None):
        matrices = [matrix for group in self.param_groups for matrix in group["params"]]
        for matrix, one in zip(matrices, self.kernels, strict=True):
            matrix.grad = None if one.grad is None else _turned(one.grad, one).flatten(1)
        return super().step(closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        for one in self.kernels:
            one.grad = None


def _turned(tensor: Tensor, kernel: Tensor) -> Tensor:
    """`tensor` with its axes in the order in which the kernel's memory has them. Muon gives the same for any order."""
    return tensor if kernel.is_contiguous() else tensor.permute(0, 2, 3, 1)


def optimisers(work, changed: list[nn.Parameter]) -> list[torch.optim.Optimizer]:
    """Those that `work.settings` asks for, of the weights that may change; each weight is in one.

    Muon takes steps of the size of AdamW's, so that one learning rate serves both. The key `share` of an optimiser's
    groups is the part of the learning rate that they learn with (share_of). Raises UserError for a network whose blocks
    are not known (towers.py)."""
    settings, parts = work.settings, []
    inner = _inner(work.network) if settings.optimiser == "muon" else set()
    adamw, muon = {"betas": BETAS, "eps": settings.epsilon, "fused": True}, {"adjust_lr_fn": "match_rms_adamw"}
    for share, weights in _by_rate(work, changed).items():
        kinds = (
            (torch.optim.AdamW, adamw, [weight for weight in weights if id(weight) not in inner]),
            (torch.optim.Muon, muon, [weight for weight in weights if id(weight) in inner and weight.ndim == 2]),
            (KernelMuon, muon, [weight for weight in weights if id(weight) in inner and weight.ndim == 4]),
        )
        for kind, more, own in kinds:
            if own:
                parts.append(kind(own, lr=settings.learning_rate, weight_decay=settings.weight_decay, **more))
                parts[-1].param_groups[0]["share"] = share
    return parts


def _inner(network: nn.Module) -> set[int]:
    """The matrices and kernels of the towers' blocks, by id: neither tables of embeddings nor projections out of a
    tower."""
    modules = [block for tower in blocks(network).values() for _, block in tower]
    return {id(weight) for module in modules for weight in module.parameters() if weight.ndim in (2, 4)}


def share_of(settings, name: str) -> float:
    """The part of the learning rate that a weight of this name learns with: `image_rate` for the image tower, if the
    settings have it, and 1 elsewhere."""
    return getattr(settings, "image_rate", 1.0) if name.startswith("visual.") else 1.0


def _by_rate(work, changed: list[nn.Parameter]) -> dict[float, list[nn.Parameter]]:
    """Shares of the learning rate, and the weights that learn with them."""
    named = [*work.change.ups.items(), *work.change.downs.items()] if work.change else work.network.named_parameters()
    shares, found = {id(weight): share_of(work.settings, name) for name, weight in named}, {}
    for weight in changed:
        found.setdefault(shares[id(weight)], []).append(weight)
    return found
