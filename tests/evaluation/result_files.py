"""Result files made by hand, with sums by person for paired intervals."""

import numpy as np

from salmu.evaluation.metrics.score import EXTENDED, PUBLISHED

PEOPLE = 50


def document(values: dict[str, float | None], **intervals) -> dict:
    """A result file with these headline numbers, by metric, and 95 % intervals."""
    made = {"efficacy": {}, "utility": {}, "extended": {"intervals": intervals}}
    for metric, value in values.items():
        if metric in EXTENDED:
            made["extended"][metric] = {EXTENDED[metric]: value}
        else:
            group, key, statistic = PUBLISHED[metric]
            made[group][key] = {statistic: value}
    return made


def clustered(made: dict, **means: float) -> dict:
    """The result file with 50 people of 4 rows each, whose values scatter widely and alike in every model."""
    scatter = 0.2 * np.sin(np.arange(PEOPLE))
    scatter -= scatter.mean()
    made["extended"]["clusters"] = {
        metric: {"sums": (4 * (mean + scatter)).tolist(), "rows": [4] * PEOPLE} for metric, mean in means.items()
    }
    return made
