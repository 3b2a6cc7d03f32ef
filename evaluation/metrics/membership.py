"""MIA: does a threshold on the cosine tell the pairs that were trained on from pairs that never were?"""

import numpy as np

from salmu.evaluation.encoding.pairs import Pairs
from salmu.evaluation.metrics.matching import matched_partner
from salmu.evaluation.metrics.score import Score, missing

FALSE_POSITIVES = 0.01


def membership_inference(pairs: Pairs, seed: int) -> Score:
    """MIA: area under the ROC curve of the cosine, members against non-members; no shadow models (the cosine-similarity
    attack of Ko et al., ICCV 2023).

    Members are the forget pairs. Non-members are the same images with the caption of another person of the same gender
    and country (see `matched_partner`): pairs that no model of the benchmark has seen, with images and captions of the
    very same distribution. 0.5: nothing to tell; far below 0.5 tells as much as far above. `values` are the influence
    of each row on the area (DeLong et al. 1988: both placements minus the area), so that their mean is the area and
    their spread its uncertainty."""
    if len(pairs) < 4:
        return missing("MIA", "fewer than 4 rows")
    partner, levels = matched_partner(pairs, seed, "MIA")
    members = pairs.cosines.astype(np.float64)
    strangers = np.einsum("nd,nd->n", pairs.images, pairs.texts[partner]).astype(np.float64)
    beaten, beating = share_below(members, strangers), 1 - share_below(strangers, members)
    area = float(beaten.mean())
    threshold = np.sort(strangers)[-1 - int(FALSE_POSITIVES * len(strangers))]
    published = {
        "AUC": area,
        f"TPR@{FALSE_POSITIVES:.0%}FPR": float(np.mean(members > threshold)),
        "matched_by": levels,
    }
    return Score(published, beaten + beating - area, pairs.person, 0.5)


def share_below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Share of `others` that lie below each value; equal ones count half."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / (2 * len(ordered))
