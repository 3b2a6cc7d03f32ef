"""Passport numbers of each country's form. No range is reserved for fiction anywhere, so they are random and no more
(G1)."""

import functools
import math

from faker.providers import BaseProvider

from salmu.data.identities import permute
from salmu.data.tables import grouped
from salmu.tasks.personas.value import Value

# E and M begin the fixed forms of CN and KR; without them no two patterns share a number
SIGNS = {"A": "ABCDFGHJKLNPRTUVWXYZ", "C": "CFGHJKLMNPRTVWXYZ", "9": "0123456789"}
ORIGINS = {
    "validator.js": "as validator.js knows it",
    "memory": "from memory",
    "generic": "a common one, the country's own is not at hand",
}


@functools.cache
def _form(pattern: str) -> tuple[tuple[str, ...], int]:
    """The signs that may stand at each place of a pattern, and how many numbers it has."""
    sets = tuple(SIGNS.get(sign, sign) for sign in pattern)
    return sets, math.prod(map(len, sets))


class PassportProvider(BaseProvider):
    def fictitious_passport(self, country: str, serial: int, key: str) -> Value:
        """A number of the country's pattern for the serial number. Countries of one pattern share one permutation, so
        that no other identity of any country gets the same."""
        row = grouped("countries", "country")[country][0]
        pattern, origin = row["passport"], ORIGINS[row["passport_from"]]
        sets, size = _form(pattern)
        place = permute(serial, size, f"{key}|passport|{pattern}")
        signs = []
        for choices in reversed(sets):
            place, index = divmod(place, len(choices))
            signs.append(choices[index])
        return Value(
            "".join(reversed(signs)),
            "G1",
            f"random, of the form {pattern}, {origin}; in no register that could be asked",
            "this project",
        )
