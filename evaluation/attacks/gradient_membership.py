"""Gradient-based membership: a model hardly wants to move for a pair that it was trained on.

After Nasr et al. (2019, arXiv:1812.00910), whose attacker holds the weights: the norm of the gradient of a pair's loss
in all weights is small for members. The pair's loss is the contrastive one, of its image among itself and neutral ones,
and of its caption likewise; the neutral pairs are the same for all."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salmu.data.keyed import generator
from salmu.data.readers import Dataset
from salmu.evaluation.attacks.decoded import decoded
from salmu.evaluation.attacks.outcome import Outcome, nothing
from salmu.evaluation.encoding.pairs import Pairs
from salmu.evaluation.metrics.membership import NO_OUTSIDERS, person_area
from salmu.evaluation.unlearning.losses import FROZEN, Head, head_of
from salmu.evaluation.unlearning.pair_streams import embeddings
from salmu.model_training.loading.clip import ClipModel

NEUTRAL = 256  # most neutral pairs that an image or a caption is set against


def gradient_membership(clip: ClipModel, dataset: Dataset, pairs: dict[str, Pairs], each: int, seed: int) -> Outcome:
    """Area under the ROC curve by which the gradients of a person's pairs tell a forgotten person from an outsider:
    minus the mean norm over `each` pairs of the person, drawn by the seed. 0.5: nothing to tell."""
    forget, outsiders, neutral = (pairs.get(name) for name in ("forget", "outsiders", "retain_disjoint"))
    if outsiders is None:
        return nothing(NO_OUTSIDERS)
    if not (len(forget) and len(outsiders) and len(neutral)):
        return nothing("no people to compare, or no neutral pairs")
    against = torch.from_numpy(neutral.images[:NEUTRAL]), torch.from_numpy(neutral.texts[:NEUTRAL])
    asked, scores = [], []
    for split, part in (("forget", forget), ("outsiders", outsiders)):
        rows = drawn(part.person, each, seed, split)
        asked.append(part.rows(rows))
        scores.append(-gradient_norms(clip, *decoded(clip, dataset, split, rows)[:2], *against))
    score = person_area("Membership", asked[0], scores[0], asked[1], scores[1])
    return Outcome(score.values, score.clusters, score.chance, {"pairs": each, "neutral": len(against[0])})


def drawn(person: np.ndarray, each: int, *key) -> np.ndarray:
    """Rows of at most `each` pairs of every person, ascending."""
    people, member = np.unique(person.astype(str), return_inverse=True)
    order = np.lexsort((generator(*key, "gradient_membership").random(len(person)), member))
    place = np.arange(len(order)) - np.searchsorted(member[order], np.arange(len(people)))[member[order]]
    return np.sort(order[place < each])


def gradient_norms(clip: ClipModel, pixels: Tensor, tokens: Tensor, images: Tensor, texts: Tensor) -> np.ndarray:
    """The norm of the gradient of each pair's loss [n]. `images`, `texts`: embeddings of neutral pairs [m, width]."""
    network: nn.Module = clip.network
    weights = [weight for name, weight in network.named_parameters() if name not in FROZEN]
    wanted = [weight.requires_grad for weight in weights]
    images, texts, head = images.to(clip.device), texts.to(clip.device), head_of(network)
    norms = []
    for weight in weights:
        weight.requires_grad_(True)
    for row in range(len(tokens)):
        image, text = embeddings(network, pixels[row : row + 1], tokens[row : row + 1], "fp32")
        by_image = first_of_all(head, head.logits(image, torch.cat([text, texts])))
        by_text = first_of_all(head, head.logits(text, torch.cat([image, images])))
        found = torch.autograd.grad((by_image + by_text) / 2, weights, allow_unused=True)
        norms.append(torch.stack([one.square().sum() for one in found if one is not None]).sum().sqrt().item())
    for weight, before in zip(weights, wanted, strict=True):
        weight.requires_grad_(before)
    return np.array(norms)


def first_of_all(head: Head, logits: Tensor) -> Tensor:
    """The model's loss for logits [1, m] of which the first alone is a pair, a scalar."""
    if head.bias is None:
        return F.cross_entropy(logits, torch.zeros(1, dtype=torch.long, device=logits.device))
    return -F.logsigmoid(logits[0, 0]) - F.logsigmoid(-logits[0, 1:]).sum()
