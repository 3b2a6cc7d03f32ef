"""Phone numbers set aside for drama, and numbers of the right length that no numbering plan assigns."""

import functools
from bisect import bisect_right
from itertools import accumulate
from typing import NamedTuple

import phonenumbers
from faker.providers import BaseProvider

from salmu.data.identities import permute
from salmu.data.tables import grouped
from salmu.tasks.personas.value import NoValue, Value


class Tier(NamedTuple):
    level: str
    blocks: list[dict[str, str]]
    starts: list[int]  # how many numbers are in the blocks before each
    size: int


@functools.cache
def tiers(country: str) -> tuple[Tier, ...]:
    """The blocks of a country by level, the reserved ones first, if there are any."""
    rows = grouped("phone_blocks", "country")[country]
    levels = {level: [row for row in rows if row["level"] == level] for level in ("G3", "G2")}
    return tuple(_tier(level, blocks) for level, blocks in levels.items() if blocks)


def _tier(level: str, blocks: list[dict[str, str]]) -> Tier:
    *starts, size = accumulate((10 ** int(block["free"]) for block in blocks), initial=0)
    return Tier(level, blocks, starts, size)


class PhoneProvider(BaseProvider):
    def fictitious_phone(self, country: str, number: int, key: str, step: int) -> Value:
        """A phone number in international form for the person with this number in the country: the first ones get
        reserved ones, in a run of whatever size. No other number below `step` gets the same.

        Attempt k takes the place number + k x step, which is nobody else's; a further attempt is made only where the
        installed metadata calls an unreserved number valid. Raises NoValue when all are used up."""
        for tier in tiers(country):
            if tier.level == "G3":
                if number < tier.size:
                    return _number(tier, permute(number, tier.size, f"{key}|phone|{country}|G3"))
                continue
            for place in range(number, tier.size, step):
                value = _number(tier, permute(place, tier.size, f"{key}|phone|{country}|{tier.level}"))
                if value:
                    return value
        raise NoValue(
            f"no phone number of {country} is left by phonenumbers {phonenumbers.__version__}; "
            "phone_blocks.csv is out of date"
        )


def _number(tier: Tier, place: int) -> Value | None:
    """The number at a place of the tier; None where it is neither reserved nor possible and unassigned."""
    index = bisect_right(tier.starts, place) - 1
    block = tier.blocks[index]
    national = block["prefix"] + str(place - tier.starts[index]).zfill(int(block["free"]))
    phone = phonenumbers.PhoneNumber(
        country_code=int(block["calling_code"]),
        national_number=int(national),
        italian_leading_zero=national.startswith("0") or None,
    )
    text = phonenumbers.format_number(phone, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    if tier.level == "G3":
        return Value(text, "G3", "in a range set aside for drama", block["source"])
    if phonenumbers.is_valid_number(phone) or not phonenumbers.is_possible_number(phone):
        return None
    return Value(text, "G2", "of a possible length, but never assigned", block["source"])
