"""DELETE: distil what the start model believes about a forget image once its own caption is taken out.

    loss = KL( softmax(z before, own caption at minus infinity) || softmax(z now) ) on F, and for captions likewise

z are the logits: cosines times a factor. Once a caption's share of the softmax is nothing, nothing pushes its cosine
further down; a small factor keeps pushing. On a model with the sigmoid loss each caption is a question of its own: the
answer to the own one becomes no, all others stay.

DELETE was made for classes. Here the classes of an image are captions: `batch`, those of the forget batch, all captions
of the same fact taken out, or they would fight the mask; or `bank`, its own, which alone is taken out, and those of as
many retain pairs as the start model saw them, which stand for all that is no forget class."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from salmu.evaluation.unlearning.losses import Head, answers_kl
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import Between, OneOf, StoppableSettings


class Settings(StoppableSettings):
    learning_rate: float = Field(4e-4, gt=0, description="Peak learning rate; published: 5e-5 by SGD, on a ViT-S/16.")
    factor: float | None = Field(
        1.0,
        gt=0,
        description="Factor of the cosines in the softmax; null: the model's own. Ours: the original has plain logits.",
    )
    classes: Literal["bank", "batch"] = Field(
        "bank", description="What a pair is compared with: retain pairs as they were (bank), or the forget batch."
    )


def loss(batch, settings: Settings) -> Tensor:
    pairs, head = batch.forget, batch.head.scaled(settings.factor)
    if settings.classes == "batch":
        own = pairs.facts[:, None] == pairs.facts[None, :]
        before, now = head.of(pairs.images_before @ pairs.texts_before.T), head.of(pairs.images @ pairs.texts.T)
        return (masked(head, before, now, own) + masked(head, before.T, now.T, own)) / 2
    bank, total = batch.retain, 0.0
    before = (pairs.images_before * pairs.texts_before).sum(1, keepdim=True)
    now = (pairs.images * pairs.texts).sum(1, keepdim=True)
    for ours_before, ours, theirs in (
        (pairs.images_before, pairs.images, bank.texts_before),
        (pairs.texts_before, pairs.texts, bank.images_before),
    ):
        old, new = torch.cat([before, ours_before @ theirs.T], 1), torch.cat([now, ours @ theirs.T], 1)
        own = torch.zeros_like(old, dtype=torch.bool)
        own[:, 0] = True
        total = total + masked(head, head.of(old), head.of(new), own) / 2
    return total


def masked(head: Head, before: Tensor, now: Tensor, own: Tensor) -> Tensor:
    """The divergence for logits [b, m]; `own` bool: what is taken out."""
    return masked_kl(before, now, own) if head.bias is None else refused_kl(before, now, own)


def masked_kl(before: Tensor, now: Tensor, masked: Tensor) -> Tensor:
    """Mean over rows of KL(softmax(before without the masked entries) || softmax(now)); logits [b, m], masked bool.

    A row in which all is masked says nothing and is left out of the sum."""
    usable = ~masked.all(1, keepdim=True)
    teacher = before.masked_fill(masked & usable, -torch.inf).log_softmax(1)
    terms = torch.where(teacher.isinf(), 0.0, teacher.exp() * (teacher - now.log_softmax(1)))
    return (terms * usable).sum() / len(before)


def refused_kl(before: Tensor, now: Tensor, masked: Tensor) -> Tensor:
    """Mean over rows of the summed KL(sigmoid(before) || sigmoid(now)), where the masked entries were a sure no."""
    return answers_kl(before.masked_fill(masked, -torch.inf), now).sum() / len(before)


METHOD = Method(
    name="delete",
    description="Distils the start model's beliefs about a forget pair with the pair itself masked out.",
    source="DELETE (Zhou et al., CVPR 2025), masked distillation, github.com/shaaaaron/DELETE: SGD, 5e-5; captions in "
    "place of classes, the bank and AdamW are ours",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    loss=loss,
    search={
        "learning_rate": Between(1e-5, 3e-3),
        "factor": OneOf((None, 10.0, 3.0, 1.0)),
        "classes": OneOf(("bank", "batch")),
    },
)
