"""Few-shot: somebody who has a few portraits of a person, from anywhere, looks for more of the same person.

Texts play no part. A method that changed the text tower alone leaves the image tower as it was."""

import numpy as np

from salmu.data.keyed import generator
from salmu.evaluation.attacks.outcome import Outcome, nothing
from salmu.evaluation.encoding.pairs import Pairs


def few_shot(forget: Pairs, shots: int, draws: int, seed: int) -> Outcome:
    """Share of portraits that lie nearest to the mean of `shots` labelled portraits of their own person, among those of
    all forgotten people with more portraits than that; the labelled ones are not asked.

    The labelled portraits are drawn `draws` times, the same for every model. Those of fewer shots are among those of
    more."""
    people, member, counts = np.unique(forget.person.astype(str), return_inverse=True, return_counts=True)
    enough = np.flatnonzero(counts > shots)
    if len(enough) < 2:
        return nothing(f"fewer than 2 people with more than {shots} portraits")
    rows = np.flatnonzero(np.isin(member, enough))
    images, own = forget.images[rows], np.searchsorted(enough, member[rows])
    starts = np.searchsorted(np.sort(own), np.arange(len(enough)))
    values, asked_people = [], []
    for draw in range(draws):
        lot = generator(seed, "few_shot", draw).random(len(forget))[rows]
        order = np.lexsort((lot, own))
        labelled = order[(starts[:, None] + np.arange(shots)).ravel()]  # the first of each person
        means = images[labelled].reshape(len(enough), shots, -1).mean(1)
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        asked = np.setdiff1d(np.arange(len(rows)), labelled)
        values.append((images[asked] @ means.T).argmax(1) == own[asked])
        asked_people.append(people[enough[own[asked]]])
    about = {"shots": shots, "draws": draws, "people": len(enough)}
    return Outcome(np.concatenate(values).astype(float), np.concatenate(asked_people), 1 / len(enough), about)
