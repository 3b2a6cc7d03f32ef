"""Candidates drawn by the project: parametric faces with known demographics, balanced by quota."""

from typing import NamedTuple

import numpy as np

from salmu.data import keyed
from salmu.data.identities import identity_id
from salmu.data.procedural.person import Person, draw_person
from salmu.data.procedural.render import render
from salmu.data.procedural.view import anchor_view
from salmu.data.schemas import AGE_GROUPS, GENDERS, REGIONS

LARGEST_COUNT = 10_000_000


class Drawn(NamedTuple):
    person: Person
    image: np.ndarray  # uint8 RGB [size, size, 3]


def identity_ids(seed: int, count: int) -> list[str]:
    """Unique ids of eight digits; the first n of a longer list are the list of n."""
    return [identity_id(seed, serial) for serial in range(count)]


def quota(seed: int, index: int) -> tuple[str, str, str]:
    """Gender, age group and region of the index-th identity.

    The first 14 are every gender in every region, the first 84 every combination; the seed shuffles the order."""
    genders, ages, regions = (keyed.ranked(names, seed, "anchors", "quota") for names in (GENDERS, AGE_GROUPS, REGIONS))
    block, place = divmod(index, len(genders) * len(regions))
    age = ages[(block + place // len(genders)) % len(ages)]
    return genders[place % len(genders)], age, regions[place % len(regions)]


def draw(seed: int, index: int, identity_id: str, size: int) -> Drawn:
    """The index-th identity and its reference picture."""
    person = draw_person(keyed.generator(seed, "anchors", "person", identity_id), *quota(seed, index))
    view = anchor_view(keyed.generator(seed, "anchors", "view", identity_id), person)
    return Drawn(person, render(person, view, size, size).image)
