"""What an attack found, as the result file holds it."""

from typing import Any, NamedTuple

import numpy as np

from salmu.evaluation.metrics.bootstrap import by_cluster, interval
from salmu.evaluation.metrics.score import rounded


class Outcome(NamedTuple):
    """The number of an attack is the mean of `values`; without values there was nothing to attack, and `about` says
    why (`reason`)."""

    values: np.ndarray  # one a row that was asked
    people: np.ndarray  # the person that each row is about
    chance: float | None  # expected number of an attacker who learns nothing from the model
    about: dict[str, Any]  # what it was run with, and what else it found


def nothing(reason: str) -> Outcome:
    """The outcome of an attack that could not be run."""
    return Outcome(np.zeros(0), np.zeros(0), None, {"reason": reason})


def document(outcome: Outcome, *key, replicates: int, share: bool = False) -> dict[str, Any]:
    """An outcome for the result file: `value` with its 95 % interval, and sums and rows by person, from which
    differences of models are drawn in pairs. The draws are those of `key`. `share`: neither end of the interval lies
    outside 0 to 1, as no value does."""
    if not len(outcome.values):
        return {"value": None, **outcome.about}
    found = by_cluster(outcome.values, outcome.people)
    drawn = interval(found, *key, replicates=replicates)
    if share and drawn:
        drawn = np.clip(drawn, 0, 1).tolist()
    return {
        "value": found.mean,
        "interval": list(drawn) if drawn else None,
        "chance": outcome.chance,
        **outcome.about,
        "clusters": {"sums": rounded(found.sums), "rows": found.rows.tolist()},
    }
