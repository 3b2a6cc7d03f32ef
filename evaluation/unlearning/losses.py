"""Losses that several methods use."""

import torch
from torch import Tensor

from evaluation.unlearning.method import Encoded


def info_nce(pairs: Encoded, scale: Tensor) -> Tensor:
    """CLIP's symmetric contrastive loss (Radford et al. 2021).

    Equal captions in a batch need no masking: their embeddings are equal, so the pulls and pushes that they exchange
    cancel out."""
    from open_clip import ClipLoss

    return ClipLoss()(pairs.images, pairs.texts, scale)


def mean_cosine(pairs: Encoded) -> Tensor:
    """Mean cosine of image and caption."""
    return torch.einsum("bd,bd->b", pairs.images, pairs.texts).mean()
