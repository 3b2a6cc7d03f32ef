"""All metrics but GenKnow, as array work on the embedded pairs of a dataset."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from salmu.data.readers import FRAGILE_SET
from salmu.data.schemas import DATA_FIELDS, OUTSIDERS
from salmu.evaluation.encoding.pairs import Pairs
from salmu.evaluation.encoding.settings import EvaluationSettings
from salmu.evaluation.metrics.association import association_auc
from salmu.evaluation.metrics.bootstrap import clustered_interval
from salmu.evaluation.metrics.matching import derangement
from salmu.evaluation.metrics.membership import deletion_trace, membership
from salmu.evaluation.metrics.paraphrase import paraphrased
from salmu.evaluation.metrics.probe import association_classification, mean_association
from salmu.evaluation.metrics.residue import image_residue
from salmu.evaluation.metrics.retrieval import retrieval_failure, swapped_rank
from salmu.evaluation.metrics.score import Score, possible
from salmu.evaluation.metrics.similarity import core_association, mean_similarity
from salmu.evaluation.metrics.zero_shot import identity_classification

NO_FRAGILE_SET = f"{FRAGILE_SET} names no rows; a run names them once its models are trained"
DEMOGRAPHICS = ("gender", "age_group", "country")
BY_ROW = ("RetFail", "AssocStr", "CoreAssoc", "AssocAUC")  # metrics with one value for each forget pair, in their order


def measure(
    settings: EvaluationSettings,
    pairs: dict[str, Pairs],
    identities: Mapping[str, dict],
    encode: Callable[[list[str]], np.ndarray],
) -> tuple[dict[str, Score], dict[str, Any]]:
    """The scores by metric, and what is broken down: `per_attribute`, `per_demographic`, `mismatched_similarity`.

    `pairs`: those of every split and derived split of a dataset, and of outsiders where it has them (see Dataset).
    `encode`: texts -> embeddings."""
    forget, outsiders, seed = pairs["forget"], pairs.get(OUTSIDERS), settings.seed
    scores = {
        "RetFail": retrieval_failure(forget, pairs["retain_disjoint"], settings.retrieval_pool, seed),
        "AssocStr": mean_similarity("AssocStr", forget, with_scores=True),
        "ACS": association_classification(forget, seed),
        "IdZSC": identity_classification(pairs["forget_identity"], encode),
        "CoreAssoc": core_association(forget, encode),
        "InterIdSim": mean_similarity("InterIdSim", pairs["holdout_identity"]),
        "IntraIdSim": mean_similarity("IntraIdSim", pairs["holdout_association"]),
        "VisIdInt": mean_similarity("VisIdInt", pairs["retain_joint"]),
        "FragSim": mean_similarity("FragSim", pairs["fragile_set"], empty=NO_FRAGILE_SET),
        "ACS_mean": mean_association(forget, seed, settings.probe_draws),
        "ACS_matched": mean_association(forget, seed, settings.probe_draws, matched=True),
        "AssocAUC": association_auc(forget, seed),
        "ImgRes": image_residue(forget, pairs["forget_identity"].person),
        "DeletionTrace": deletion_trace(forget, outsiders, pairs["retain_synth"].images),
        "Membership": membership(forget, outsiders),
    }
    for metric, split in (("InterIdMRR", "holdout_identity"), ("IntraIdMRR", "holdout_association")):
        others = (pairs["retain_disjoint"], settings.retrieval_pool, seed)
        scores[metric] = retrieval_failure(pairs[split], *others, metric)
    known = {text for part in pairs.values() for text in part.text}
    scores |= paraphrased(forget, known, settings.retrieval_pool, seed, encode)
    ranked = {}
    for metric, part in (("ValueMRR", "value"), ("NameMRR", "name")):
        scores[metric], ranked[metric] = swapped_rank(
            forget, part, identities, settings.swapped_captions, settings.swapped_rows, seed, metric, encode
        )
    tables = _Tables(settings, pairs, scores, ranked["ValueMRR"])
    return scores, {
        "mismatched_similarity": _mismatched(forget, seed),
        "per_attribute": [row for field in DATA_FIELDS if (row := tables.row("data_field", "field", field))],
        "per_demographic": {
            group: [
                row
                for value in sorted({str(value) for value in getattr(forget, group)} - {"None"})
                if (row := tables.row("group", group, value))
            ]
            for group in DEMOGRAPHICS
        },
    }


class _Tables:
    """Rows of breakdown tables: metrics of the pairs that have one value in one column, with intervals."""

    def __init__(self, settings: EvaluationSettings, pairs: dict[str, Pairs], scores: dict[str, Score], value_rows):
        self.settings, self.forget, self.holdout = settings, pairs["forget"], pairs["holdout_identity"]
        self.scores, self.value_rows = scores, value_rows

    def row(self, title: str, column: str, value: str) -> dict[str, Any] | None:
        """None where no forget pair has the value. Metrics without rows are null."""
        chosen = getattr(self.forget, column) == value
        if not chosen.any():
            return None
        rows = {metric: chosen for metric in BY_ROW if len(self.scores[metric].values) == len(chosen)}
        rows |= {"ValueMRR": chosen[self.value_rows], "InterIdSim": getattr(self.holdout, column) == value}
        found: dict[str, Any] = {title: value, "rows": int(chosen.sum())}
        for metric, which in rows.items():
            score = self.scores[metric]
            values, people = score.values[which], score.clusters[which]
            found[metric] = float(values.mean()) if len(values) else None
            key = (self.settings.seed, "bootstrap", metric, column, value)
            drawn = clustered_interval(values, people, *key, replicates=self.settings.bootstrap_replicates)
            bounds = possible(metric, drawn)
            found |= {f"{metric}_low": bounds and bounds[0], f"{metric}_high": bounds and bounds[1]}
        return found


def _mismatched(forget: Pairs, seed: int) -> float | None:
    """Mean cosine of forget images with shuffled forget captions: the part of AssocStr that is style, not
    association."""
    if len(forget) < 2:
        return None
    partner = derangement(len(forget), seed, "mismatched")
    return float(np.einsum("nd,nd->n", forget.images, forget.texts[partner]).mean())
