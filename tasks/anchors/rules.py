"""What makes a candidate fit to be an anchor: named rules in a fixed order, plain functions of what was measured."""

from typing import Any

from pydantic import Field

from salmu.data.settings import NOT_IN_FINGERPRINT, StageSettings
from salmu.tasks.balance import CELL
from salmu.tasks.devices import Device

Row = dict[str, Any]


class Settings(StageSettings):
    """Thresholds of the rules, and how many anchors are chosen."""

    count: int | None = Field(66, ge=1, description="Anchors to choose, in order; null: all that are fit.")
    min_detection_score: float = Field(
        0.6, ge=0, le=1, description="low_detection_score: the detector is less sure than this."
    )
    max_second_face: float = Field(
        0.2, ge=0, le=1, description="several_faces: the second face has at least this share of the largest one's area."
    )
    min_face_size: float = Field(
        64, ge=0, description="small_face: the face's shorter side in pixels of the source picture is below this."
    )
    max_yaw: float = Field(35, ge=0, le=90, description="turned_away: degrees to the left or right beyond this.")
    max_pitch: float = Field(45, ge=0, le=90, description="turned_away: degrees up or down beyond this.")
    max_roll: float = Field(30, ge=0, le=180, description="turned_away: degrees of lean beyond this.")
    min_sharpness: float = Field(
        30, ge=0, description="blurred: variance of the Laplacian of the face at 112 pixels below this."
    )
    require_labels: bool = Field(
        False,
        description="unknown_demographics: drop candidates whose gender, age group, region or adulthood is unknown.",
    )
    duplicate_similarity: float | None = Field(
        None,
        gt=-1,
        le=1,
        description="near_duplicate: cosine to a better candidate above this; unless given, from false_match_rate.",
    )
    false_match_rate: float = Field(
        1e-6, gt=0, le=0.01, description="near_duplicate: share of pairs of different people that may be taken for one."
    )
    device: Device = Field(
        "auto",
        description="Where embeddings are compared; the result is the same everywhere.",
        json_schema_extra=NOT_IN_FINGERPRINT,
    )


# In this order; the first that applies is the reason. Each: what it looks at, and row, settings -> drop it?
RULES = {
    "low_detection_score": (("detection_score",), lambda row, s: row["detection_score"] < s.min_detection_score),
    "several_faces": (
        ("second_face", "faces"),
        lambda row, s: row["faces"] > 1 and row["second_face"] >= s.max_second_face,
    ),
    "small_face": (("face_size",), lambda row, s: row["face_size"] < s.min_face_size),
    "turned_away": (
        ("yaw", "pitch", "roll"),
        lambda row, s: abs(row["yaw"]) > s.max_yaw or abs(row["pitch"]) > s.max_pitch or abs(row["roll"]) > s.max_roll,
    ),
    "blurred": (("sharpness",), lambda row, s: row["sharpness"] < s.min_sharpness),
    "not_adult": (("adult", "age"), lambda row, s: row["adult"] is False),
    "unknown_demographics": (
        (*CELL, "adult"),
        lambda row, s: s.require_labels and any(row[name] is None for name in (*CELL, "adult")),
    ),
}
NEAR_DUPLICATE, SURPLUS = "near_duplicate", "surplus"
REASONS = (*RULES, NEAR_DUPLICATE, SURPLUS)
MEASURES = list(dict.fromkeys(name for names, _ in RULES.values() for name in names))  # columns that the rules read


def broken_rule(row: Row, settings: Settings) -> tuple[str, str] | None:
    """The first rule that drops the candidate, with what it saw; or None."""
    for name, (seen, drops) in RULES.items():
        if drops(row, settings):
            return name, ", ".join(f"{column.replace('_', ' ')} {_shown(row[column])}" for column in seen)
    return None


def _shown(value: Any) -> str:
    return "unknown" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
