"""Full names, Latin script, with gendered given names and surnames.

A name is one given name, then no, one or two further ones (second given names, or the father's name where the culture
has it so), then one or two surnames. Given names of women and men share no form, surnames of two cultures share none,
and no form is both (data/tables/name_pools.py), so a name can be taken apart again in one way only: two persons share a
name only if they are of one culture and gender, have as many further names, and have the same place among these names.
The place is the serial number, modulo how many such names there are, permuted. So serials below that number all have
names of their own, whoever else is in the run; of two others with the same place the stage gives the second one a
further name."""

import functools
import math
from typing import NamedTuple

from faker.providers import BaseProvider

from data.identities import permute
from data.tables import grouped, read
from tasks.personas.value import NoValue

MOST_FURTHER = 2


class Name(NamedTuple):
    first: str
    last: str

    def __str__(self) -> str:
        return f"{self.first} {self.last}"


class Pools(NamedTuple):
    given: list[str]
    further: list[str]  # names that may follow the given name
    surnames: list[str]
    surname_count: int

    def size(self, further: int) -> int:
        """How many names have that many further names."""
        given = (
            math.perm(len(self.given), 1 + further)
            if self.given is self.further
            else len(self.given) * math.perm(len(self.further), further)
        )
        return given * math.perm(len(self.surnames), self.surname_count)


@functools.cache
def pools(culture: str, gender: str) -> Pools:
    forms: dict[str, list[str]] = {}
    for row in read(f"names/{culture}"):
        forms.setdefault(row["role"], []).append(row["form"])
    rule = grouped("cultures", "culture")[culture][0]
    given = forms[f"given_{gender[0]}"]
    return Pools(
        given,
        forms["given_m"] if rule["middle"] == "father" else given,
        forms[f"surname_{gender[0]}"],
        int(rule["surnames"]),
    )


def place(culture: str, gender: str, serial: int, further: int) -> int:
    """Equal for two serials if, and only if, their names of this culture, gender and number of further names are
    equal."""
    return serial % pools(culture, gender).size(further)


class NameProvider(BaseProvider):
    def fictitious_name(self, culture: str, gender: str, serial: int, key: str, further: int = 0) -> Name:
        """The name at the serial's place, with that many further names. Raises NoValue for more than MOST_FURTHER."""
        if further > MOST_FURTHER:
            raise NoValue(f"all {gender} names of serial {serial} in culture {culture} are taken")
        pool = pools(culture, gender)
        rest = permute(
            place(culture, gender, serial, further), pool.size(further), f"{key}|name|{culture}|{gender}|{further}"
        )
        rest, first = _pick(rest, pool.given, 1)
        rest, more = _pick(rest, [form for form in pool.further if form != first[0]], further)
        rest, last = _pick(rest, pool.surnames, pool.surname_count)
        return Name(" ".join(first + more), " ".join(last))


def _pick(rest: int, forms: list[str], count: int) -> tuple[int, list[str]]:
    """`count` different forms, told by the remainders of `rest`; and what is left of it."""
    left, picked = list(forms), []
    for _ in range(count):
        rest, index = divmod(rest, len(left))
        picked.append(left.pop(index))
    return rest, picked
