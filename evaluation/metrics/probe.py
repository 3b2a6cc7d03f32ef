"""ACS and ACS_matched: can a linear probe tell a model's true pairs from shuffled ones?"""

import numpy as np

from salmu.data.keyed import integer
from salmu.evaluation.encoding.pairs import Pairs
from salmu.evaluation.metrics.matching import derangement, matched_partner
from salmu.evaluation.metrics.score import Score, missing


def association_classification(pairs: Pairs, seed: int, matched: bool = False) -> Score:
    """ACS: accuracy of logistic regression on the standardised element-wise product of both embeddings, true pairs
    against pairs whose captions were shuffled; stratified halves for fitting and testing, both drawn by (seed, metric).

    `matched` (ACS_matched): shuffled among persons of the same gender and country where there are any, so that a name's
    gender and origin give nothing away. A pair and its shuffled form may lie in different halves, as published."""
    metric, count = "ACS_matched" if matched else "ACS", len(pairs)
    if count < 4:
        return missing(metric, "fewer than 4 rows")
    levels = None
    if matched:
        partner, levels = matched_partner(pairs, seed, metric, "shuffle")
    else:
        partner = derangement(count, seed, metric, "shuffle")
    halves = integer(seed, metric, "halves", bits=32)
    correct, test = told_apart(pairs.images, pairs.texts, partner, halves)
    published = {"acs_accuracy": float(correct.mean())} | ({"matched_by": levels} if levels else {})
    return Score(published, correct, np.tile(pairs.person, 2)[test], 0.5)


def told_apart(
    images: np.ndarray, texts: np.ndarray, partner: np.ndarray, halves: int
) -> tuple[np.ndarray, np.ndarray]:
    """Whether the probe is right (1) or not (0) about each tested row, and which rows those are: of the n true pairs
    followed by the n pairs with the captions of `partner`. `halves`: seed of the split. Needs n >= 2."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = np.concatenate([images * texts, images * texts[partner]])
    labels = np.repeat([1, 0], len(images))
    fit, test = train_test_split(np.arange(len(labels)), test_size=0.5, stratify=labels, random_state=halves)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(features[fit], labels[fit])
    return (probe.predict(features[test]) == labels[test]).astype(float), test
