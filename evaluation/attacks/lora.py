"""LoRA (Hu et al. 2022, arXiv:2106.09685): a low-rank change of the matrices, learned in place of the matrices."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

MATRICES = ("weight", "in_proj_weight", "proj", "text_projection")  # as linear layers of open_clip's networks name them


class LowRank(nn.Module):
    """W -> W + up @ down. `up` starts at zero, so that at first nothing changes."""

    def __init__(self, weight: Tensor, rank: int, draws: torch.Generator):
        super().__init__()
        rows, columns = weight.shape
        down = torch.randn(rank, columns, generator=draws) / columns**0.5
        self.down = nn.Parameter(down.to(weight))
        self.up = nn.Parameter(weight.new_zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def low_rank(network: nn.Module, rank: int, seed: int) -> list[nn.Parameter]:
    """Put LowRank behind every matrix of the linear layers of a network, in place, and return what is to be learned;
    all else is frozen. Embedding tables and convolutions stay as they are."""
    network.requires_grad_(False)
    draws, learned = torch.Generator().manual_seed(seed), []
    for module in list(network.modules()):
        if isinstance(module, nn.Embedding):
            continue
        for name, weight in list(module.named_parameters(recurse=False)):
            if name in MATRICES and weight.ndim == 2:
                change = LowRank(weight, min(rank, *weight.shape), draws)
                parametrize.register_parametrization(module, name, change)
                learned += [change.down, change.up]
    return learned
