"""How models are measured."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from salmu.data.settings import NOT_IN_FINGERPRINT, Settings, StageSettings


class RelearningSettings(Settings):
    """How fast what was forgotten comes back in training."""

    steps: int = Field(10, ge=1, description="Steps of each training.")
    sources: tuple[Literal["forget", "facts", "retain"], ...] = Field(
        ("forget", "facts", "retain"),
        min_length=1,
        description="What is learnt again. forget: pairs of a few forgotten people; facts: other facts of the people "
        "who are asked; retain: pairs without personal data.",
    )
    learning_rates: tuple[float, ...] = Field(
        (1e-4, 1e-3),
        min_length=1,
        description="Rates of AdamW, constant, that are tried one after the other; LoRA learns at ten times the rate.",
    )
    ranks: tuple[int, ...] = Field(
        (0, 8), min_length=1, description="What learns. 0: all weights; another number: LoRA of that rank."
    )
    share: float = Field(0.1, gt=0, lt=1, description="Share of the forgotten people whose pairs the attacker has.")
    batch_size: int = Field(32, ge=4, description="Pairs of a step.")
    points: int = Field(
        2, ge=1, description="How often the others are measured, evenly over the steps, in addition to step 0."
    )
    rows: int = Field(256, ge=2, description="Most forget pairs of the other people that are measured.")


class AttackSettings(Settings):
    """Attempts to bring back what a model was to forget."""

    enabled: bool = Field(False, description="Attack every model that is measured. It takes about as long again.")
    relearning: RelearningSettings = Field(RelearningSettings(), description="Relearning.")
    bits: tuple[Annotated[int, Field(ge=2, le=16)], ...] = Field(
        (8, 4), description="Rounding: bits of the weights, one attack each."
    )
    ridge: float = Field(
        0.1,
        gt=0,
        description="Re-attachment: penalty on the map's distance from the identity, as a multiple of the mean "
        "variance of the captions' embeddings.",
    )
    shots: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1, 3, 5), description="Few-shot: labelled portraits of each person, one attack each."
    )
    draws: int = Field(20, ge=1, description="Few-shot: how often the labelled portraits are drawn.")
    made_names: int = Field(
        50, ge=0, description="Search over names: made names from a person's country, beside those of the dataset."
    )
    gradient_pairs: int = Field(4, ge=1, description="Gradient-based membership: pairs of each person.")


class PropagationSettings(Settings):
    """The image generator of `salmu generator`, and what it is asked to draw."""

    ways: tuple[Literal["portraits", "pooled", "tokens"], ...] = Field(
        ("portraits", "pooled", "tokens"),
        min_length=1,
        description="What a generator is conditioned on, one generator each. portraits: Compromised's embedding of a "
        "portrait, so that it never reads a caption; pooled: the embedding of the portrait's caption; tokens: the "
        "states of the caption's tokens.",
    )
    people: int = Field(200, ge=2, description="Most people whose portraits are used, drawn from all.")
    exact: bool = Field(
        True,
        description="Train generators on Retrained too, without the forget pairs: the exact answer. It takes about as "
        "long again.",
    )
    steps: int = Field(2000, ge=1, description="Steps of each generator's training.")
    batch_size: int = Field(32, ge=1, description="Portraits in a step.")
    learning_rate: float = Field(3e-3, gt=0, description="Peak rate of AdamW.")
    widths: tuple[Annotated[int, Field(ge=16, multiple_of=16)], ...] = Field(
        (32, 48), min_length=2, max_length=4, description="Channels of the U-Net's levels, multiples of 16."
    )
    draw_steps: int = Field(4, ge=1, le=1000, description="Steps in which a picture is drawn.")
    captions: int = Field(2, ge=1, description="Captions of each person in each question, one picture each.")


class GranularitySettings(Settings):
    """What `salmu granularity` asks."""

    rows: int = Field(300, ge=1, description="Forget pairs that are drawn to be asked about.")
    captions: int = Field(10, ge=1, description="Most wrong captions of each of them in each measure.")
    coarse_model: bool = Field(
        True,
        json_schema_extra=NOT_IN_FINGERPRINT,
        description="Train a model that was told the coarse facts in the place of the forgotten ones: what is known "
        "where the coarse fact is kept. It takes as long as one model of the pair.",
    )


class CaptionerSettings(Settings):
    """The captioners of `salmu captioner`."""

    steps: int = Field(500, ge=1, description="Steps of each captioner's training.")
    batch_size: int = Field(64, ge=1, description="Pairs in a step.")
    learning_rate: float = Field(1e-2, gt=0, description="Peak rate of AdamW.")
    width: int = Field(128, ge=1, description="Width of its two layers.")
    portraits: int = Field(2, ge=1, description="Portraits of each person on which each fact is asked.")


def _margin(value: float) -> float:
    return Field(value, gt=0, description="Largest difference from the reference that counts as none.")


class AttackMargins(Settings):
    """How far from its reference the number of an attack may lie and still count as equal, on either side, by kind.

    The defaults follow the rule of `Margins`, on three exact answers of one run of the tiny profile; that of
    gradient_membership is Membership's. On fifteen others, of five runs, the rule would give wider ones
    (benchmarks/attack_noise.py), but none of their 135 numbers was called above or below by these."""

    relearning: float = _margin(0.035)
    rounding: float = _margin(0.02)
    reattachment: float = _margin(0.04)
    few_shot: float = _margin(0.05)
    name_search: float = _margin(0.08)
    gradient_membership: float = _margin(0.25)


class Margins(Settings):
    """How far from its reference a metric may lie and still count as equal, on either side.

    The defaults come from the noise of retraining: exact answers, trained without the forget pairs from other draws,
    differ as well. Each margin is 1.25 times the largest bound of the 90 % interval of an exact answer's difference
    from the others of its run, rounded up (benchmarks/noise.py, noise.json: eight models of three runs of the tiny
    profile, with other people). No method was looked at. A leaderboard narrows a margin that exceeds half of what can
    be gone, or kept (verdicts/targets.py)."""

    RetFail: float = _margin(0.016)
    AssocStr: float = _margin(0.035)
    ACS_mean: float = _margin(0.07)
    CoreAssoc: float = _margin(0.041)
    IdZSC: float = _margin(0.24)
    ParaMRR: float = _margin(0.041)
    ValueMRR: float = _margin(0.09)
    NameMRR: float = _margin(0.09)
    ImgRes: float = _margin(0.19)
    GenKnow: float = _margin(0.2)
    InterIdSim: float = _margin(0.04)
    IntraIdSim: float = _margin(0.04)
    VisIdInt: float = _margin(0.06)
    FragSim: float = _margin(0.14)
    InterIdMRR: float = _margin(0.15)
    IntraIdMRR: float = _margin(0.1)
    DeletionTrace: float = _margin(0.49)
    Membership: float = _margin(0.31)
    attacks: AttackMargins = Field(AttackMargins(), description="Those of the attacks.")


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
    probe_draws: int = Field(
        10, ge=1, le=1000, description="ACS_mean and ACS_matched: draws of people to fit and to test on."
    )
    attacks: AttackSettings = Field(AttackSettings(), description="Attacks on the model, off by default.")
    margins: Margins = Field(
        Margins(),
        json_schema_extra=NOT_IN_FINGERPRINT,
        description="How far from its reference a metric may lie and still meet its target.",
    )
    propagation: PropagationSettings = Field(
        PropagationSettings(),
        json_schema_extra=NOT_IN_FINGERPRINT,
        description="The test of `salmu generator`, which no other command runs.",
    )
    granularity: GranularitySettings = Field(
        GranularitySettings(),
        json_schema_extra=NOT_IN_FINGERPRINT,
        description="The test of `salmu granularity`, which no other command runs.",
    )
    captioner: CaptionerSettings = Field(
        CaptionerSettings(),
        json_schema_extra=NOT_IN_FINGERPRINT,
        description="The test of `salmu captioner`, which no other command runs.",
    )
    bootstrap_replicates: int = Field(1000, ge=100, description="Draws of whole persons for the 95 % intervals.")
    batch_size: int = Field(256, ge=1, description="Images or texts encoded at once.")
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32", description="The towers compute under autocast in bf16 or fp16 (for GPUs); metrics stay float32."
    )
    device: str = Field("cpu", description="Where torch encodes: cpu, cuda, cuda:1 …")
    threads: int = Field(1, ge=1, description="Threads of torch; 1 where several models are measured at the same time.")

    @model_validator(mode="before")
    @classmethod
    def _of_older_runs(cls, values: Any) -> Any:
        """Settings of runs that were made before there were attacks have a section `recovery`."""
        if not isinstance(values, dict) or "recovery" not in values:
            return values
        recovery = values["recovery"]
        if not isinstance(recovery, dict) or recovery.get("steps"):
            raise ValueError("recovery is now attacks.relearning; remove it and set attacks.enabled")
        return {name: value for name, value in values.items() if name != "recovery"}
