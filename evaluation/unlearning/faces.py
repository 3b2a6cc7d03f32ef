"""The image tower's side of forgetting: the forget set's portraits are moved until they tell less of whose they are
and what was said of them, and all other pictures that can be had are held where they were.

    t_x  = the direction of v_x - a s_p (m_p - c_p) - b max(0, (v_x - m) u_x) u_x
    loss = w mean_M |f(x) - t_x|^2 + h mean_H |f(x) - f0(x)|^2

M: portraits of the forget set that are to be moved; H: its others, the pictures of the step's retain pairs, drawn
portraits of nobody, and drawn scenes; f0: the image tower before. v_x: embedding of portrait x of person p by f0; m_p:
mean of p's portraits; c_p: mean of those of the people who look most like p; s_p: 1 where all of p is to be forgotten,
else 0, or with `partly` the share of p's attributes; m: mean of all portraits; u_x: where the caption of x lies from
the mean caption, by the text tower before, of length 1.

The first term takes away what tells p from people alike. What differs between two portraits of p stays, and so does
what p shares with people alike. The second term takes away what training has tied to the caption: by it, the captions
as they were before would still find the portraits."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor

from salmu.data.keyed import generator, integer
from salmu.evaluation.unlearning.caption_makers import maker_for
from salmu.evaluation.unlearning.text_regression import silent
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
    partly: bool = Field(
        False,
        description="Move the portraits of people who keep some attributes too, by the share of their attributes that "
        "are to be forgotten.",
    )
    ties: float = Field(
        0.0, ge=0, le=1, description="Share of what ties a portrait of the forget set to its own caption that goes (b)."
    )
    image_rate: float = Field(
        1.0, gt=0, le=10, description="Learning rate of the image tower, as a multiple of learning_rate."
    )
    move_faces: float = Field(1.0, gt=0, description="Weight of the portraits that are moved (w).")
    more_portraits: int = Field(0, ge=0, description="Further portraits that are moved for each forget pair.")
    hold_pictures: float = Field(8.0, ge=0, description="Weight of the pictures that are held (h).")
    made_portraits: int = Field(500, ge=0, description="Portraits of nobody that are drawn and held.")
    made_scenes: int = Field(
        1000, ge=0, description="Scenes that are drawn and held, where retain_scenes declares that source."
    )
    drawn_pictures: int = Field(2, ge=0, description="How many of both are used for each forget pair.")


class Faces(NamedTuple):
    """Where pictures shall be."""

    wanted: Tensor  # of the forget pairs' images, in order of the pool [n, width]
    moved: Tensor  # which of them are moved, bool [n]
    made: Tensor  # drawn pictures [m, 3, side, side]
    before: Tensor  # their embeddings by the start model [m, width]


def faces_of(work, settings) -> Faces | None:
    """Where the forget set's portraits shall be, and drawn pictures that are held. None where nothing is to be moved,
    where nobody else is there to look like, and where `settings.faces` is 0."""
    pool, (images, texts, _) = work.forget.pool, work.forget.before
    rows, person = sorted(set(work.forget.order.tolist())), pool.columns["identity_id"]
    names = sorted({person[row] for row in rows})
    if not settings.faces or len(names) < 2:
        return None
    member = torch.tensor([names.index(person[row]) for row in rows], device=images.device)
    means = torch.stack([images[member == place].mean(0) for place in range(len(names))])
    likeness = F.normalize(means, dim=1) @ F.normalize(means, dim=1).T
    alike = likeness.fill_diagonal_(-torch.inf).topk(min(ALIKE, len(names) - 1)).indices
    shares = maker_for(pool.people).forgotten_shares(pool.people)
    leaving = torch.tensor([shares[who] for who in names], device=images.device)[member, None]
    leaving = leaving if settings.partly else leaving.floor()
    apart = (means - means[alike].mean(1))[member]
    told = ~silent(pool)[rows].to(images.device)[:, None]
    said = F.normalize(texts - texts.mean(0), dim=1)
    shown = ((images - images.mean(0)) * said).sum(1, keepdim=True).clamp(min=0)
    wanted, moved = images.new_zeros(len(pool), images.shape[1]), torch.zeros(len(pool), dtype=torch.bool)
    target = images - settings.faces * leaving * apart - settings.ties * told * shown * said
    wanted[rows] = F.normalize(target, dim=1)
    moved[rows] = ((leaving > 0) | told & (settings.ties > 0))[:, 0].cpu()
    made = pool.preprocessed(pictures_of_nobody(settings, pool.side))
    return Faces(wanted, moved, made, _before(work, made)) if moved.any() else None


def faces_loss(batch, settings, faces: Faces) -> Tensor:
    """A scalar; see the formula above."""
    work, retain, places = batch.work, batch.retain, faces.moved.nonzero()[:, 0].numpy()
    count = settings.drawn_pictures * len(batch.forget) if len(faces.made) else 0
    drawn = generator(*batch.key, "pictures").integers(max(len(faces.made), 1), size=count)
    more = generator(*batch.key, "portraits").integers(len(places), size=settings.more_portraits * len(batch.forget))
    rows = np.concatenate([batch.forget.indices, places[more]])
    pixels = [work.forget.pool.pixels(rows), work.retain.pool.pixels(retain.indices), faces.made[drawn]]
    wanted = torch.cat([faces.wanted[rows], retain.images_before, faces.before[drawn]])
    missed = (encoded(work, torch.cat(pixels)) - wanted).square().sum(1)
    moved = F.pad(faces.moved[rows], (0, len(missed) - len(rows)))
    held = settings.hold_pictures * missed[~moved].mean()
    return held + settings.move_faces * missed[moved].mean() if moved.any() else held


def encoded(work, pixels: Tensor, network: torch.nn.Module | None = None) -> Tensor:
    """Pictures' embeddings, float32 of length 1 [n, width]."""
    with torch.autocast(work.device.type, torch.bfloat16, enabled=work.settings.precision == "bf16"):
        images = (network or work.network).encode_image(pixels.to(work.device))
    return F.normalize(images.float(), dim=-1)


def pictures_of_nobody(settings, side: int):
    """Drawn pictures, of seeds that no run has."""
    seeds = (integer(settings.seed, "unlearning", "pictures", kind, bits=62) for kind in ("portraits", "scenes"))
    portraits, scenes = settings.made_portraits, settings.made_scenes if settings.retain_scenes else 0
    for seed, count, draw in zip(seeds, (portraits, scenes), (everyday_pair, scene_pair), strict=True):
        yield from (draw(seed, side, number)[0] for number in range(count))


@torch.no_grad()
def _before(work, pixels: Tensor) -> Tensor:
    parts = [encoded(work, part, work.teacher) for part in pixels.split(CHUNK)] if len(pixels) else []
    return torch.cat(parts) if parts else work.forget.before[0][:0]
