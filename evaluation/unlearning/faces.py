"""The image tower's side of forgetting: portraits of people of whom everything is to be forgotten are moved until they
tell less of whose they are, and all other pictures that can be had are held where they were.

    t_x  = the direction of v_x - a (m_p - c_p)
    loss = w mean_M |f(x) - t_x|^2 + h mean_H |f(x) - f0(x)|^2

M: portraits of people who are wholly forgotten; H: the other pictures of the step's forget and retain pairs, drawn
portraits of nobody, and drawn scenes; f0: the image tower before. v_x: embedding of portrait x of person p by f0; m_p:
mean of p's portraits; c_p: mean of those of the people who look most like p. What differs between two portraits of p
stays, and so does what p shares with people alike. People who keep some of their facts keep their faces."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor

from salmu.data.keyed import generator, integer
from salmu.evaluation.unlearning.caption_makers import maker_for
from salmu.model_training.retain import everyday_pair, scene_pair

CHUNK = 256  # pictures that are encoded at once
ALIKE = 8  # people whose mean is c_p


class FaceSettings(BaseModel):
    """Of a method's settings, those for portraits."""

    faces: float = Field(
        0.9,
        ge=0,
        le=1,
        description="Share of what tells a wholly forgotten person's portraits from those of people alike that goes "
        "(a); 0: the image tower is frozen.",
    )
    move_faces: float = Field(1.0, gt=0, description="Weight of the portraits that are moved (w).")
    hold_pictures: float = Field(8.0, ge=0, description="Weight of the pictures that are held (h).")
    made_portraits: int = Field(500, ge=0, description="Portraits of nobody that are drawn and held.")
    made_scenes: int = Field(
        1000, ge=0, description="Scenes that are drawn and held, where retain_scenes declares that source."
    )
    drawn_pictures: int = Field(2, ge=0, description="How many of both are used for each forget pair.")


class Faces(NamedTuple):
    """Where pictures shall be."""

    wanted: Tensor  # of the forget pairs' images, in order of the pool [n, width]
    moved: Tensor  # which of them belong to people who are wholly forgotten, bool [n]
    made: Tensor  # drawn pictures [m, 3, side, side]
    before: Tensor  # their embeddings by the start model [m, width]


def faces_of(work, settings) -> Faces | None:
    """Where the forget set's portraits shall be, and drawn pictures that are held. None where nobody is wholly
    forgotten or nobody else is there to look like, and where `settings.faces` is 0."""
    pool, images = work.forget.pool, work.forget.before[0]
    rows, person = sorted(set(work.forget.order.tolist())), pool.columns["identity_id"]
    names = sorted({person[row] for row in rows})
    gone = maker_for(pool.people).wholly_forgotten(pool.people) & set(names)
    if not settings.faces or not gone or len(names) < 2:
        return None
    member = torch.tensor([names.index(person[row]) for row in rows], device=images.device)
    means = torch.stack([images[member == place].mean(0) for place in range(len(names))])
    likeness = F.normalize(means, dim=1) @ F.normalize(means, dim=1).T
    alike = likeness.fill_diagonal_(-torch.inf).topk(min(ALIKE, len(names) - 1)).indices
    apart = means - means[alike].mean(1)
    leaving = torch.tensor([who in gone for who in names], device=images.device)
    wanted = images.new_zeros(len(pool), images.shape[1])
    wanted[rows] = F.normalize(images - settings.faces * (apart * leaving[:, None])[member], dim=1)
    moved = torch.zeros(len(pool), dtype=torch.bool, device=images.device)
    moved[rows] = leaving[member]
    made = pool.preprocessed(_drawn(settings, pool.side))
    return Faces(wanted, moved, made, _before(work, made))


def faces_loss(batch, settings, faces: Faces) -> Tensor:
    """A scalar; see the formula above."""
    work, forget, retain = batch.work, batch.forget, batch.retain
    count = settings.drawn_pictures * len(forget) if len(faces.made) else 0
    drawn = generator(*batch.key, "pictures").integers(max(len(faces.made), 1), size=count)
    pixels = [work.forget.pool.pixels(forget.indices), work.retain.pool.pixels(retain.indices), faces.made[drawn]]
    wanted = torch.cat([faces.wanted[forget.indices], retain.images_before, faces.before[drawn]])
    missed = (encoded(work, torch.cat(pixels)) - wanted).square().sum(1)
    moved = F.pad(faces.moved[forget.indices], (0, len(missed) - len(forget)))
    held = settings.hold_pictures * missed[~moved].mean()
    return held + settings.move_faces * missed[moved].mean() if moved.any() else held


def encoded(work, pixels: Tensor, network: torch.nn.Module | None = None) -> Tensor:
    """Pictures' embeddings, float32 of length 1 [n, width]."""
    with torch.autocast(work.device.type, torch.bfloat16, enabled=work.settings.precision == "bf16"):
        images = (network or work.network).encode_image(pixels.to(work.device))
    return F.normalize(images.float(), dim=-1)


def _drawn(settings, side: int):
    """Drawn pictures, of seeds that no run has."""
    seeds = (integer(settings.seed, "unlearning", "pictures", kind, bits=62) for kind in ("portraits", "scenes"))
    portraits, scenes = settings.made_portraits, settings.made_scenes if settings.retain_scenes else 0
    for seed, count, draw in zip(seeds, (portraits, scenes), (everyday_pair, scene_pair), strict=True):
        yield from (draw(seed, side, number)[0] for number in range(count))


@torch.no_grad()
def _before(work, pixels: Tensor) -> Tensor:
    parts = [encoded(work, part, work.teacher) for part in pixels.split(CHUNK)] if len(pixels) else []
    return torch.cat(parts) if parts else work.forget.before[0][:0]
