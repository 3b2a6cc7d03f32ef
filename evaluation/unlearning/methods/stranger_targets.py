"""Stranger targets: the text tower shall take a forget caption for one about somebody whom it never met.

    t*_i = the unit vector nearest to s_i with cosine m to the mean portrait
    s_i  = mean of the start model's embeddings of a stranger's captions of the same attribute, in all styles

Each forget person is given a stranger, drawn by key, who knows nothing of the person's face; so own captions and other
people's cannot be told apart, and their cosines scatter as those of strangers do. m is the clean level."""

import torch
import torch.nn.functional as F
from pydantic import Field

from data.errors import UserError
from data.keyed import generator
from evaluation.unlearning.method import Between, Method, OneOf
from evaluation.unlearning.text_regression import TextSettings, before, loss, ready, text_tower, turned


class Settings(TextSettings):
    strangers: int = Field(1000, ge=1, description=TextSettings.model_fields["strangers"].description)
    stand_ins: int = Field(1, ge=1, description="Strangers whose mean stands in for a forget person.")


def targets(work, settings: Settings, strangers, level: float):
    if settings.stand_ins > len(strangers):
        raise UserError(f"stranger_targets: stand_ins is {settings.stand_ins}, but strangers is {len(strangers)}")
    images, _, _ = work.forget.before
    portrait = F.normalize(images.mean(0), dim=0)
    found: dict[tuple[str, str], torch.Tensor] = {}

    def stand_in(who: str, field: str) -> torch.Tensor:
        if (who, field) not in found:
            rng = generator(settings.seed, "unlearning", "stand-in", who)
            chosen = rng.choice(len(strangers), settings.stand_ins, replace=False)
            texts = [text for place in chosen for text in strangers[place].captions[field]]
            found[who, field] = F.normalize(before(work, work.tokenizer(texts)).mean(0), dim=0)
        return found[who, field]

    def aim(facts, texts):
        stood = torch.stack([stand_in(who, field) for who, field in facts])
        directions = portrait.expand(len(facts), 1, -1)
        return turned(stood, directions, torch.full((len(facts), 1), level, device=stood.device))

    return aim


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
    search={"learning_rate": Between(1e-3, 6e-3), "hold": OneOf((1.0, 2.0, 4.0))},
)
