"""ACS: can a linear probe tell a model's true pairs from shuffled ones?"""

import numpy as np

from data.keyed import generator, integer
from evaluation.metrics.score import Score, missing
from evaluation.pairs import Pairs


def derangement(count: int, *key) -> np.ndarray:
    """A permutation of `count` >= 2 items that leaves none in place: one random cycle, drawn by `key`."""
    order = generator(*key).permutation(count)
    partner = np.empty(count, np.int64)
    partner[order] = np.roll(order, -1)
    return partner


def association_classification(pairs: Pairs, seed: int) -> Score:
    """ACS: accuracy of logistic regression on the standardised element-wise product of both embeddings, true pairs
    against pairs whose captions were shuffled; stratified halves for fitting and testing, both drawn by (seed,
    "ACS")."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    count = len(pairs)
    if count < 4:
        return missing("ACS", "fewer than 4 rows")
    shuffled = pairs.texts[derangement(count, seed, "ACS", "shuffle")]
    features = np.concatenate([pairs.images * pairs.texts, pairs.images * shuffled])
    labels = np.repeat([1, 0], count)
    fit, test = train_test_split(
        np.arange(2 * count), test_size=0.5, stratify=labels, random_state=integer(seed, "ACS", "halves", bits=32)
    )
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(features[fit], labels[fit])
    correct = (probe.predict(features[test]) == labels[test]).astype(float)
    return Score({"acs_accuracy": float(correct.mean())}, correct, np.tile(pairs.person, 2)[test], 0.5)
