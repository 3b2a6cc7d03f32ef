"""Train the face detector: SCRFD's anchors and outputs on a small network, from portraits with known boxes and
landmarks."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from salmu.data import keyed
from salmu.model_training.analysis_models.networks import ANCHOR_SIZES, STRIDES, Detector, optimise, seeded
from salmu.model_training.analysis_models.portraits import Portrait, decode, shade

SIDE = 160  # of the square that pictures are fitted into
MIRRORED = [1, 0, 2, 4, 3]  # the landmarks of a mirrored face, in order
POSITIVE, CLOSE = 0.75, 1.5  # how far from the face's centre, in strides, an anchor answers; is not punished
SIZE_STEP = np.log(1.5)  # between the sizes of neighbouring anchors


def anchors(side: int = SIDE) -> np.ndarray:
    """All anchors [n, 4] in the order of the outputs: x, y of the cell's corner, stride, size."""
    rows = []
    for stride, sizes in zip(STRIDES, ANCHOR_SIZES, strict=True):
        y, x, size = np.meshgrid(np.arange(0, side, stride), np.arange(0, side, stride), sizes, indexing="ij")
        rows.append(np.stack([x, y, np.full(x.shape, stride), size], axis=-1).reshape(-1, 4))
    return np.concatenate(rows).astype(np.float32)


def targets(boxes: np.ndarray, landmarks: np.ndarray, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For faces [f, 4] and [f, 5, 2] in input pixels: labels [n] (1 face, 0 none, -1 does not matter) and the values
    [n, 14] that the anchors with label 1 should give (distances to the box, offsets of the landmarks, in strides)."""
    labels, values = np.zeros(len(grid), np.float32), np.zeros((len(grid), 14), np.float32)
    smallest, largest = ANCHOR_SIZES[0][0], ANCHOR_SIZES[-1][-1]
    for box, points in zip(boxes, landmarks, strict=True):
        size = np.clip(np.sqrt((box[2] - box[0]) * (box[3] - box[1])), smallest, largest)
        away = np.abs(grid[:, :2] - (box[:2] + box[2:]) / 2).max(axis=1) / grid[:, 2]
        steps = np.abs(np.log(grid[:, 3] / size)) / SIZE_STEP
        chosen = (away <= POSITIVE) & (steps <= 0.7)
        labels[(away <= CLOSE) & (steps <= 1.5) & (labels == 0)] = -1
        labels[chosen] = 1
        corner, stride = grid[chosen, :2], grid[chosen, 2:3]
        values[chosen, :4] = np.concatenate([corner - box[:2], box[2:] - corner], axis=1) / stride
        values[chosen, 4:] = ((points[None] - corner[:, None]) / stride[:, None]).reshape(-1, 10)
    return labels, values


def example(portrait: Portrait, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A portrait fitted into the square as insightface does it, but smaller, elsewhere, mirrored and shaded by
    chance."""
    image = decode(portrait.image)
    height, width = image.shape[:2]
    scale = SIDE / max(height, width) * rng.uniform(0.6, 1.0)
    small = cv2.resize(image, (max(1, int(width * scale)), max(1, int(height * scale))))
    left, top = (int(rng.integers(0, SIDE - extent + 1)) for extent in small.shape[1::-1])
    square = np.zeros((SIDE, SIDE, 3), np.uint8)
    square[top : top + small.shape[0], left : left + small.shape[1]] = shade(small, rng)
    boxes = portrait.boxes * scale + [left, top, left, top]
    landmarks = portrait.landmarks * scale + [left, top]
    if rng.random() < 0.5:
        square = square[:, ::-1]
        boxes = np.stack([SIDE - boxes[:, 2], boxes[:, 1], SIDE - boxes[:, 0], boxes[:, 3]], axis=1)
        landmarks = landmarks[:, MIRRORED] * [-1, 1] + [SIDE, 0]
    return square, boxes, landmarks


def detection_loss(outputs: list[list[Tensor]], labels: Tensor, values: Tensor, grid: Tensor) -> Tensor:
    """Focal loss of the scores, and distances of boxes and landmarks relative to the anchor's size."""
    scores, boxes, landmarks = (torch.cat(kind, dim=1) for kind in outputs)
    scores = scores[:, :, 0]
    chosen = labels == 1
    count = chosen.sum().clamp(min=1)
    entropy = F.binary_cross_entropy_with_logits(scores, (labels == 1).float(), reduction="none")
    missed = torch.where(chosen, 1 - scores.sigmoid(), scores.sigmoid()).detach()
    focal = (entropy * missed.square() * (labels >= 0)).sum() / count
    unit = (grid[:, 2] / grid[:, 3]).expand(labels.shape)[chosen][:, None]
    errors = [
        F.smooth_l1_loss(kind[chosen] * unit, wanted[chosen] * unit, beta=0.05, reduction="sum") / kind.shape[2]
        for kind, wanted in ((boxes, values[:, :, :4]), (landmarks, values[:, :, 4:]))
    ]
    return focal + 4 * (errors[0] + 2 * errors[1]) / count


def train_detector(
    portraits: Sequence[Portrait], seed: int, steps: int, batch: int = 24, rate: float = 4e-3
) -> Detector:
    """A detector trained on `steps` batches of portraits; without a face, with one, with two."""
    with seeded(seed, "detector"):
        detector = Detector().to(memory_format=torch.channels_last)
    grid = anchors()

    def batch_loss(step: int) -> Tensor:
        rng = keyed.generator(seed, "detector", step)
        images, labels, values = [], [], []
        for index in rng.integers(0, len(portraits), batch):
            image, boxes, landmarks = example(portraits[index], rng)
            images.append(image)
            for store, part in zip((labels, values), targets(boxes, landmarks, grid), strict=True):
                store.append(torch.from_numpy(part))
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().sub(127.5).div(128)
        outputs = detector(pixels.contiguous(memory_format=torch.channels_last))
        return detection_loss(outputs, torch.stack(labels), torch.stack(values), torch.from_numpy(grid))

    optimise([detector], batch_loss, steps, rate, "detector")
    return detector
