"""Full names, Latin script, with gendered given names and surnames.

A name is one given name, then none or some further ones (second given names, or the father's and grandfather's names
where the culture has it so), then one or two surnames. No given name is a woman's and a man's, and no two cultures
share the last word of a surname (data/tables/name_pools.py), so a name can be taken apart again in one way only: two
persons share a name only if they are of one culture and gender, have as many further names, and have the same place
among these names.

The place follows from the person's number in the culture (country.py), which nobody else has: the first numbers have no
further name, the next ones one, and so on, each permuted by the key. A name that is a public figure's is left to
nobody: its person takes the next turn, a name with one further name more. Every (k+1)-th of the names with k further
names is kept for each turn that leads there, so no turn of one person is the turn of another."""

import functools
import math
from typing import NamedTuple

from faker.providers import BaseProvider

from salmu.data.identities import permute
from salmu.data.tables import grouped, read
from salmu.data.tables.figures import hashes, is_figure
from salmu.tasks.personas.value import NoValue, Value

MOST_FURTHER = 4


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


@functools.cache
def first_turns(culture: str, gender: str) -> tuple[int, ...]:
    """How many persons have a name with 0, 1, 2 … further names on their first turn."""
    pool = pools(culture, gender)
    return tuple(pool.size(further) // (further + 1) for further in range(MOST_FURTHER + 1))


def nth_name(culture: str, gender: str, number: int, key: str, turn: int = 0) -> Name:
    """The name of the person with this number on a turn, from 0. Raises NoValue where there is none."""
    pool, further = pools(culture, gender), 0
    for size in first_turns(culture, gender):
        if number < size:
            break
        number, further = number - size, further + 1
    further += turn
    if further > MOST_FURTHER:
        raise NoValue(f"no {gender} name of culture {culture} is left")
    place = number * (further + 1) + turn
    rest = permute(place, pool.size(further), f"{key}|name|{culture}|{gender}|{further}")
    rest, first = _pick(rest, pool.given, 1)
    rest, more = _pick(rest, [form for form in pool.further if form != first[0]] if further else [], further)
    rest, last = _pick(rest, pool.surnames, pool.surname_count)
    return Name(" ".join(first + more), " ".join(last))


def _pick(rest: int, forms: list[str], count: int) -> tuple[int, list[str]]:
    """`count` different forms, told by the remainders of `rest`; and what is left of it."""
    left, picked = list(forms) if count > 1 else forms, []
    for _ in range(count):
        rest, index = divmod(rest, len(left))
        picked.append(left[index])
        if count > 1:
            del left[index]
    return rest, picked


class NameProvider(BaseProvider):
    def fictitious_name(self, culture: str, gender: str, number: int, key: str) -> Name:
        """The name of the person with this number in the culture, on its first turn that is no public figure's. Raises
        NoValue where no turn is left."""
        turn = 0
        while is_figure((name := nth_name(culture, gender, number, key, turn)).first, name.last):
            turn += 1
        return name


def name_value(name: Name) -> Value:
    return Value(
        str(name),
        "G1",
        f"given names and surnames paired by lot; not among {len(hashes())} public figures",
        "this project; data/tables/public_figures.csv",
    )
