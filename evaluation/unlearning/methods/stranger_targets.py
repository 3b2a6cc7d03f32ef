"""Stranger targets: the text tower shall take a forget caption for one about somebody whom it never met.

    t*_i = t_i + (1 + c) (u_i - t_i), of length 1
    u_i  = the unit vector nearest to s_i with cosine m to the mean portrait
    s_i  = mean of the start model's embeddings of a stranger's captions of the same attribute, in all styles

Each forget fact is given a stranger; of some who are drawn by key the one whose captions are, compared with other
people's portraits, neither nearer to the person's own nor further from them. So own captions and other people's cannot
be told apart, and their cosines scatter as those of strangers do. One stranger for all facts of a person would be told:
portraits of a person are alike, so a probe would learn which stranger belongs to them. m is the clean level; t_i the
caption's embedding before, and c makes up for what a regression against so much that is held falls short."""

import torch
import torch.nn.functional as F
from pydantic import Field

from salmu.evaluation.unlearning.clean_level import LevelSettings, clean_level_and_figures
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import OneOf
from salmu.evaluation.unlearning.stand_ins import StandInSettings, mean_portraits, overshot, stand_ins_of_all
from salmu.evaluation.unlearning.text_regression import SEARCH, TextSettings, loss, ready, text_tower, turned


class Settings(StandInSettings, LevelSettings):
    learning_rate: float = Field(5.84e-3, gt=0, description=TextSettings.model_fields["learning_rate"].description)
    neighbours: int = Field(48, ge=0, description=TextSettings.model_fields["neighbours"].description)
    drawn_paraphrases: int = Field(10, ge=0, description=TextSettings.model_fields["drawn_paraphrases"].description)
    overshoot: float = Field(0.06, ge=0, lt=1, description=StandInSettings.model_fields["overshoot"].description)


def targets(work, settings: Settings, known: dict[str, torch.Tensor], made):
    level, figures = clean_level_and_figures(work, settings)
    images, _, _ = work.forget.before
    mean = F.normalize(images.mean(0), dim=0)

    def at_level(vectors: torch.Tensor) -> torch.Tensor:
        cosines = torch.full((len(vectors), 1), level, device=vectors.device)
        return turned(F.normalize(vectors, dim=1), mean.expand(len(vectors), 1, -1), cosines)

    stood_for = stand_ins_of_all(work, settings, known, mean_portraits(work), at_level)

    def aim(facts, texts, said):
        wanted = at_level(torch.stack([known[field][stood_for(who, field)].mean(0) for who, field in facts]))
        return overshot(wanted, texts, settings.overshoot)

    return aim, figures


METHOD = Method(
    name="stranger_targets",
    description="Teaches the text tower to read a forget caption as one about a stranger, and holds all other captions "
    "where they are.",
    source="this project, 2026; counterfactual targets as in Who's Harry Potter (Eldan and Russinovich, 2023)",
    sees=frozenset({"forget", "retain"}),
    settings=Settings,
    loss=loss,
    masks=text_tower,
    prepare=lambda work, settings: ready(work, settings, targets),
    search=SEARCH | {"each": OneOf(("person", "fact")), "overshoot": OneOf((0.0, 0.06, 0.12))},
)
