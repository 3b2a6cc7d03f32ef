"""ACS and ACS_matched: can a linear probe tell a model's true pairs from shuffled ones?"""

import numpy as np

from data.keyed import integer
from evaluation.metrics.matching import derangement, matched_partner
from evaluation.metrics.score import Score, missing
from evaluation.pairs import Pairs


def association_classification(pairs: Pairs, seed: int, matched: bool = False) -> Score:
    """ACS: accuracy of logistic regression on the standardised element-wise product of both embeddings, true pairs
    against pairs whose captions were shuffled; stratified halves for fitting and testing, both drawn by (seed, metric).

    `matched` (ACS_matched): shuffled among persons of the same gender and country where there are any, so that a name's
    gender and origin give nothing away. A pair and its shuffled form may lie in different halves, as published."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    metric, count = "ACS_matched" if matched else "ACS", len(pairs)
    if count < 4:
        return missing(metric, "fewer than 4 rows")
    levels = None
    if matched:
        partner, levels = matched_partner(pairs, seed, metric, "shuffle")
    else:
        partner = derangement(count, seed, metric, "shuffle")
    features = np.concatenate([pairs.images * pairs.texts, pairs.images * pairs.texts[partner]])
    labels = np.repeat([1, 0], count)
    fit, test = train_test_split(
        np.arange(2 * count), test_size=0.5, stratify=labels, random_state=integer(seed, metric, "halves", bits=32)
    )
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(features[fit], labels[fit])
    correct = (probe.predict(features[test]) == labels[test]).astype(float)
    published = {"acs_accuracy": float(correct.mean())} | ({"matched_by": levels} if levels else {})
    return Score(published, correct, np.tile(pairs.person, 2)[test], 0.5)
