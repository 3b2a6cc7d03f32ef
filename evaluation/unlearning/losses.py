"""Losses that several methods use. Embeddings are [b, width] with rows of length 1; `scale` is the factor of the
cosines in the softmax."""

import torch
import torch.nn.functional as F
from torch import Tensor

from salmu.evaluation.unlearning.pair_streams import Encoded


def info_nce(pairs: Encoded, scale: Tensor) -> Tensor:
    """CLIP's symmetric contrastive loss (Radford et al. 2021), a scalar.

    Equal captions in a batch need no masking: their embeddings are equal, so the pulls and pushes that they exchange
    cancel out."""
    return pair_losses(pairs.images, pairs.texts, scale).mean()


def pair_losses(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Each pair's share of the contrastive loss [b]: minus the log-probability of its caption given its image and of
    its image given its caption, averaged."""
    logits = scale * images @ texts.T
    return -(logits.log_softmax(0).diagonal() + logits.log_softmax(1).diagonal()) / 2


def mean_cosine(pairs: Encoded) -> Tensor:
    """Mean cosine of image and caption."""
    return torch.einsum("bd,bd->b", pairs.images, pairs.texts).mean()


def matching_drift(pairs: Encoded, scale: Tensor) -> Tensor:
    """Mean KL divergence of the rows' and of the columns' softmax from those of the start model, averaged.

    Both are distributions over the batch; the start model's stands first, as in distillation (Hinton et al. 2015)."""
    now, before = scale * pairs.images @ pairs.texts.T, scale * pairs.images_before @ pairs.texts_before.T
    return (kl(before, now) + kl(before.T, now.T)) / 2


def kl(before: Tensor, now: Tensor) -> Tensor:
    """Mean over the rows of KL(softmax(before) || softmax(now))."""
    return F.kl_div(now.log_softmax(1), before.log_softmax(1), log_target=True, reduction="batchmean")


def embedding_drift(pairs: Encoded) -> Tensor:
    """Mean squared distance of both embeddings from the start model's."""
    images = (pairs.images - pairs.images_before).square().sum(1)
    return (images + (pairs.texts - pairs.texts_before).square().sum(1)).mean()


def matrix_mse(pairs: Encoded, wanted: Tensor | float) -> Tensor:
    """Mean squared error of all cosines of a batch [b, b], image to text and text to image, added.

    `wanted` is a number, or a matrix with images as rows. A matrix and its transpose have the same mean, so the sum is
    twice the error of one direction; published losses add the two."""
    return 2 * (pairs.images @ pairs.texts.T - wanted).square().mean()


def matrix_drift(pairs: Encoded) -> Tensor:
    """`matrix_mse` against the cosines that the start model gives the same batch."""
    return matrix_mse(pairs, pairs.images_before @ pairs.texts_before.T)


def entry_drift(pairs: Encoded) -> Tensor:
    """Mean squared change of an entry of the image embeddings, plus that of the text embeddings: `embedding_drift`
    divided by the width."""
    return embedding_drift(pairs) / pairs.images.shape[1]
