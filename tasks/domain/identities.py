"""Are the identities diverse within and apart from each other? Distances and similarities of pairs of portraits."""

from typing import Any, NamedTuple

import numpy as np

from salmu.data.keyed import generator
from salmu.tasks.domain.sample import Sample

Row = dict[str, Any]
ALIKE = 0.02  # CLIP distance below which two portraits are nearly one


class Pairs(NamedTuple):
    """Pairs of portraits, of one identity and of two."""

    within: np.ndarray  # [n, 2] rows
    between: np.ndarray  # [m, 2] rows


def draw_pairs(sample: Sample, most: int, seed: int) -> Pairs:
    """Up to `most` pairs of each kind, drawn by key."""
    rng = generator(seed, "domain", "portrait pairs")
    places = [np.flatnonzero(sample.person == person) for person in np.unique(sample.person)]
    within = [rows[np.stack(np.triu_indices(len(rows), 1), axis=1)] for rows in places]
    within = np.concatenate([np.zeros((0, 2), int), *within])
    if len(within) > most:
        within = within[np.sort(rng.choice(len(within), most, replace=False))]
    between = rng.integers(0, max(len(sample.person), 1), (most if len(places) > 1 else 0, 2))
    return Pairs(within, between[sample.person[between[:, 0]] != sample.person[between[:, 1]]])


def cosines(embeddings: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Of unit embeddings [n, d] at pairs [m, 2] of rows, some thousands at a time."""
    parts = np.array_split(pairs, len(pairs) // 8192 + 1)
    return np.concatenate([(embeddings[part[:, 0]] * embeddings[part[:, 1]]).sum(axis=1) for part in parts])


def diversity(sample: Sample, pairs: Pairs) -> tuple[list[Row], dict[str, np.ndarray]]:
    """CLIP distances (1 - cosine) within and between identities: a table and the distances."""
    distances = {
        "within an identity": 1 - cosines(sample.pictures, pairs.within),
        "between identities": 1 - cosines(sample.pictures, pairs.between),
    }
    table = [
        {"pairs": name, "number": len(values)}
        | {f"{level} %": round(float(np.percentile(values, level)), 4) for level in (5, 50, 95)}
        | {f"closer than {ALIKE}": f"{(values < ALIKE).mean():.2%}"}
        for name, values in distances.items()
        if len(values)
    ]
    return table, distances


class Separation(NamedTuple):
    genuine: np.ndarray  # similarities of two portraits of one identity
    impostor: np.ndarray  # of two identities
    false_accepts: np.ndarray  # the ROC curve: rates at falling thresholds
    true_accepts: np.ndarray
    d_prime: float  # distance of the means in root mean square deviations
    equal_error_rate: float
    accepted_at: dict[float, float]  # false accept rate -> true accept rate


def separation(sample: Sample, pairs: Pairs, rates: tuple[float, ...] = (1e-2, 1e-3)) -> Separation | None:
    """How well face similarity tells pairs of one identity from pairs of two; None without both kinds."""
    from sklearn.metrics import roc_curve

    genuine, impostor = cosines(sample.faces, pairs.within), cosines(sample.faces, pairs.between)
    if not len(genuine) or not len(impostor):
        return None
    truth = np.repeat([1, 0], [len(genuine), len(impostor)])
    false, true, _ = roc_curve(truth, np.concatenate([genuine, impostor]))
    spread = np.sqrt((genuine.var() + impostor.var()) / 2)
    place = int(np.argmin(np.abs(false - (1 - true))))
    return Separation(
        genuine,
        impostor,
        false,
        true,
        float((genuine.mean() - impostor.mean()) / max(spread, 1e-9)),
        float((false[place] + 1 - true[place]) / 2),
        {rate: float(true[false <= rate].max()) for rate in rates},
    )
