"""Full names, Latin script, with gendered given names and surnames.

A name is one given name, then no, one or two further ones (a second given name, or the father's where the culture has it so), then
one or two surnames. Given names of women and men share no form, surnames of two cultures share none, and no form is both
(data/tables/build.py), so a name can be taken apart again in one way only: two persons share a name only if they are of
one culture and gender and all parts agree. Within a culture and gender the parts follow from a permutation of the identity number,
the shorter names first. Hence all names are different, whoever else is in the run, up to `capacity`.
"""

import functools
import math
from typing import NamedTuple

from faker.providers import BaseProvider

from data.tables import grouped, read
from tasks.personas.permutation import permute
from tasks.personas.value import NoValue


class Name(NamedTuple):
    first: str
    last: str

    def __str__(self) -> str:
        return f"{self.first} {self.last}"


class Pools(NamedTuple):
    given: list[str]
    further: list[str]               # names that may follow the given name
    surnames: list[str]
    surname_count: int

    def size(self, further: int) -> int:
        """How many names have that many further names."""
        given = math.perm(len(self.given), 1 + further) if self.given is self.further \
            else len(self.given) * math.perm(len(self.further), further)
        return given * math.perm(len(self.surnames), self.surname_count)


@functools.cache
def pools(culture: str, gender: str) -> Pools:
    forms: dict[str, list[str]] = {}
    for row in read(f"names/{culture}"):
        forms.setdefault(row["role"], []).append(row["form"])
    rule = grouped("cultures", "culture")[culture][0]
    given = forms[f"given_{gender[0]}"]
    return Pools(given, forms["given_m"] if rule["middle"] == "father" else given, forms[f"surname_{gender[0]}"], int(rule["surnames"]))


def capacity(culture: str, gender: str) -> int:
    """Identity numbers below this all get a name of their own."""
    return sum(pools(culture, gender).size(further) for further in range(3))


class NameProvider(BaseProvider):
    def fictitious_name(self, culture: str, gender: str, number: int, key: str) -> Name:
        """The name of identity `number`. Raises NoValue from `capacity` on."""
        pool, place = pools(culture, gender), number
        for further in range(3):
            size = pool.size(further)
            if place < size:
                return _name(pool, further, permute(place, size, f"{key}|name|{culture}|{gender}|{further}"))
            place -= size
        raise NoValue(f"{culture} has only {number - place} {gender} names, too few for number {number}")


def _name(pool: Pools, further: int, place: int) -> Name:
    place, first = _pick(place, pool.given, 1)
    place, more = _pick(place, [form for form in pool.further if form != first[0]], further)
    place, last = _pick(place, pool.surnames, pool.surname_count)
    return Name(" ".join(first + more), " ".join(last))


def _pick(place: int, forms: list[str], count: int) -> tuple[int, list[str]]:
    """`count` different forms, told by the remainders of `place`; and what is left of it."""
    left, picked = list(forms), []
    for _ in range(count):
        place, index = divmod(place, len(left))
        picked.append(left.pop(index))
    return place, picked
