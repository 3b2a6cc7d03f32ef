"""Train the face recogniser and the gender and age network on crops of portraits with known landmarks."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from insightface.utils import face_align
from torch import Tensor, nn
from torch.nn import functional as F

from salmu.data import keyed
from salmu.data.procedural.person import Person
from salmu.data.schemas import GENDERS
from salmu.model_training.analysis_models.networks import GenderAge, Recogniser, optimise, seeded
from salmu.model_training.analysis_models.portraits import Portrait, decode, shade

MARGIN, SCALE = 0.25, 24.0


class CosineMargin(nn.Module):
    """CosFace (Wang et al., 2018): cross-entropy over scaled cosines to one learnt direction an identity, less a margin
    for the own."""

    def __init__(self, embedding: int, identities: int):
        super().__init__()
        self.directions = nn.Parameter(torch.randn(identities, embedding) * 0.05)

    def forward(self, embeddings: Tensor, identity: Tensor) -> Tensor:
        cosines = F.linear(F.normalize(embeddings), F.normalize(self.directions))
        margins = F.one_hot(identity, len(self.directions)) * MARGIN
        return F.cross_entropy(SCALE * (cosines - margins), identity)


def aligned(portrait: Portrait, rng: np.random.Generator, side: int = 112) -> np.ndarray:
    """The largest face, aligned as insightface's norm_crop does it, with the errors of a detector's landmarks and other
    light."""
    points = portrait.landmarks[0]
    centre, reach = points.mean(axis=0), np.ptp(points, axis=0).max()
    turn = complex(*rng.normal((1, 0), (0.05, 0.04)))
    turned = (points - centre) @ [[turn.real, turn.imag], [-turn.imag, turn.real]]
    noise = rng.normal(scale=0.03, size=2) + rng.normal(scale=0.03, size=points.shape)
    matrix = face_align.estimate_norm(centre + turned + reach * noise, side)
    return shade(cv2.warpAffine(decode(portrait.image), matrix, (side, side)), rng)


def surroundings(portrait: Portrait, rng: np.random.Generator, side: int = 96) -> np.ndarray:
    """The largest face within a square of 1.5 times its box, as insightface crops it for gender and age, a little off
    by chance."""
    left, top, right, bottom = portrait.boxes[0]
    extent = max(right - left, bottom - top)
    scale = side / (1.5 * extent * rng.uniform(0.9, 1.1))
    x, y = np.array([left + right, top + bottom]) / 2 + rng.normal(scale=0.04 * extent, size=2)
    matrix = np.array([[scale, 0, side / 2 - x * scale], [0, scale, side / 2 - y * scale]])
    return shade(cv2.warpAffine(decode(portrait.image), matrix, (side, side)), rng)


def pixels(images: list[np.ndarray], deviation: float) -> Tensor:
    """uint8 images [h, w, 3] -> float [b, 3, h, w] in (x - 127.5) / deviation, channels last."""
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
    return batch.sub(127.5).div(deviation).contiguous(memory_format=torch.channels_last)


def train_recogniser(
    portraits: Sequence[Portrait], seed: int, steps: int, batch: int = 64, rate: float = 4e-3
) -> Recogniser:
    """A recogniser trained on `steps` batches of portraits with a face; `Portrait.identity` names who it is."""
    with seeded(seed, "recogniser"):
        recogniser = Recogniser().to(memory_format=torch.channels_last)
        margin = CosineMargin(512, 1 + max(portrait.identity for portrait in portraits))

    def batch_loss(step: int) -> Tensor:
        rng = keyed.generator(seed, "recogniser", step)
        chosen = [portraits[index] for index in rng.integers(0, len(portraits), batch)]
        embeddings = recogniser(pixels([aligned(portrait, rng) for portrait in chosen], 127.5))
        return margin(embeddings, torch.tensor([portrait.identity for portrait in chosen]))

    optimise([recogniser, margin], batch_loss, steps, rate, "recogniser")
    return recogniser


def train_genderage(
    portraits: Sequence[Portrait], people: Sequence[Person], seed: int, steps: int, batch: int = 64, rate: float = 4e-3
) -> GenderAge:
    """A gender and age network trained on the same portraits; people[Portrait.identity] says who is who."""
    with seeded(seed, "genderage"):
        network = GenderAge().to(memory_format=torch.channels_last)

    def batch_loss(step: int) -> Tensor:
        rng = keyed.generator(seed, "genderage", step)
        chosen = [portraits[index] for index in rng.integers(0, len(portraits), batch)]
        who = [people[portrait.identity] for portrait in chosen]
        answers = network(pixels([surroundings(portrait, rng) for portrait in chosen], 128.0))
        gender = F.cross_entropy(answers[:, :2], torch.tensor([GENDERS.index(person.gender) for person in who]))
        return gender + 5 * F.smooth_l1_loss(
            answers[:, 2], torch.tensor([person.age / 100 for person in who]), beta=0.05
        )

    optimise([network], batch_loss, steps, rate, "gender and age")
    return network
