"""Stranger targets: the text tower shall take a forget caption for one about somebody whom it never met.

    t*_i = t_i + (1 + c) (u_i - t_i), of length 1
    u_i  = the unit vector nearest to s_i with cosine m to the mean portrait
    s_i  = mean of the start model's embeddings of a stranger's captions of the same attribute, in all styles

Each forget fact is given a stranger; of some who are drawn by key the one whose captions are, compared with other
people's portraits, neither nearer to the person's own nor further from them. So own captions and other people's cannot
be told apart, and their cosines scatter as those of strangers do. One stranger for all facts of a person would be told:
portraits of a person are alike, so a probe would learn which stranger belongs to them. m is the clean level; t_i the
caption's embedding before, and c makes up for what a regression against so much that is held falls short."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field

from salmu.data.keyed import generator
from salmu.evaluation.unlearning.method import Method
from salmu.evaluation.unlearning.settings import OneOf
from salmu.evaluation.unlearning.text_regression import SEARCH, TextSettings, loss, ready, text_tower, turned


class Settings(TextSettings):
    learning_rate: float = Field(5.84e-3, gt=0, description=TextSettings.model_fields["learning_rate"].description)
    strangers: int = Field(1000, ge=1, description=TextSettings.model_fields["strangers"].description)
    neighbours: int = Field(48, ge=0, description=TextSettings.model_fields["neighbours"].description)
    drawn_paraphrases: int = Field(10, ge=0, description=TextSettings.model_fields["drawn_paraphrases"].description)
    candidates: int = Field(32, ge=1, description="Strangers drawn for each forget fact, of whom one is chosen.")
    each: Literal["fact", "person"] = Field(
        "fact", description="What gets a stranger of its own: each fact or each person."
    )
    forgetting: float = Field(1.0, gt=0, description=TextSettings.model_fields["forgetting"].description)
    stand_ins: int = Field(1, ge=1, description="Number of strangers whose mean is the stand-in.")
    overshoot: float = Field(
        0.06, ge=0, lt=1, description="How far a target is beyond the stranger, as a share of the distance to it (c)."
    )


def targets(work, settings: Settings, known: dict[str, torch.Tensor], level: float):
    images, _, _ = work.forget.before
    mean = F.normalize(images.mean(0), dim=0)

    def at_level(vectors: torch.Tensor) -> torch.Tensor:
        cosines = torch.full((len(vectors), 1), level, device=vectors.device)
        return turned(F.normalize(vectors, dim=1), mean.expand(len(vectors), 1, -1), cosines)

    stood_for = stand_ins_of_all(work, settings, known, mean_portraits(work), at_level)

    def aim(facts, texts):
        wanted = at_level(torch.stack([stood_for(who, field) for who, field in facts]))
        return F.normalize(wanted + settings.overshoot * (wanted - texts), dim=1)

    return aim


def mean_portraits(work) -> dict[str, torch.Tensor]:
    """Person -> unit vector of the mean of the forget portraits, as the start model sees them."""
    images, _, _ = work.forget.before
    rows = sorted(set(work.forget.order.tolist()))
    person = [work.forget.pool.columns["identity_id"][row] for row in rows]
    places = {who: [place for place, one in enumerate(person) if one == who] for who in sorted(set(person))}
    return {who: F.normalize(images[own].mean(0), dim=0) for who, own in places.items()}


def stand_ins_of_all(work, settings, known: dict[str, torch.Tensor], portraits: dict[str, torch.Tensor], at_level):
    """A function: person, attribute -> mean embedding of the captions of who stands in [width], shorter than 1 as far
    as they differ. `at_level`: embeddings [n, width] -> unit vectors, by which stand-ins are chosen."""
    chosen, faces = {}, torch.stack(list(portraits.values()))
    for place, who in enumerate(portraits):
        facts = sorted(set(work.forget.pool.people[who].facts) & set(known)) or list(known)
        for fields, key in [([field], (field,)) for field in facts] if settings.each == "fact" else [(facts, ())]:
            stood = stand_ins(at_level, known, fields, faces, place, settings, who, *key)
            chosen |= {(who, field): stood for field in fields}
    unknown = generator(settings.seed, "unlearning", "stand-in").choice(len(next(iter(known.values()))), 1)
    return lambda who, field: known[field][chosen.get((who, field), unknown)].mean(0)


def stand_ins(at_level, known, fields: list[str], portraits: torch.Tensor, place: int, settings: Settings, *key: str):
    """Numbers of the strangers who stand in for a person in these attributes: those of the drawn ones whose captions,
    moved to the level, are as near to the person's mean portrait as to other people's on average."""
    count = len(next(iter(known.values())))
    drawn = generator(settings.seed, "unlearning", "stand-in", *key).permutation(count)[: settings.candidates]
    moved = torch.stack([at_level(known[field][drawn]) for field in fields]).mean(0)
    cosines = moved @ portraits.T
    others = (cosines.sum(1) - cosines[:, place]) / max(len(portraits) - 1, 1)
    order = (cosines[:, place] - others).abs().cpu().argsort(stable=True)
    return drawn[order[: settings.stand_ins].numpy()]


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
