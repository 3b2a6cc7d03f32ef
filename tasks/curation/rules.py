"""What makes a portrait or an identity fit to be kept: named rules in a fixed order, each a score and a threshold."""

from typing import Any, NamedTuple

from pydantic import Field, field_validator

from salmu.data.settings import Settings as Base
from salmu.data.settings import StageSettings


class Rule(NamedTuple):
    """A portrait is dropped when its score is below the threshold (`at_most`: above it); one without a score never is.
    The threshold stands in a setting, or is 1."""

    name: str
    score: str  # what it is, for the table
    setting: str | None = None
    at_most: bool = False
    needs: str = ""  # what must have been measured


# In this order; the first that applies is the reason.
RULES = (
    Rule("damaged", "1 if the picture can be decoded"),
    Rule("too_dark", "mean luma", "min_brightness"),
    Rule("no_face", "number of faces"),
    Rule("several_faces", "number of faces", "max_faces", at_most=True),
    Rule("low_detection_score", "detector's score", "min_detection_score"),
    Rule("not_the_anchor", "cosine to the anchor's face embedding", "min_anchor_similarity"),
    Rule(
        "not_the_anchor_to_another", "cosine to the anchor by a second recogniser", "min_second_similarity",
        needs="analysis.second_faces",
    ),
    Rule("wrong_gender", "support of the anchor's gender", "min_gender_support", needs="a voter on gender"),
    Rule("wrong_age", "support of age groups near the anchor's", "min_age_support", needs="a voter on age_group"),
    Rule("wrong_region", "support of the anchor's region", "min_region_support", needs="a voter on region"),
    Rule("not_a_photo", "zero-shot: a photo", "min_photo", needs="the question medium"),
    Rule("occluded", "zero-shot: a face in clear sight", "min_clear", needs="the question occlusion"),
    Rule("poor_quality", "zero-shot: a sharp picture", "min_sharp", needs="the question quality"),
    Rule("unsafe", "zero-shot: safe", "min_safe", needs="the question unsafe"),
    Rule("several_people", "zero-shot: one person", "min_one_person", needs="the question people"),
    Rule(
        "near_duplicate", "CLIP cosine to a better portrait of the identity", "max_portrait_similarity", at_most=True,
        needs="CLIP embeddings",
    ),
    Rule("outlier", "cosine to the centre of the identity's other good portraits", "min_centre_similarity"),
)  # fmt: skip
IDENTITY_RULES = (
    Rule("too_few_portraits", "number of good portraits", "min_portraits"),
    Rule(
        "contradictory_demographics", "share of its faces that the voters contradict", "max_contradictory_share",
        at_most=True, needs="a voter",
    ),
    Rule("incoherent", "mean cosine of its good portraits to their centre", "min_coherence"),
    Rule(
        "like_another_identity", "cosine between its centre and that of a better identity", "max_identity_similarity",
        at_most=True,
    ),
)  # fmt: skip
SURPLUS = "surplus"
REASONS = (*(rule.name for rule in (*RULES, *IDENTITY_RULES)), SURPLUS)
FOR_ITSELF = {rule.name for rule in RULES}  # reasons that lie in the portrait, not in its identity
# the zero-shot questions that answer one rule each; demographics are put to the vote
ZERO_SHOT = {
    "not_a_photo": "medium", "occluded": "occlusion", "poor_quality": "quality", "unsafe": "unsafe",
    "several_people": "people",
}  # fmt: skip
VOTED = {"wrong_gender": "gender", "wrong_age": "age_group", "wrong_region": "region"}
IMPOSTOR_SCORES = ("not_the_anchor", "outlier")  # rules of identity, with impostors of the same scale
CALIBRATED = tuple(rule.name for rule in RULES if rule.setting and not rule.at_most)


class Calibration(Base):
    """Thresholds that come from the run's own measurements instead of being given."""

    false_reject_rate: float = Field(
        0.01, gt=0, lt=0.5, description="Share of good portraits that each calibrated rule may drop."
    )
    rules: tuple[str, ...] = Field(
        IMPOSTOR_SCORES,
        description="Rules with a calibrated threshold. For those of identity the rate is of the right person's "
        f"portraits; for others it bounds the share of all that reach the rule. Possible: {', '.join(CALIBRATED)}.",
    )

    @field_validator("rules")
    @classmethod
    def _known(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := set(rules) - set(CALIBRATED):
            raise ValueError(f"no rule with a score: {', '.join(sorted(unknown))}; known: {', '.join(CALIBRATED)}")
        return rules


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
    min_second_similarity: float | None = Field(
        None,
        ge=-1,
        le=1,
        description="not_the_anchor_to_another: cosine to the anchor by analysis.second_faces below this; null: no "
        "such rule.",
    )
    votes_needed: int = Field(
        2,
        ge=1,
        description="Voters (zero-shot, FairFace) that must contradict the anchor's label for a portrait to be dropped "
        "as wrong_gender, wrong_age or wrong_region; if fewer voted, all of them.",
    )
    min_gender_support: float = Field(
        0.1, ge=0, le=1, description="wrong_gender: a voter contradicts if it gives the anchor's gender less than this."
    )
    min_age_support: float = Field(
        0.2,
        ge=0,
        le=1,
        description="wrong_age: a voter contradicts if it gives the age groups near the anchor's less than this.",
    )
    age_tolerance: int = Field(2, ge=0, le=5, description="wrong_age: this many age groups up or down count as near.")
    min_region_support: float = Field(
        0.02,
        ge=0,
        le=1,
        description="wrong_region: a voter contradicts if it gives the anchor's region less than this.",
    )
    min_photo: float = Field(0.1, ge=0, le=1, description="not_a_photo: probability of a photo below this.")
    min_clear: float = Field(0.1, ge=0, le=1, description="occluded: probability of a clearly visible face below this.")
    min_sharp: float = Field(0.1, ge=0, le=1, description="poor_quality: probability of a sharp picture below this.")
    min_safe: float = Field(0.5, ge=0, le=1, description="unsafe: probability that it is safe below this.")
    min_one_person: float = Field(
        0.05, ge=0, le=1, description="several_people: probability of exactly one person below this."
    )
    max_portrait_similarity: float = Field(
        0.999, ge=-1, le=1, description="near_duplicate: CLIP cosine to a better portrait of the identity above this."
    )
    min_centre_similarity: float = Field(
        0.45, ge=-1, le=1, description="outlier: cosine to the centre of the identity's good portraits."
    )
    calibration: Calibration | None = Field(
        None, description="Thresholds from the run's own measurements, at a stated false reject rate; none: as given."
    )
    min_portraits: int = Field(10, ge=1, description="too_few_portraits: an identity needs this many good ones.")
    max_contradictory_share: float = Field(
        0.5, ge=0, le=1, description="contradictory_demographics: share of the anchor's faces contradicted above this."
    )
    min_coherence: float = Field(
        0.5, ge=-1, le=1, description="incoherent: mean cosine of the good portraits to their centre below this."
    )
    max_identity_similarity: float = Field(
        0.8, ge=-1, le=1, description="like_another_identity: cosine of the centres of two identities above this."
    )
    identities: int = Field(
        48, ge=1, description="Identities chosen for the sensitive set, balanced over gender, age group and region."
    )
    retain_identities: int = Field(12, ge=0, description="More identities, for the retain set.")

    def fingerprint(self) -> dict[str, Any]:
        """Without a second opinion, that of the runs before there was one."""
        values = super().fingerprint()
        if self.min_second_similarity is None:
            del values["min_second_similarity"]
        return values


def threshold(rule: Rule, settings: Settings) -> float:
    """The threshold that is given; -1, which drops nothing, for a cosine that is not asked."""
    given = 1 if rule.setting is None else getattr(settings, rule.setting)
    return -1 if given is None else given
