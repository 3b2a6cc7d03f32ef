"""Random embeddings of forget and retain pairs, now and before, as the losses of unlearning take them."""

from types import SimpleNamespace

import numpy as np
import torch

from salmu.evaluation.unlearning.losses import Head

SCALE = 14.0


def unit(rng, rows=6, width=8):
    values = rng.normal(size=(rows, width))
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def pairs(seed: int) -> tuple[SimpleNamespace, SimpleNamespace]:
    """The same embeddings as arrays and as tensors."""
    rng = np.random.default_rng(seed)
    arrays = {name: unit(rng) for name in ("images", "texts", "images_before", "texts_before")}
    tensors = {name: torch.tensor(value) for name, value in arrays.items()}
    facts = np.array([0, 1, 2, 0, 3, 4])
    length = {"__len__": lambda self: 6}
    double = type("Double", (SimpleNamespace,), length)(**tensors, facts=torch.tensor(facts))
    return SimpleNamespace(**arrays, facts=facts), double


def batch_of(
    progress: float = 0.0, bias: float | None = None
) -> tuple[SimpleNamespace, SimpleNamespace, SimpleNamespace]:
    (forget, forget_tensors), (retain, retain_tensors) = pairs(0), pairs(1)
    head = Head(torch.tensor(SCALE, dtype=torch.float64), bias and torch.tensor(bias, dtype=torch.float64))
    batch = SimpleNamespace(
        forget=forget_tensors, retain=retain_tensors, head=head, progress=progress, key=(0, "losses")
    )
    return forget, retain, batch
