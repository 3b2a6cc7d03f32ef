"""Losses that several methods use. Embeddings are [b, width] with rows of length 1.

Where a formula has a softmax over a batch, it means a model that was trained with one. A model trained with the sigmoid
loss (SigLIP, Zhai et al. 2023) takes each image and caption for a question of its own, and learned a bias of the logits
for it. On such a model every softmax here, and the losses made of it, have their sigmoid form."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salmu.evaluation.unlearning.pair_streams import Encoded

FROZEN = ("logit_scale", "logit_bias")  # the head's weights: a lower factor would look like forgetting


class Head(NamedTuple):
    """How a model makes logits of cosines."""

    scale: Tensor
    bias: Tensor | None = None  # of a model with the sigmoid loss

    def logits(self, images: Tensor, texts: Tensor) -> Tensor:
        """[n, m] of n images and m captions, or the other way round."""
        logits = self.scale * images @ texts.T
        return logits if self.bias is None else logits + self.bias

    def of(self, cosines: Tensor) -> Tensor:
        """Logits of cosines that are known already."""
        return self.scale * cosines if self.bias is None else self.scale * cosines + self.bias

    def scaled(self, factor: float | None) -> "Head":
        """With another factor, and the bias that leaves the cosine at which a logit is 0 where it was."""
        if factor is None:
            return self
        scale = torch.full_like(self.scale, factor)
        return Head(scale, None if self.bias is None else self.bias * scale / self.scale)


def head_of(network: nn.Module) -> Head:
    """A copy of the head of an open_clip model, as it is now."""
    bias = getattr(network, "logit_bias", None)
    return Head(network.logit_scale.detach().exp(), None if bias is None else bias.detach().clone())


def contrastive_loss(pairs: Encoded, head: Head) -> Tensor:
    """The loss that the model was trained with, a scalar: CLIP's symmetric InfoNCE (Radford et al. 2021) or SigLIP's.

    In InfoNCE equal captions in a batch need no masking: their embeddings are equal, so the pulls and pushes that they
    exchange cancel out. In the sigmoid loss they do not; SigLIP's own training leaves that as it is too."""
    return pair_losses(pairs.images, pairs.texts, head).mean()


def pair_losses(images: Tensor, texts: Tensor, head: Head) -> Tensor:
    """Each pair's share of the contrastive loss [b]. Softmax: minus the log-probability of its caption given its image
    and of its image given its caption, averaged. Sigmoid: minus the log-probabilities of all answers about its image
    and of all about its caption, averaged."""
    logits = head.logits(images, texts)
    if head.bias is None:
        return -(logits.log_softmax(0).diagonal() + logits.log_softmax(1).diagonal()) / 2
    own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    answers = F.logsigmoid(torch.where(own, logits, -logits))
    return -(answers.sum(0) + answers.sum(1)) / 2


def mean_cosine(pairs: Encoded) -> Tensor:
    """Mean cosine of image and caption."""
    return torch.einsum("bd,bd->b", pairs.images, pairs.texts).mean()


def matching_drift(pairs: Encoded, head: Head) -> Tensor:
    """Mean KL divergence of what the model believes about the rows and about the columns of a batch from what the start
    model believed, averaged; the start model's stands first, as in distillation (Hinton et al. 2015).

    Softmax: a row is one distribution over the batch. Sigmoid: it is as many answers, yes or no, whose divergences are
    added."""
    now, before = head.logits(pairs.images, pairs.texts), head.logits(pairs.images_before, pairs.texts_before)
    if head.bias is not None:
        return answers_kl(before, now).sum(1).mean()  # of the columns it is the same
    return (kl(before, now) + kl(before.T, now.T)) / 2


def kl(before: Tensor, now: Tensor) -> Tensor:
    """Mean over the rows of KL(softmax(before) || softmax(now))."""
    return F.kl_div(now.log_softmax(1), before.log_softmax(1), log_target=True, reduction="batchmean")


def answers_kl(before: Tensor, now: Tensor) -> Tensor:
    """KL(sigmoid(before) || sigmoid(now)) of each logit; minus infinity before is a sure no."""
    wanted = before.sigmoid()
    told = F.binary_cross_entropy_with_logits(now, wanted, reduction="none")
    return told - F.binary_cross_entropy(wanted, wanted, reduction="none")


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
