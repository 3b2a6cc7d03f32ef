"""TextRot: turn each forget caption as little as possible until neither its person's portraits nor portraits at large
are nearer to it than to a stranger's; hold all other captions.

    t*_i = the unit vector nearest to t_i with cosine m to the mean portrait of its person, and m to the mean portrait

m is the clean level. What is left of t_i is what it had beside these two directions, so that a probe may still tell
own captions from others' (see stranger_targets.py)."""

import torch
import torch.nn.functional as F
from pydantic import Field

from salmu.evaluation.unlearning.clean_level import LevelSettings, clean_level_and_figures
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.stand_ins import mean_portraits
from salmu.evaluation.unlearning.text_regression import SEARCH, TextSettings, loss, ready, text_tower, turned


class Settings(TextSettings, LevelSettings):
    learning_rate: float = Field(2.68e-3, gt=0, description=TextSettings.model_fields["learning_rate"].description)
    hold: float = Field(4.0, ge=0, description=TextSettings.model_fields["hold"].description)
    neighbours: int = Field(24, ge=0, description=TextSettings.model_fields["neighbours"].description)
    drawn_paraphrases: int = Field(10, ge=0, description=TextSettings.model_fields["drawn_paraphrases"].description)


def targets(work, settings: Settings, known, made):
    level, figures = clean_level_and_figures(work, settings)
    portrait, all_of_them = mean_portraits(work), F.normalize(work.forget.before[0].mean(0), dim=0)

    def aim(facts, texts, said):
        directions = torch.stack([torch.stack([portrait.get(who, all_of_them), all_of_them]) for who, _ in facts])
        return turned(texts, directions, torch.full(directions.shape[:2], level, device=texts.device))

    return aim, figures


METHOD = Method(
    name="text_rotation",
    description="Turns each forget caption away from its person's portraits by as little as it takes, and holds all "
    "other captions where they are.",
    source="this project, 2026; the target is the nearest unit vector under linear constraints",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    loss=loss,
    masks=text_tower,
    prepare=lambda work, settings: ready(work, settings, targets),
    search=SEARCH,
)
