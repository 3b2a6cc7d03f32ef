"""SLUG: one gradient step on one weight tensor.

    w <- w + s g_F      g_F: gradient of mean_F (1 - cos);  g_R: gradient of InfoNCE(R), on one pass each

Candidates are the tensors of each tower that no other beats in both importance ||g_F|| / ||w|| and disalignment
-|cos(g_F, g_R)|. For each, the step size s is doubled or bisected towards the smallest one with which no forget image
finds its own caption first; of those that get there, the one with the least contrastive loss on retain pairs is
taken."""

import math
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from salmu.evaluation.unlearning.losses import contrastive_loss, mean_cosine
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.pair_streams import Encoded
from salmu.evaluation.unlearning.settings import MethodSettings, OneOf


class Settings(MethodSettings):
    looking: float = Field(
        0.5, gt=0, lt=1, description="Share of the budget that the gradients take, one pass at most; the rest tries."
    )
    candidates: int = Field(2, ge=1, description="Weight tensors that are tried, the most important of the best.")
    trials: int = Field(10, ge=1, description="Step sizes tried for each; published: 10.")
    sample: int = Field(128, ge=2, description="Pairs of each kind on which a trial is judged.")
    goal: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="Share of the sample's images that may still find their own caption first; published: 0.",
    )


def edit(work, settings: Settings) -> dict[str, Any]:
    looked_at = min(len(work.forget.pool), round(settings.looking * work.count))
    g_forget = _mean_gradient(work, work.forget, looked_at, lambda pairs: 1 - mean_cosine(pairs), settings)
    g_retain = _mean_gradient(work, work.retain, looked_at, lambda pairs: contrastive_loss(pairs, work.head), settings)
    best: tuple[bool, float, str, float] | None = None
    for name in pareto(work.start, g_forget, g_retain)[: settings.candidates]:
        found = _step_size(work, name, g_forget[name], settings)
        if found and (best is None or (not found[0], found[1]) < (not best[0], best[1])):
            best = (*found[:2], name, found[2])
    if best is None:
        return {"weight": None, "step": 0.0}
    reached, retain_loss, name, step = best
    _put(work, name, g_forget[name], step)
    return {"weight": name, "reached": reached, "step": float(f"{step:.5g}"), "retain_loss": round(retain_loss, 5)}


def pareto(weights: dict[str, Tensor], g_forget: dict[str, Tensor], g_retain: dict[str, Tensor]) -> list[str]:
    """Names of the matrices and kernels on the Pareto front of their tower, the most important first."""
    scored = []
    for name, weight in weights.items():
        if weight.ndim < 2 or "embedding" in name or not g_forget[name].any():
            continue
        importance = (g_forget[name].norm() / weight.norm()).item()
        cosine = torch.cosine_similarity(g_forget[name].flatten(), g_retain[name].flatten(), dim=0).abs().item()
        scored.append((name.startswith("visual."), importance, cosine, name))
    front = [
        (importance, name)
        for tower, importance, cosine, name in scored
        if not any(
            other == tower and i >= importance and c <= cosine and (i, c) != (importance, cosine)
            for other, i, c, _ in scored
        )
    ]
    return [name for _, name in sorted(front, reverse=True)]


def _step_size(work, name: str, gradient: Tensor, settings: Settings):
    """(whether the goal was reached, retain loss, step size) of the smallest step that reaches it, or of the largest
    one tried; None where the budget is spent before the first trial. The weight is as before afterwards."""
    step, low, high, best = (work.start[name].norm() / (10 * gradient.norm())).item(), 0.0, math.inf, None
    for _ in range(settings.trials):
        if min(work.forget.left, work.retain.left) < 2:
            break
        _put(work, name, gradient, step)
        with torch.no_grad():
            accuracy = _own_first(work.forget.take(settings.sample))
            loss = contrastive_loss(work.retain.take(settings.sample), work.head).item()
        reached = accuracy <= settings.goal
        if best is None or reached or not best[0]:
            best = (reached, loss, step)
        low, high = (low, step) if reached else (step, high)
        step = 2 * step if math.isinf(high) else (low + high) / 2
    _put(work, name, gradient, 0.0)
    return best


def _put(work, name: str, gradient: Tensor, step: float) -> None:
    with torch.no_grad():
        work.weights[name].copy_(work.start[name] + step * gradient)


def _mean_gradient(work, stream, number: int, loss, settings: Settings) -> dict[str, Tensor]:
    total, seen = {name: torch.zeros_like(weight) for name, weight in work.weights.items()}, 0
    for pairs in stream.batches(number, settings.batch_size):
        seen += len(pairs)
        for name, gradient in work.gradient(loss(pairs)).items():
            total[name] += len(pairs) * gradient
    return {name: value / max(seen, 1) for name, value in total.items()}


def _own_first(pairs: Encoded) -> float:
    """Share of the images whose own caption is nearest among those of the batch."""
    nearest = (pairs.images @ pairs.texts.T).argmax(1).cpu()
    return (nearest == torch.arange(len(nearest))).double().mean().item()


METHOD = Method(
    name="slug",
    description="Takes one gradient step on the one weight tensor that matters most for forget and least for retain.",
    source="SLUG (Cai et al., ICML 2025), github.com/CSIPlab/SLUG: first step ||w|| / (10 ||g||), 10 "
    "trials; retrieval in place of classification is ours",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    edit=edit,
    search={"goal": OneOf((0.0, 0.01, 0.02, 0.05)), "candidates": OneOf((2, 6, 12))},
)
