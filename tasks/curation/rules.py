"""What makes a portrait or an identity fit to be kept: named rules in a fixed order, plain functions of what analysis
measured."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from pydantic import Field

from data.keyed import ranked
from data.schemas import AGE_GROUPS, GENDERS, REGIONS
from data.settings import StageSettings

Row = dict[str, Any]


class Settings(StageSettings):
    """Thresholds of the rules, and how many identities are chosen."""

    min_brightness: float = Field(0.08, ge=0, le=1, description="too_dark: mean luma below this.")
    max_faces: int = Field(1, ge=1, description="several_faces: more faces than this.")
    min_detection_score: float = Field(
        0.6, ge=0, le=1, description="low_detection_score: the detector is less sure than this."
    )
    min_anchor_similarity: float = Field(
        0.35, ge=-1, le=1, description="not_the_anchor: cosine to the anchor's embedding below this."
    )
    min_gender_score: float = Field(
        0.9, ge=0.5, le=1, description="wrong_gender: the label contradicts with at least this probability."
    )
    min_age_score: float = Field(
        0.8, ge=0, le=1, description="wrong_age: the label contradicts with at least this probability."
    )
    min_age_steps: int = Field(3, ge=1, le=5, description="wrong_age: age groups apart, at least.")
    min_centre_similarity: float = Field(
        0.45, ge=-1, le=1, description="outlier: cosine to the centre of the identity's good portraits."
    )
    min_portraits: int = Field(10, ge=1, description="too_few_portraits: an identity needs this many good ones.")
    identities: int = Field(
        48, ge=1, description="Identities chosen for the sensitive set, balanced over gender, age group and region."
    )
    retain_identities: int = Field(12, ge=0, description="Further identities, for the retain set.")


# In this order; the first that applies is the reason. Each: portrait's row, identity's row, settings -> drop it?
PORTRAIT_RULES = {
    "damaged": lambda row, identity, s: row["faces"] is None,
    "too_dark": lambda row, identity, s: row["brightness"] < s.min_brightness,
    "no_face": lambda row, identity, s: row["faces"] == 0,
    "several_faces": lambda row, identity, s: row["faces"] > s.max_faces,
    "low_detection_score": lambda row, identity, s: row["detection_score"] < s.min_detection_score,
    "not_the_anchor": lambda row, identity, s: row["anchor_similarity"] < s.min_anchor_similarity,
    "wrong_gender": lambda row, identity, s: (
        row["gender"] != identity["gender"] and row["gender_score"] >= s.min_gender_score
    ),
    "wrong_age": lambda row, identity, s: (
        row["age_group_score"] >= s.min_age_score
        and abs(AGE_GROUPS.index(row["age_group"]) - AGE_GROUPS.index(identity["age_group"])) >= s.min_age_steps
    ),
}
OUTLIER = "outlier"  # needs the identity's other portraits, so it comes after the rules above
IDENTITY_RULES = ("too_few_portraits", "contradictory_demographics")
SURPLUS = "surplus"
REASONS = (*PORTRAIT_RULES, OUTLIER, *IDENTITY_RULES, SURPLUS)


def portrait_reason(row: Row, identity: Row, settings: Settings) -> str | None:
    """The first rule that drops the portrait, or None."""
    return next((name for name, drops in PORTRAIT_RULES.items() if drops(row, identity, settings)), None)


def centre_similarities(embeddings: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Cosine [n] of unit embeddings [n, d] to the mean of the good ones; a good one is compared with the mean of the
    others."""
    total = embeddings[good].sum(axis=0)
    centres = total - embeddings * (good & (good.sum() > 1))[:, None]
    return (embeddings * centres).sum(axis=1) / np.maximum(np.linalg.norm(centres, axis=1), 1e-9)


def judge_identity(
    rows: list[Row], identity: Row, settings: Settings
) -> tuple[list[tuple[str | None, float | None]], str | None]:
    """For each portrait of an identity (reason or None, similarity to the centre or None); and the identity's own
    reason, or None."""
    reasons = [portrait_reason(row, identity, settings) for row in rows]
    similarities: list[float | None] = [None] * len(rows)
    seen = [index for index, row in enumerate(rows) if row["face_embedding"] is not None]
    good = np.array([reasons[index] is None for index in seen], bool)
    if good.any():
        found = centre_similarities(np.array([rows[index]["face_embedding"] for index in seen], np.float64), good)
        for index, similarity in zip(seen, found.tolist(), strict=True):
            similarities[index] = similarity
            if reasons[index] is None and similarity < settings.min_centre_similarity:
                reasons[index] = OUTLIER
    kept = [row for row, reason in zip(rows, reasons, strict=True) if reason is None]
    verdict = None
    if len(kept) < settings.min_portraits:
        verdict = "too_few_portraits"
    elif 2 * sum(row["gender"] != identity["gender"] for row in kept) > len(kept):
        verdict = "contradictory_demographics"
    return list(zip(reasons, similarities, strict=True)), verdict


def choose_balanced(identities: Iterable[Row], count: int, *salt) -> list[str]:
    """Ids of up to `count` identities, spread evenly over genders, age groups and regions.

    One by one, from the cell (gender, age group, region) whose three values are rarest so far, each in proportion to
    its number of classes; who comes first in a cell, and which of equal cells comes first, is drawn by the salt."""
    cells: dict[tuple, list[str]] = {}
    for identity in identities:
        cells.setdefault((identity["gender"], identity["age_group"], identity["region"]), []).append(
            identity["identity_id"]
        )
    waiting = {cell: ranked(cells[cell], *salt)[::-1] for cell in ranked(cells, *salt)}
    classes = (len(GENDERS), len(AGE_GROUPS), len(REGIONS))
    taken: Counter = Counter()
    chosen: list[str] = []
    while waiting and len(chosen) < count:
        cell = min(
            waiting,
            key=lambda cell: sum(
                number * taken[axis, value] for axis, (number, value) in enumerate(zip(classes, cell, strict=True))
            ),
        )
        chosen.append(waiting[cell].pop())
        taken.update(enumerate(cell))
        if not waiting[cell]:
            del waiting[cell]
    return chosen
