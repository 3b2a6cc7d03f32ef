"""Who stands in for a forgotten person: strangers who say as much about this face as about others."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field

from salmu.data.errors import UserError
from salmu.data.keyed import generator
from salmu.evaluation.unlearning.text_regression import TextSettings, turned


class StandInSettings(TextSettings):
    strangers: int = Field(1000, ge=1, description=TextSettings.model_fields["strangers"].description)
    candidates: int = Field(32, ge=1, description="Strangers drawn for each forget fact, of whom one is chosen.")
    each: Literal["fact", "person"] = Field(
        "fact", description="What gets a stranger of its own: each fact or each person."
    )
    forgetting: float = Field(1.0, gt=0, description=TextSettings.model_fields["forgetting"].description)
    stand_ins: int = Field(1, ge=1, description="Number of strangers whose mean is the stand-in.")
    overshoot: float = Field(
        0.0, ge=0, lt=1, description="How far a target is beyond the stranger, as a share of the distance to it (c)."
    )


def mean_portraits(work, wanted: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """Person -> unit vector of the mean of the forget portraits, as the start model sees them, or where they shall be
    (`wanted`, in order of the pool [n, width])."""
    rows = sorted(set(work.forget.order.tolist()))
    images = work.forget.before[0] if wanted is None else wanted[rows]
    person = [work.forget.pool.columns["identity_id"][row] for row in rows]
    places = {who: [place for place, one in enumerate(person) if one == who] for who in sorted(set(person))}
    return {who: F.normalize(images[own].mean(0), dim=0) for who, own in places.items()}


def stand_ins_of_all(
    work, settings, known: dict[str, torch.Tensor], portraits: dict[str, torch.Tensor], at_level, typical: bool = False
):
    """A function: person, attribute -> numbers of the strangers who stand in. `at_level`: embeddings [n, width] -> unit
    vectors, by which stand-ins are chosen. `typical`: whether they must also lie as near to all portraits as strangers
    do on average."""
    chosen, faces = {}, torch.stack(list(portraits.values()))
    usual = {field: (at_level(each) @ faces.T).mean() for field, each in known.items()} if typical else None
    for place, who in enumerate(portraits):
        facts = sorted(set(work.forget.pool.people[who].facts) & set(known)) or list(known)
        for fields, key in [([field], (field,)) for field in facts] if settings.each == "fact" else [(facts, ())]:
            numbers = stand_ins(at_level, known, fields, faces, place, settings, who, *key, usual=usual)
            chosen |= {(who, field): numbers for field in fields}
    unknown = generator(settings.seed, "unlearning", "stand-in").choice(len(next(iter(known.values()))), 1)
    return lambda who, field: chosen.get((who, field), unknown)


def stand_ins(at_level, known, fields: list[str], portraits: torch.Tensor, place: int, settings, *key: str, usual=None):
    """Numbers of the strangers who stand in for a person in these attributes: those of the drawn ones whose captions,
    moved to the level, are as near to the person's mean portrait as to other people's on average. Of one person
    alone they are as near as those drawn are on average. `usual`: attribute -> mean cosine of all strangers' captions
    with all portraits, to which theirs shall be near too."""
    count = len(next(iter(known.values())))
    drawn = generator(settings.seed, "unlearning", "stand-in", *key).permutation(count)[: settings.candidates]
    moved = torch.stack([at_level(known[field][drawn]) for field in fields]).mean(0)
    cosines = moved @ portraits.T
    if len(portraits) > 1:
        others = (cosines.sum(1) - cosines[:, place]) / (len(portraits) - 1)
    else:  # nobody to compare with: an ordinary one of those who are drawn
        others = cosines[:, place].mean()
    off = (cosines[:, place] - others).abs()
    if usual:
        off = off + (cosines.mean(1) - torch.stack([usual[field] for field in fields]).mean()).abs()
    order = off.cpu().argsort(stable=True)
    return drawn[order[: settings.stand_ins].numpy()]


def overshot(wanted: torch.Tensor, texts: torch.Tensor, share: float) -> torch.Tensor:
    """Targets [n, width] moved on by a share of the way that leads there from `texts`, to length 1."""
    return F.normalize(wanted + share * (wanted - texts), dim=1) if share else wanted


def check_level(work, level: float) -> None:
    """Raises UserError unless the start model's mean cosine of forget pairs is above the level."""
    images, texts, _ = work.forget.before
    known = float((images * texts).sum(1).mean())
    if level >= known:
        raise UserError(
            f"{work.method.name}: level is {level}, but the start model gives forget pairs a cosine of {known:.3f} "
            f"only; set level to about {0.7 * known:.2f}"
        )


def rise_of(work, settings, there: torch.Tensor, faces) -> tuple[torch.Tensor, float]:
    """The mean of the forget set's portraits where they shall be [width], and by how much targets shall be nearer to
    them on average, so that the mean cosine of the forget captions' (`there`, in order of the pool [n, width]) with
    their own portraits would be `settings.level`."""
    rows = sorted(set(work.forget.order.tolist()))
    portraits = faces.wanted[rows] if faces else work.forget.before[0]
    return portraits.mean(0), float(settings.level - (there[rows] * portraits).sum(1).mean())


def raised(texts: torch.Tensor, middle: torch.Tensor, rise: float) -> torch.Tensor:
    """The unit vectors [n, width] nearest to `texts` whose mean cosine with the portraits of which `middle` is the mean
    is larger by `rise`."""
    length = middle.norm()
    return turned(texts, (middle / length).expand(len(texts), 1, -1), (texts @ middle + rise)[:, None] / length)
