"""The decisions of curation over a whole run: each portrait's reason, each identity's, and how each rule fared."""

from typing import Any, NamedTuple

import numpy as np

from salmu.data.keyed import generator
from salmu.data.store import StageView
from salmu.tasks.curation.calibration import false_accept_rate, false_reject_rate, threshold_at
from salmu.tasks.curation.measured import Measured, embeddings, load
from salmu.tasks.curation.rules import IDENTITY_RULES, IMPOSTOR_SCORES, RULES, VOTED, Rule, Settings, threshold

IMPOSTORS = 16  # other identities that a portrait is held against
NOT_THE_ANCHOR = ("not_the_anchor", "not_the_anchor_to_another")
DEMOGRAPHICS = ["identity_id", "gender", "age_group", "region"]
Row = dict[str, Any]


class Decisions(NamedTuple):
    measured: Measured
    scores: dict[str, np.ndarray]  # rule -> [n], nan where not measured
    reasons: np.ndarray  # [n], name of the rule that dropped the portrait, or None
    twins: np.ndarray  # [n], row of the better portrait that it is most like, or -1
    verdicts: list[str | None]  # of each identity
    table: list[Row]  # how each rule fared


def decide(settings: Settings, upstream: dict[str, StageView]) -> Decisions:
    """Apply all rules to what analysis measured, in their order. No picture is read; embeddings a shard at a time."""
    measured = load(list(upstream["anchors"].rows(DEMOGRAPHICS)), upstream, settings)
    others = foreigners(measured.identities, settings.seed)
    left = np.ones(len(measured.names), bool)
    reasons = np.full(len(left), None, object)
    scores, table = dict(measured.scores), []

    def apply(rule: Rule, impostors: np.ndarray | None = None) -> None:
        score, impostors = scores[rule.name], impostors if impostors is not None and len(impostors) else None
        reached = left & ~np.isnan(score)
        limit, how = _limit(rule, settings, score[reached], impostors)
        broken = reached & ((score > limit) if rule.at_most else (score < limit))
        reasons[broken], left[broken] = rule.name, False
        table.append(_line(rule, limit, how, score[reached], int(broken.sum()), impostors))

    *alone, near_duplicate, outlier = RULES  # the last two need the identity's other portraits
    for rule in alone:
        if rule.name == "not_the_anchor":
            apply(rule, against_anchors(measured, left, others, upstream))
        elif rule.name in VOTED:
            apply(rule, _known(measured.foreign[rule.name][left]))
        else:
            apply(rule)
    contradicted = _contradicted(measured, reasons)
    scores[near_duplicate.name], twins = near_duplicates(measured, left, settings.max_portrait_similarity, upstream)
    apply(near_duplicate)
    scores[outlier.name], centres = centre_similarities(measured, left, upstream)
    apply(outlier, against_centres(measured, left, others, centres, upstream))
    verdicts = _judge_identities(measured, settings, left, scores[outlier.name], contradicted, centres, table)
    return Decisions(measured, scores, reasons, twins, verdicts, table)


def _limit(rule: Rule, settings: Settings, scores: np.ndarray, impostors: np.ndarray | None) -> tuple[float, str]:
    """The rule's threshold and how it was set."""
    if settings.calibration is None or rule.name not in settings.calibration.rules or not len(scores):
        return threshold(rule, settings), "given" if rule.setting else "fixed"
    rate = settings.calibration.false_reject_rate
    return threshold_at(rate, scores, impostors if rule.name in IMPOSTOR_SCORES else None), "calibrated"


def _line(rule: Rule, limit: float, how: str, scores: np.ndarray, dropped: int, impostors: np.ndarray | None) -> Row:
    """The rule's line in the table."""
    line = {
        "rule": rule.name,
        "score": rule.score,
        "threshold": f"{'at most' if rule.at_most else 'at least'} {limit:.4g}",
        "set": how,
        "measured": len(scores),
        "dropped": dropped if len(scores) or not rule.needs else f"not measured: {rule.needs} is missing",
        "good dropped, estimated": "",
        "impostors let through": "",
    }
    if len(scores) and rule.setting and not rule.at_most:
        genuine = impostors if rule.name in IMPOSTOR_SCORES else None
        rate = float(false_reject_rate(limit, scores, genuine))
        line["good dropped, estimated"] = f"{rate:.2%}" if genuine is not None else f"at most {rate:.2%}"
    if impostors is not None:
        line["impostors let through"] = f"{false_accept_rate(limit, impostors):.3%} of {len(impostors)}"
    return line


def foreigners(identities: list[Row], seed: int) -> list[np.ndarray]:
    """For each identity the places of up to IMPOSTORS others, drawn by key: of the same gender and age group if there
    are any, else of the same gender, else of all."""
    kin = [((row["gender"], row["age_group"]), (row["gender"],), ()) for row in identities]  # nearest first
    groups: dict[tuple, list[int]] = {}
    for place, keys in enumerate(kin):
        for key in keys:
            groups.setdefault(key, []).append(place)
    chosen = []
    for place, row in enumerate(identities):
        nearest = next((groups[key] for key in kin[place] if len(groups[key]) > 1), [])
        pool = [other for other in nearest if other != place]
        rng = generator(seed, "curation", "impostors", row["identity_id"])
        chosen.append(rng.choice(pool, min(IMPOSTORS, len(pool)), replace=False) if pool else np.array([], int))
    return chosen


def against_anchors(measured: Measured, left: np.ndarray, others: list[np.ndarray], upstream) -> np.ndarray:
    """Cosines of the portraits that are left to the anchors of other identities."""
    anchors = np.array([row["face_embedding"] for row in upstream["anchors"].rows(["face_embedding"])], np.float32)
    return against_centres(measured, left, others, _unit(anchors), upstream)


def against_centres(
    measured: Measured, left: np.ndarray, others: list[np.ndarray], centres: np.ndarray, upstream
) -> np.ndarray:
    """Cosines of the portraits that are left to these unit vectors [identities, d] of other identities."""
    found = []
    for rows, faces in embeddings(measured, upstream["analysis"], "face_embedding"):
        foreign = centres[others[measured.identity[rows[0]]]]
        found.append((faces[left[rows]] @ foreign.T).ravel())
    return _known(np.concatenate(found)) if found else np.array([])


def near_duplicates(measured: Measured, left: np.ndarray, limit: float, upstream) -> tuple[np.ndarray, np.ndarray]:
    """For each portrait [n] that is left: cosine of its CLIP embedding to the most similar better one of its identity
    that stays, nan for the best; and the row of that one, else -1. Better: more like the anchor."""
    scores, twins = np.full(len(left), np.nan), np.full(len(left), -1)
    better = measured.scores["not_the_anchor"]
    for rows, pictures in embeddings(measured, upstream["analysis"], "clip_embedding"):
        fit = left[rows] & ~np.isnan(pictures).any(axis=1) if pictures.shape[1] else np.zeros(len(rows), bool)
        rows, pictures = rows[fit], pictures[fit]
        likeness = pictures @ pictures.T
        stay: list[int] = []
        for place in np.argsort(-better[rows], kind="stable"):
            if stay:
                twin = stay[int(np.argmax(likeness[place, stay]))]
                scores[rows[place]], twins[rows[place]] = likeness[place, twin], rows[twin]
            if not stay or scores[rows[place]] <= limit:
                stay.append(place)
    return scores, twins


def centre_similarities(measured: Measured, left: np.ndarray, upstream) -> tuple[np.ndarray, np.ndarray]:
    """Cosine [n] of each portrait with a face to the centre of its identity's good ones; a good one is compared with
    the centre of the others. And the unit centres [identities, d], nan for an identity without good portraits."""
    scores, centres = np.full(len(left), np.nan), None
    for rows, faces in embeddings(measured, upstream["analysis"], "face_embedding"):
        if centres is None:
            centres = np.full((len(measured.identities), faces.shape[1]), np.nan, np.float32)
        good = left[rows]
        if good.any():
            scores[rows] = leave_one_out(faces.astype(np.float64), good)
            centres[measured.identity[rows[0]]] = _unit(faces[good].mean(axis=0, keepdims=True))[0]
    return scores, np.full((len(measured.identities), 1), np.nan, np.float32) if centres is None else centres


def leave_one_out(faces: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Cosine [n] of unit embeddings [n, d] to the mean of the good ones; a good one is compared with the mean of the
    others."""
    total = faces[good].sum(axis=0)
    centres = total - faces * (good & (good.sum() > 1))[:, None]
    return (faces * centres).sum(axis=1) / np.maximum(np.linalg.norm(centres, axis=1), 1e-9)


def like_others(centres: np.ndarray, order: list[int], limit: float) -> np.ndarray:
    """For each identity [n]: the highest cosine of its unit centre to that of a better one that stays (nan for the best
    and for those not in `order`, which lists the identities from the best). Exact."""
    scores, stay = np.full(len(centres), np.nan), np.zeros(len(centres), bool)
    for place in order:
        if stay.any():
            scores[place] = (centres[stay] @ centres[place]).max()
        stay[place] = not scores[place] > limit
    return scores


def _judge_identities(
    measured: Measured,
    settings: Settings,
    left: np.ndarray,
    centre_similarity: np.ndarray,
    contradicted: np.ndarray,
    centres: np.ndarray,
    table: list[Row],
) -> list[str | None]:
    """The first identity rule that drops each identity, or None; adds the rules' lines to the table."""
    size = len(measured.identities)
    kept = np.bincount(measured.identity[left], minlength=size)
    with np.errstate(invalid="ignore"):
        coherence = np.bincount(measured.identity[left], centre_similarity[left], minlength=size) / kept
    verdicts = np.full(size, None, object)
    for rule, score in zip(IDENTITY_RULES, (kept.astype(float), contradicted, coherence, None), strict=True):
        limit = threshold(rule, settings)
        if score is None:
            best_first = sorted(
                np.flatnonzero(verdicts == None),  # noqa: E711  element by element
                key=lambda place: (-kept[place], -coherence[place], measured.identities[place]["identity_id"]),
            )
            score = like_others(centres, best_first, limit)
        reached = (verdicts == None) & ~np.isnan(score)  # noqa: E711
        broken = reached & ((score > limit) if rule.at_most else (score < limit))
        verdicts[broken] = rule.name
        line = _line(rule, limit, "given", score[reached], int(broken.sum()), None)
        table.append(line | {"good dropped, estimated": "", "impostors let through": ""})
    return verdicts.tolist()


def _contradicted(measured: Measured, reasons: np.ndarray) -> np.ndarray:
    """For each identity the share of its portraits with the anchor's face that a rule of demographics dropped or whose
    gender gets less than half of the support; nan where nobody voted."""
    faces = ~np.isin(
        reasons, ("damaged", "too_dark", "no_face", "several_faces", "low_detection_score", *NOT_THE_ANCHOR)
    )
    asked = np.any([~np.isnan(measured.scores[rule]) for rule in VOTED], axis=0) & faces
    against = asked & (np.isin(reasons, list(VOTED)) | (measured.scores["wrong_gender"] < 0.5))
    size = len(measured.identities)
    with np.errstate(invalid="ignore"):
        return np.bincount(measured.identity[against], minlength=size) / np.bincount(
            measured.identity[asked], minlength=size
        )


def _known(values: np.ndarray) -> np.ndarray:
    return values[~np.isnan(values)]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
