"""Phone numbers set aside for drama, and numbers of the right length that no numbering plan assigns."""

import functools
from typing import NamedTuple

import phonenumbers
from faker.providers import BaseProvider

from data.tables import grouped
from tasks.personas.permutation import permute
from tasks.personas.value import NoValue, Value


class Tier(NamedTuple):
    level: str
    blocks: list[dict[str, str]]
    size: int


@functools.cache
def tiers(country: str) -> tuple[Tier, ...]:
    """The blocks of a country by level, the reserved ones first."""
    found = []
    for level in ("G3", "G2"):
        blocks = [row for row in grouped("phone_blocks", "country")[country] if row["level"] == level]
        found.append(Tier(level, blocks, sum(10 ** int(block["free"]) for block in blocks)))
    return tuple(found)


class PhoneProvider(BaseProvider):
    def fictitious_phone(self, country: str, number: int, key: str) -> Value:
        """A number in international form for identity `number`; no other number of the country gets the same.

        Raises NoValue beyond the country's capacity, and where the installed metadata calls an unreserved number valid."""
        place = number
        for tier in tiers(country):
            if place < tier.size:
                return _number(country, tier, permute(place, tier.size, f"{key}|phone|{country}|{tier.level}"))
            place -= tier.size
        raise NoValue(f"{country} has only {number - place} fictitious phone numbers, too few for number {number}")


def _number(country: str, tier: Tier, place: int) -> Value:
    for block in tier.blocks:
        size = 10 ** int(block["free"])
        if place < size:
            break
        place -= size
    national = block["prefix"] + str(place).zfill(int(block["free"]))
    phone = phonenumbers.PhoneNumber(country_code=int(block["calling_code"]), national_number=int(national),
                                     italian_leading_zero=national.startswith("0") or None)
    text = phonenumbers.format_number(phone, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    if tier.level == "G3":
        return Value(text, "G3", "in a range set aside for drama", block["source"])
    if phonenumbers.is_valid_number(phone) or not phonenumbers.is_possible_number(phone):
        raise NoValue(f"{text} is no longer free in phonenumbers {phonenumbers.__version__}; phone_blocks.csv is out of date")
    return Value(text, "G2", "of a possible length, but never assigned", block["source"])
