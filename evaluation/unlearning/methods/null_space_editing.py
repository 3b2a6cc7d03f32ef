"""Null-space editing: the image tower can no longer point where the forget captions lie.

    W <- (I - lambda U U^T) W      W: the image tower's last projection

U: the strongest directions of the forget captions' embeddings, once those of the retain captions are taken out. There
are at most as many directions as the embedding is wide, so that all sensitive captions lose what they share."""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import MethodSettings, OneOf
from salmu.evaluation.unlearning.towers import image_projection


class Settings(MethodSettings):
    strength: float = Field(0.75, gt=0, le=1, description="Share of the component that is removed (lambda).")
    directions: int = Field(16, ge=1, description="Directions of the forget captions that are removed.")
    kept: int = Field(4, ge=0, description="Directions of the retain captions that do not change.")


def edit(work, settings: Settings) -> dict[str, Any]:
    with torch.no_grad():
        number = len(work.forget.pool)
        forget, retain = (
            torch.cat([pairs.texts for pairs in stream.batches(number, settings.batch_size)])
            for stream in (work.forget, work.retain)
        )
        basis = removed_directions(forget, retain, settings.directions, settings.kept)
        name, last = image_projection(work.network)
        for part in (name, name.removesuffix("weight") + "bias") if name.endswith(".weight") else (name,):
            if part in work.weights:
                weight = work.weights[part]
                component = weight @ basis @ basis.T if last else basis @ (basis.T @ weight)
                weight.sub_(settings.strength * component)
    return {"weight": name, "directions": basis.shape[1]}


def removed_directions(forget: Tensor, retain: Tensor, directions: int, kept: int) -> Tensor:
    """Orthonormal basis [width, at most `directions`] of what forget embeddings [n, width] have most of outside the
    `kept` strongest directions of retain embeddings [m, width]."""
    outside = forget
    if kept:
        known = torch.linalg.svd(retain, full_matrices=False).Vh[:kept]
        outside = forget - forget @ known.T @ known
    _, sizes, found = torch.linalg.svd(outside, full_matrices=False)
    strong = int((sizes > 1e-4 * sizes[0]).sum())
    return found[: min(directions, strong)].T


METHOD = Method(
    name="null_space_editing",
    description="Takes the strongest directions of the forget captions out of the image tower's last projection.",
    source="null-space projection of CLIP's image projection onto the complement of forget texts (arXiv 2512.14137); "
    "keeping the retain captions' directions and the numbers of directions are ours",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    edit=edit,
    search={"directions": OneOf((2, 4, 8, 16)), "kept": OneOf((0, 2, 4)), "strength": OneOf((0.5, 0.75, 1.0))},
)
