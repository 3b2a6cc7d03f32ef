"""How models are measured."""

from typing import Literal

from pydantic import Field

from salmu.data.settings import NOT_IN_FINGERPRINT, Settings, StageSettings


class RecoverySettings(Settings):
    """Relearning: how fast what was forgotten comes back. It costs some training, so it is off by default."""

    steps: int = Field(0, ge=0, description="Steps of fine-tuning; 0: no relearning. 20 to 100 are informative.")
    sources: tuple[Literal["forget", "retain"], ...] = Field(
        ("forget",),
        min_length=1,
        description="What is learnt again: pairs of a few forgotten persons, or pairs without personal data.",
    )
    share: float = Field(0.1, gt=0, lt=1, description="Share of the forget persons whose pairs the attacker has.")
    learning_rate: float = Field(1e-4, gt=0, description="Of AdamW, constant; the attacker's.")
    batch_size: int = Field(64, ge=4, description="Pairs of a step.")
    points: int = Field(
        5, ge=1, description="How often the others are measured, evenly over the steps, in addition to step 0."
    )
    rows: int = Field(512, ge=2, description="Most forget pairs of the other persons that are measured.")


def _margin(value: float) -> float:
    return Field(value, gt=0, description="Largest difference from the reference that counts as none.")


class Margins(Settings):
    """How far from its reference a metric may lie and still count as equal, on either side.

    The defaults come from the noise of retraining: two exact answers, trained without the forget pairs from other
    draws, differ as well. Each margin is 1.25 times the largest bound of the 90 % interval of an exact answer's
    difference from the others (benchmarks/noise.py, noise.json: the tiny profile), rounded up. GenKnow has more: exact
    answers of an earlier version differed by 0.083. No method was looked at."""

    RetFail: float = _margin(0.015)
    AssocStr: float = _margin(0.03)
    ACS: float = _margin(0.14)
    CoreAssoc: float = _margin(0.04)
    IdZSC: float = _margin(0.2)
    ParaMRR: float = _margin(0.02)
    ValueMRR: float = _margin(0.07)
    NameMRR: float = _margin(0.09)
    ImgRes: float = _margin(0.17)
    GenKnow: float = _margin(0.1)
    InterIdSim: float = _margin(0.04)
    IntraIdSim: float = _margin(0.04)
    VisIdInt: float = _margin(0.06)
    FragSim: float = _margin(0.07)
    InterIdMRR: float = _margin(0.09)
    IntraIdMRR: float = _margin(0.09)


class EvaluationSettings(StageSettings):
    """How a model is measured. Equal settings, weights and data: equal numbers, whatever was measured before."""

    retrieval_pool: int = Field(
        1000, ge=1, description="RetFail: distractors drawn from the forget set, and as many from retain_disjoint."
    )
    zero_shot: str | None = Field(
        None,
        json_schema_extra=NOT_IN_FINGERPRINT,  # its content is
        description="GenKnow: folder of a labelled set (ImageNet-1k or another), as WebDataset of CLIP_benchmark or a "
        "folder of class folders; null: the procedural set.",
    )
    zero_shot_per_class: int = Field(
        5, ge=1, description="GenKnow: images of each of the 240 classes of the procedural set."
    )
    swapped_rows: int = Field(
        300, ge=1, description="ValueMRR and NameMRR: forget pairs that are drawn to be measured."
    )
    swapped_captions: int = Field(10, ge=1, description="ValueMRR and NameMRR: wrong captions made for each of them.")
    recovery: RecoverySettings = Field(RecoverySettings(), description="Relearning curves.")
    margins: Margins = Field(
        Margins(),
        json_schema_extra=NOT_IN_FINGERPRINT,
        description="How far from its reference a metric may lie and still meet its target.",
    )
    bootstrap_replicates: int = Field(1000, ge=100, description="Draws of whole persons for the 95 % intervals.")
    batch_size: int = Field(256, ge=1, description="Images or texts encoded at once.")
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32", description="The towers compute under autocast in bf16 or fp16 (for GPUs); metrics stay float32."
    )
    device: str = Field("cpu", description="Where torch encodes: cpu, cuda, cuda:1 …")
    threads: int = Field(1, ge=1, description="Threads of torch; 1 where several models are measured at the same time.")
