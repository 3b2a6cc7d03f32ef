"""Who says of a candidate's gender, age and region: several may, and the first in a fixed order that knows counts."""

from typing import Any

from salmu.data.procedural.person import age_group_of
from salmu.data.schemas import AGE_GROUPS, REGIONS

ADULT = 18  # years
YOUNG = ("0-2", "3-9", "10-19")  # FairFace's age groups below those of the schema
FACTS = (("gender",), ("age", "age_group", "adult"), ("region",))  # each group from one voice
Facts = dict[str, Any]


def of_age(years: int) -> Facts:
    """What an age in years says."""
    adult = years >= ADULT
    return {"age": years, "age_group": age_group_of(years) if adult else None, "adult": adult}


def of_age_group(group: str) -> Facts:
    """What one of FairFace's age groups says; somebody of 10-19 does not count as an adult."""
    adult = group in AGE_GROUPS
    return {"age_group": group if adult else None, "adult": adult}


def of_pack(gender: str | None, age: int | None) -> Facts:
    """What the face pack's genderage model says."""
    return {"gender": gender} | ({} if age is None else of_age(age))


def of_fairface(answers: dict[str, dict[str, float]]) -> Facts:
    """What FairFace says: its likeliest classes."""
    best = {question: max(scores, key=scores.get) for question, scores in answers.items()}
    facts = {name: best[name] for name in ("gender", "region") if name in best}
    return facts | (of_age_group(best["age_group"]) if "age_group" in best else {})


def of_zero_shot(answers: dict[str, dict[str, float]]) -> Facts:
    """What the zero-shot model says. It is asked for groups of adults only, so it does not say that somebody is one."""
    best = {question: max(scores, key=scores.get) for question, scores in answers.items()}
    known = {"gender": best["gender"], "age_group": best["age_group"]}
    return known | ({"region": best["region"]} if best.get("region") in REGIONS else {})


def settle(voices: dict[str, Facts]) -> Facts:
    """The columns gender, age, age_group, region, adult and labels_from, by the first voice that knows each.

    Where that voice tells no age but an age group only, a later one may still say that somebody is not an adult."""
    settled, heard = {}, set()
    for group in FACTS:
        name, facts = _first(voices, group)
        settled |= {fact: facts.get(fact) for fact in group}
        heard.add(name)
    if settled["adult"] is None:
        name, facts = _first(voices, ("adult",))
        settled["adult"] = facts.get("adult")
        heard.add(name)
    if settled["adult"] is False:
        settled["age_group"] = None
    return settled | {"labels_from": "+".join(name for name in voices if name in heard) or None}


def _first(voices: dict[str, Facts], group: tuple[str, ...]) -> tuple[str | None, Facts]:
    """The first voice that knows any of the group."""
    for name, facts in voices.items():
        if any(facts.get(fact) is not None for fact in group):
            return name, facts
    return None, {}
