"""Calibrated structure distillation: both towers learn a similarity matrix in which forget pairs have the cosine of
mismatched ones, and everything else is as it was.

    loss = a mean_i (S_ii - m_i)^2 + b mean_i!=j (S_ij - T_ij)^2 + c (|VV' - V0V0'|^2 + |TT' - T0T0'|^2) / B^2
           + d D(R) + e mean_Q |g(y) - g0(y)|^2

S, V, T: similarities and embeddings of a forget batch, 0: before. T_ij = S0_ij - (shuffled level - clean level), and
m_i the mean of its row: the pairs land among the mismatched ones, not below them. Nothing is minimised without end,
and there is no contrastive loss."""

import torch
from pydantic import Field

from salmu.evaluation.unlearning.aims import drawn_from, missed
from salmu.evaluation.unlearning.clean_level import LevelSettings, clean_level, clean_level_and_figures
from salmu.evaluation.unlearning.losses import embedding_drift
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import Between, OneOf
from salmu.evaluation.unlearning.text_regression import HoldSettings, Ready, held_captions, made_people


class Settings(HoldSettings, LevelSettings):
    learning_rate: float = Field(8e-4, gt=0, description="Peak learning rate; 1e-6 to 1e-5 for a ViT-B.")
    most_a_step: int = Field(16, ge=2, description="Most forget pairs in a step; similarities are kept within it.")
    forgetting: float = Field(1.0, ge=0, description="Weight of the forget pairs and of their mismatches (a, b).")
    structure: float = Field(3.0, ge=0, description="Weight of the similarities within each tower (c).")
    retention: float = Field(1.0, ge=0, description="Weight of the drift of retain pairs (d).")
    hold: float = Field(4.0, ge=0, description="Weight of the captions that are held (e).")


def prepare(work, settings: Settings) -> Ready:
    level, figures = clean_level_and_figures(work, settings)
    shuffled, _ = clean_level(work, settings.model_copy(update={"clean_level": "shuffled", "level_model": None}))
    aims = held_captions(work, settings, made_people(work, settings))
    figures |= {"shuffled_level": round(shuffled, 4), "captions_made": sum(len(one.tokens) for one in aims)}
    return Ready(torch.tensor(shuffled - level), aims, figures)


def loss(batch, settings: Settings):
    prepared: Ready = batch.work.prepared
    pairs, size = batch.forget, len(batch.forget)
    off = ~torch.eye(size, dtype=torch.bool, device=pairs.images.device)
    before = pairs.images_before @ pairs.texts_before.T - prepared.targets.to(pairs.images.device)
    wanted = torch.where(off, before, ((before * off).sum(1) / max(size - 1, 1)).diag())
    missing = (pairs.images @ pairs.texts.T - wanted).square()
    within = sum(
        (now @ now.T - then @ then.T).square().mean()
        for now, then in ((pairs.images, pairs.images_before), (pairs.texts, pairs.texts_before))
    )
    return (
        settings.forgetting * (missing.diagonal().mean() + (missing * off).sum() / max(size * (size - 1), 1))
        + settings.structure * within
        + settings.retention * embedding_drift(batch.retain)
        + missed(batch.work, drawn_from(prepared.aims, batch, size))
    )


METHOD = Method(
    name="structure_distillation",
    description="Gives forget pairs the cosine of mismatched ones in both towers, and distils all other similarities "
    "from the model before.",
    source="this project, 2026; distillation (Hinton et al. 2015) towards calibrated similarities",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    loss=loss,
    prepare=prepare,
    search={
        "learning_rate": Between(2e-4, 4e-3),
        "forgetting": OneOf((1.0, 3.0, 10.0)),
        "most_a_step": OneOf((8, 16, 32)),
    },
)
