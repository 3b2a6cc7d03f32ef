"""SalUn: give forget images captions of others, but change only the weights that matter for the forget set.

    mask = the largest |gradient of -InfoNCE(F)|, a share of all weights
    loss = InfoNCE(x_i, y_p(i)) + a InfoNCE(R), on the masked weights

The mask holds for the update itself: momentum and weight decay move no other weight."""

import torch
from pydantic import Field
from torch import Tensor

from salmu.evaluation.unlearning.losses import contrastive_loss
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import Between, GradientSettings, OneOf


class Settings(GradientSettings):
    learning_rate: float = Field(1.6e-3, gt=0, description="Peak learning rate; published: 1.3e-2 by SGD, on a ResNet.")
    salient: float = Field(0.1, gt=0, le=1, description="Share of the weights that may change; published: 0.5.")
    looking: float = Field(
        0.2, gt=0, lt=1, description="Share of the budget that the gradient of the mask uses, one pass at most."
    )
    retention: float = Field(1.0, ge=0, description="Weight of the contrastive loss of the retain pairs (a).")


def masks(work, settings: Settings) -> dict[str, Tensor]:
    total = {name: torch.zeros_like(weight) for name, weight in work.weights.items()}
    looked_at = min(len(work.forget.pool), round(settings.looking * work.count))
    for pairs in work.forget.batches(looked_at, settings.batch_size):
        for name, gradient in work.gradient(-contrastive_loss(pairs, work.head)).items():
            total[name] += len(pairs) * gradient
    sizes = torch.cat([gradient.abs().flatten() for gradient in total.values()]).cpu()  # not deterministic on GPUs
    threshold = sizes.kthvalue(max(1, round((1 - settings.salient) * len(sizes)))).values
    return {name: gradient.abs() > threshold for name, gradient in total.items()}


METHOD = Method(
    name="salun",
    description="Trains forget images on other images' captions; changes only weights that matter for the forget set.",
    source="SalUn (Fan et al., ICLR 2024), github.com/OPTML-Group/Unlearn-Saliency: random labels, mask "
    "0.5, SGD; captions in place of labels and AdamW are ours",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    loss=lambda batch, settings: (
        contrastive_loss(batch.forget, batch.head) + settings.retention * contrastive_loss(batch.retain, batch.head)
    ),
    masks=masks,
    captions="shuffled",
    search={"learning_rate": Between(3e-5, 3e-3), "salient": OneOf((0.1, 0.3, 0.5))},
)
