"""AssocAUC: does a threshold on the cosine tell own captions from those of other people, of the same images?"""

import numpy as np

from salmu.evaluation.encoding.pairs import Pairs
from salmu.evaluation.metrics.areas import share_below
from salmu.evaluation.metrics.matching import matched_partner
from salmu.evaluation.metrics.score import Score, missing

FALSE_POSITIVES = 0.01


def association_auc(pairs: Pairs, seed: int) -> Score:
    """AssocAUC: area under the ROC curve of the cosine, forget pairs against swapped ones.

    Swapped pairs are the same images with the caption of another person of the same gender and country (see
    `matched_partner`): pairs that no model of the benchmark has seen. It is a test of association, not of membership,
    though the statistic is that of a cosine-similarity attack (Ko et al., ICCV 2023): every image and every caption was
    trained on, only their combination was not. 0.5: nothing to tell; far below 0.5 tells as much as far above.

    `values` are the influence of each row on the area (DeLong et al. 1988: both placements minus the area), so that
    their mean is the area and their spread its uncertainty."""
    if len(pairs) < 4:
        return missing("AssocAUC", "fewer than 4 rows")
    partner, levels = matched_partner(pairs, seed, "AssocAUC")
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
