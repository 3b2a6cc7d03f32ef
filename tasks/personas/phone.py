"""Phone numbers set aside for drama, and numbers of the right length that no numbering plan assigns."""

import functools
from typing import NamedTuple

import phonenumbers
from faker.providers import BaseProvider

from data.identities import permute
from data.tables import grouped
from tasks.personas.value import NoValue, Value


class Tier(NamedTuple):
    level: str
    blocks: list[dict[str, str]]
    size: int


@functools.cache
def tiers(country: str) -> tuple[Tier, ...]:
    """The blocks of a country by level, the reserved ones first, if there are any."""
    rows = grouped("phone_blocks", "country")[country]
    levels = {level: [row for row in rows if row["level"] == level] for level in ("G3", "G2")}
    return tuple(
        Tier(level, blocks, sum(10 ** int(block["free"]) for block in blocks))
        for level, blocks in levels.items()
        if blocks
    )


def place(country: str, serial: int, tier: int) -> int:
    """Equal for two serials if, and only if, their numbers in this tier of the country are equal."""
    return serial % tiers(country)[tier].size


class PhoneProvider(BaseProvider):
    def fictitious_phone(self, country: str, serial: int, key: str, tier: int = 0) -> Value:
        """A number in international form, at the serial's place in a tier of the country's blocks; tier 0 are the
        reserved ones.

        Raises NoValue beyond the last tier, and where the installed metadata calls an unreserved number valid."""
        if tier == len(tiers(country)):
            raise NoValue(f"all phone numbers of serial {serial} in {country} are taken")
        chosen = tiers(country)[tier]
        return _number(
            chosen, permute(place(country, serial, tier), chosen.size, f"{key}|phone|{country}|{chosen.level}")
        )


def _number(tier: Tier, place: int) -> Value:
    for block in tier.blocks:
        size = 10 ** int(block["free"])
        if place < size:
            break
        place -= size
    national = block["prefix"] + str(place).zfill(int(block["free"]))
    phone = phonenumbers.PhoneNumber(
        country_code=int(block["calling_code"]),
        national_number=int(national),
        italian_leading_zero=national.startswith("0") or None,
    )
    text = phonenumbers.format_number(phone, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    if tier.level == "G3":
        return Value(text, "G3", "in a range set aside for drama", block["source"])
    if phonenumbers.is_valid_number(phone) or not phonenumbers.is_possible_number(phone):
        raise NoValue(
            f"{text} is no longer free in phonenumbers {phonenumbers.__version__}; phone_blocks.csv is out of date"
        )
    return Value(text, "G2", "of a possible length, but never assigned", block["source"])
