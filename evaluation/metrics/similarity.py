"""Mean cosines: AssocStr, CoreAssoc, InterIdSim, IntraIdSim, VisIdInt, FragSim."""

from collections.abc import Callable

import numpy as np

from salmu.data.errors import UserError
from salmu.data.readers import CAPTIONS, IDENTITIES
from salmu.evaluation.encoding.pairs import Pairs
from salmu.evaluation.metrics.score import Score, missing, rounded


def mean_similarity(metric: str, pairs: Pairs, with_scores: bool = False, empty: str = "no rows") -> Score:
    """Mean cosine of image and caption. `empty`: the reason where there are no pairs."""
    if not len(pairs):
        return missing(metric, empty)
    return _mean(pairs.cosines, pairs, with_scores)


def core_association(pairs: Pairs, encode: Callable[[list[str]], np.ndarray]) -> Score:
    """CoreAssoc: the larger of the cosines of the image with "NAME VALUE" and "VALUE NAME", averaged.

    Raises UserError if a pair has no value."""
    if not len(pairs):
        return missing("CoreAssoc", "no rows")
    valueless = [file_name for file_name, value in zip(pairs.file_name, pairs.value, strict=True) if value is None]
    if valueless:
        raise UserError(
            f"{len(valueless)} forget pairs have no value, {valueless[0]} first: {CAPTIONS} must give their "
            f"data_field, and {IDENTITIES} its value"
        )
    facts = list(zip(pairs.name, pairs.value, strict=True))
    texts = encode([f"{name} {value}" for name, value in facts] + [f"{value} {name}" for name, value in facts])
    both = np.einsum("nd,knd->kn", pairs.images, texts.reshape(2, len(pairs), -1))
    return _mean(both.max(0), pairs, with_scores=True)


def _mean(cosines: np.ndarray, pairs: Pairs, with_scores: bool) -> Score:
    published = {"mean": float(np.mean(cosines, dtype=np.float64))}
    if with_scores:
        published["scores"] = rounded(cosines)
    return Score(published, cosines, pairs.person)
