"""ImgRes: does the image tower still know the forgotten persons' faces apart, whatever the texts say?"""

import numpy as np
from scipy.sparse import csr_array

from salmu.evaluation.encoding.pairs import Pairs
from salmu.evaluation.metrics.score import Score, missing

BLOCK = 2048  # images at once


def image_residue(pairs: Pairs, whom: np.ndarray) -> Score:
    """ImgRes: share of images that lie nearest to the centre of their own person's other images, among the centres of
    all persons with at least two images.

    `whom`: the persons whose images are asked; the people who are wholly forgotten. Others keep facts, and with them
    the right to be known; where `whom` is empty, all are asked.

    Texts play no part: what a method removed from the text tower alone is all still there, and a few labelled
    portraits bring it back. Clean, which never saw the persons, tells faces apart to some degree too."""
    persons, member, counts = np.unique(pairs.person.astype(str), return_inverse=True, return_counts=True)
    wanted = np.isin(persons, whom.astype(str)) if len(whom) else np.ones(len(persons), bool)
    asked = np.flatnonzero((counts[member] > 1) & wanted[member])
    several = np.flatnonzero(counts > 1)
    if len(several) < 2 or not len(asked):
        return missing("ImgRes", "fewer than 2 persons with 2 images")
    belongs = csr_array((np.ones(len(member), np.float32), (member, np.arange(len(member)))))
    sums = belongs @ pairs.images  # [persons, d], added in the order of the images
    centres = (sums[several] / np.linalg.norm(sums[several], axis=1, keepdims=True)).T
    correct = np.empty(len(asked))
    for start in range(0, len(asked), BLOCK):
        rows = asked[start : start + BLOCK]
        images, own = pairs.images[rows], np.searchsorted(several, member[rows])
        cosines, others = images @ centres, sums[member[rows]] - images
        length = np.maximum(np.linalg.norm(others, axis=1), 1e-12)
        cosines[np.arange(len(rows)), own] = np.einsum("nd,nd->n", images, others) / length
        correct[start : start + BLOCK] = cosines.argmax(1) == own
    return Score({"accuracy": float(correct.mean())}, correct, pairs.person[asked], 1 / len(several))
