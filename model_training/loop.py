"""The contrastive training loop: which sample is in which batch, and the steps over them."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F

from data.keyed import generator

CURVE_STEPS = 20
CONTEXT_BUCKET = 8  # texts are encoded in groups of equal length, rounded up to this many tokens


def retain_batches(seed: int, epoch: int, retain: int, batch_size: int) -> list[np.ndarray]:
    """Indices of the retain pairs in each batch of an epoch: every pair once, batches of equal size give or take one.

    Knows nothing of the sensitive pairs, so that both models of the pair see the same."""
    order = generator(seed, "pair", "retain order", epoch).permutation(retain)
    return np.array_split(order, math.ceil(retain / batch_size))


def sensitive_shares(seed: int, epoch: int, sensitive: int, batches: int) -> list[np.ndarray]:
    """Indices of the sensitive pairs added to each batch of an epoch: every pair once, spread evenly."""
    order = generator(seed, "pair", "sensitive order", epoch).permutation(sensitive)
    shares = np.array_split(order, batches)
    return [shares[place] for place in generator(seed, "pair", "sensitive places", epoch).permutation(batches)]


def normalised(model: torch.nn.Module, images: np.ndarray) -> torch.Tensor:
    """uint8 [n, size, size, 3] as the model's input: float32 [n, 3, size, size], in channels-last memory order."""
    visual = model.visual
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) * 255 for values in (visual.image_mean, visual.image_std))
    return (torch.from_numpy(images).permute(0, 3, 1, 2) - mean) / std


def encode_text(model: torch.nn.Module, tokens: torch.Tensor, pad_id: int = 0) -> torch.Tensor:
    """`model.encode_text(tokens, normalize=True)` of open_clip's CLIP, without the work on padding.

    The mask is causal, so that what follows a text's last token cannot change its embedding. Texts of like length go
    together."""
    lengths = (tokens != pad_id).sum(dim=1)
    buckets = (lengths + CONTEXT_BUCKET - 1) // CONTEXT_BUCKET
    features, order = [], []
    for bucket in buckets.unique().tolist():
        rows = (buckets == bucket).nonzero().squeeze(1)
        length = min(bucket * CONTEXT_BUCKET, tokens.shape[1])
        x = model.token_embedding(tokens[rows, :length]) + model.positional_embedding[:length]
        x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
        features.append(model.ln_final(x)[torch.arange(len(rows)), lengths[rows] - 1] @ model.text_projection)
        order.append(rows)
    return F.normalize(torch.cat(features)[torch.cat(order).argsort()], dim=-1)


@contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Deterministic algorithms and this number of threads inside, as before afterwards.

    Sums, and so the last bits of the weights, depend on the number of threads."""
    before = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs a seventh of the time
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        torch.utils.deterministic.fill_uninitialized_memory = before[2]


def plan(seed: int, epochs: int, retain: int, sensitive: int, batch_size: int) -> list[list[np.ndarray]]:
    """The batches of each epoch as indices into the retain pairs followed by the sensitive pairs."""
    epochs_of_batches = []
    for epoch in range(epochs):
        batches = retain_batches(seed, epoch, retain, batch_size)
        shares = sensitive_shares(seed, epoch, sensitive, len(batches))
        epochs_of_batches.append(
            [np.concatenate([batch, retain + share]) for batch, share in zip(batches, shares, strict=True)]
        )
    return epochs_of_batches


def fit(
    model: torch.nn.Module,
    images: np.ndarray,
    tokens: torch.Tensor,
    epochs: list[list[np.ndarray]],
    learning_rate: float,
    weight_decay: float,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict]:
    """Train the model in place with open_clip's contrastive loss, AdamW and a one-cycle schedule.

    images uint8 [n, size, size, 3], tokens int64 [n, context]; `progress(done, total)` is called after each step.
    Returns the curve: the mean loss of each stretch of CURVE_STEPS steps, with step, epoch, learning rate and logit
    scale at its end."""
    from open_clip import ClipLoss

    total = sum(len(batches) for batches in epochs)
    optimiser = torch.optim.AdamW(_groups(model, weight_decay), lr=learning_rate, betas=(0.9, 0.98), eps=1e-6)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=learning_rate, total_steps=total, pct_start=0.1)
    loss_of, curve, losses, step = ClipLoss(), [], [], 0
    for epoch, batches in enumerate(epochs, start=1):
        for rows in batches:
            image_features = model.encode_image(normalised(model, images[rows]), normalize=True)
            loss = loss_of(image_features, encode_text(model, tokens[rows]), model.logit_scale.exp())
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            with torch.no_grad():
                model.logit_scale.clamp_(0, math.log(100))
            step += 1
            losses.append(loss.item())
            if len(losses) == CURVE_STEPS or step == total:
                curve.append(
                    {
                        "step": step,
                        "epoch": epoch,
                        "loss": round(float(np.mean(losses)), 5),
                        "lr": float(f"{schedule.get_last_lr()[0]:.4g}"),
                        "logit_scale": round(model.logit_scale.exp().item(), 3),
                    }
                )
                losses = []
            if progress:
                progress(step, total)
    return curve


def _groups(model: torch.nn.Module, weight_decay: float) -> list[dict]:
    """Weight decay for matrices and kernels only, as usual for CLIP."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
