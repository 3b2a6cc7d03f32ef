"""ACS, ACS_mean and ACS_matched: can a linear probe tell a model's true pairs from shuffled ones?"""

import numpy as np

from salmu.data.keyed import generator, integer
from salmu.evaluation.encoding.pairs import Pairs
from salmu.evaluation.metrics.matching import derangement, matched_partner
from salmu.evaluation.metrics.score import Score, missing

ROWS = 4000  # most pairs that a draw is fitted on, and as many that it is tested on


def association_classification(pairs: Pairs, seed: int) -> Score:
    """ACS: accuracy of logistic regression on the standardised element-wise product of both embeddings, true pairs
    against pairs whose captions were shuffled; stratified halves for fitting and testing, both drawn by seed.

    As published: one draw, in which a pair and its shuffled form, and the rows of one person, may lie in different
    halves. `mean_association` repairs both."""
    if len(pairs) < 4:
        return missing("ACS", "fewer than 4 rows")
    partner = derangement(len(pairs), seed, "ACS", "shuffle")
    correct, test = told_apart(pairs.images, pairs.texts, partner, integer(seed, "ACS", "halves", bits=32))
    return Score({"acs_accuracy": float(correct.mean())}, correct, np.tile(pairs.person, 2)[test], 0.5)


def mean_association(pairs: Pairs, seed: int, draws: int, matched: bool = False) -> Score:
    """ACS_mean: the same probe, fitted on half of the people and tested on the others, the mean of several draws.
    Captions are shuffled within each half, and of each half at most ROWS pairs are used.

    `matched` (ACS_matched): shuffled among people of the same gender and country where there are any, so that a name's
    gender and origin give nothing away."""
    metric = "ACS_matched" if matched else "ACS_mean"
    people, member, counts = np.unique(pairs.person.astype(str), return_inverse=True, return_counts=True)
    if len(people) < 4 or np.sort(counts)[-2:].sum() < 4:
        return missing(metric, "fewer than 4 people")
    correct, clusters, levels = [], [], {}
    for draw in range(draws):
        order = generator(seed, metric, "people", draw).permutation(len(people))
        known = np.isin(member, order[: len(people) // 2])
        halves = []
        for half, chosen in enumerate((known, ~known)):
            rows = generator(seed, metric, "rows", draw, half).permutation(np.flatnonzero(chosen))[:ROWS]
            part, key = pairs.rows(np.sort(rows)), (seed, metric, "shuffle", draw, half)
            if matched:
                partner, found = matched_partner(part, *key)
                levels = {level: levels.get(level, 0) + count for level, count in found.items()}
            else:
                partner = derangement(len(part), *key)
            halves.append((part, partner))
        (fit, fit_partner), (test, test_partner) = halves
        correct.append(_probed((fit.images, fit.texts, fit_partner), (test.images, test.texts, test_partner)))
        clusters.append(np.tile(test.person, 2))
    values = np.concatenate(correct)
    published = {"acs_accuracy": float(values.mean()), "draws": draws} | ({"matched_by": levels} if matched else {})
    return Score(published, values, np.concatenate(clusters), 0.5)


def told_apart(
    images: np.ndarray, texts: np.ndarray, partner: np.ndarray, halves: int
) -> tuple[np.ndarray, np.ndarray]:
    """Whether the probe is right (1) or not (0) about each tested row, and which rows those are: of the n true pairs
    followed by the n pairs with the captions of `partner`. `halves`: seed of the split. Needs n >= 2."""
    from sklearn.model_selection import train_test_split

    features, labels = _products(images, texts, partner)
    fit, test = train_test_split(np.arange(len(labels)), test_size=0.5, stratify=labels, random_state=halves)
    return (_fitted(features[fit], labels[fit]).predict(features[test]) == labels[test]).astype(float), test


def _probed(fit: tuple[np.ndarray, ...], test: tuple[np.ndarray, ...]) -> np.ndarray:
    """Whether a probe that is fitted on one half is right about each row of the other, true pairs first. A half:
    images, texts and the row of each pair's wrong caption."""
    features, labels = _products(*test)
    return (_fitted(*_products(*fit)).predict(features) == labels).astype(float)


def _products(images: np.ndarray, texts: np.ndarray, partner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Element-wise products of true and of wrong pairs [2n, d], and 1 or 0 for each."""
    return np.concatenate([images * texts, images * texts[partner]]), np.repeat([1, 0], len(images))


def _fitted(features: np.ndarray, labels: np.ndarray):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(features, labels)
