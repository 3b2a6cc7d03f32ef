"""The country of a persona: each region has a deck of countries, which is dealt along the serial numbers."""

import functools
from collections import Counter
from typing import NamedTuple

from salmu.data.errors import UserError
from salmu.data.identities import IDENTITIES
from salmu.data.keyed import python_random
from salmu.data.schemas import REGIONS
from salmu.data.tables import grouped


class Card(NamedTuple):
    country: str
    culture: str


class Place(NamedTuple):
    """Where a persona comes from, and its number there: of two identities of a culture `of_culture` differs, of two in
    a country `of_country`. The numbers grow with the serial."""

    country: str
    culture: str
    of_country: int
    of_culture: int


Allowed = tuple[str, ...]  # countries to keep to; empty for all


def require_countries(countries: Allowed) -> None:
    """Raises UserError for a country that the tables do not hold."""
    if unknown := set(countries) - set(grouped("countries", "country")):
        raise UserError(
            f"personas.countries: {', '.join(sorted(unknown))} not in data/tables/countries.csv; leave out or correct"
        )


@functools.cache
def deck(region: str, allowed: Allowed) -> list[Card]:
    return [
        Card(row["country"], row["culture"])
        for row in grouped("regions", "region")[region]
        if not allowed or row["country"] in allowed
        for _ in range(int(row["cards"]))
    ]


class Shuffled(NamedTuple):
    """A deck, and for each card how many of its country, and of its culture, lie before it."""

    cards: tuple[Card, ...]
    country: tuple[int, ...]
    culture: tuple[int, ...]


@functools.lru_cache(maxsize=2**15)  # a million identities have 25,000; ids come in the order of none of them
def _shuffled(region: str, turn: int, key: str, allowed: Allowed) -> Shuffled:
    cards = list(deck(region, allowed))
    python_random("deck", key, region, turn).shuffle(cards)
    seen: Counter = Counter()
    before: dict[str, list[int]] = {"country": [], "culture": []}
    for card in cards:
        for kind, value in zip(Card._fields, card, strict=True):
            before[kind].append(seen[kind, value])
            seen[kind, value] += 1
    return Shuffled(tuple(cards), *map(tuple, before.values()))


def deal(region: str, serial: int, key: str, allowed: Allowed = ()) -> Place:
    """The place of the identity with this serial number, by its region, serial and the key alone.

    Seven serials in a row share a place in the decks. Where the source of the anchors gives them one region each, as
    `procedural` does, 280 identities meet each card of each deck of 40 once, and a small run meets none twice;
    elsewhere it is a weighted draw. Raises UserError if no allowed country is in the region's deck."""
    size = len(deck(region, allowed))
    if not size:
        raise UserError(
            f"personas.countries: none of {', '.join(allowed)} is in the deck of region {region!r}; "
            "add one from data/tables/regions.csv"
        )
    row, share = divmod(serial, len(REGIONS))
    turn, index = divmod(row, size)
    shuffled = _shuffled(region, turn, key, allowed)

    def number(kind: str) -> int:
        value = getattr(shuffled.cards[index], kind)
        rank = turn * _count(region, kind, value, allowed) + getattr(shuffled, kind)[index]
        regions = _regions(kind, value, allowed)
        return (rank * len(REGIONS) + share) * len(regions) + regions.index(region)

    return Place(*shuffled.cards[index], number("country"), number("culture"))


@functools.cache
def _count(region: str, kind: str, value: str, allowed: Allowed) -> int:
    return sum(getattr(card, kind) == value for card in deck(region, allowed))


@functools.cache
def _regions(kind: str, value: str, allowed: Allowed) -> list[str]:
    return [region for region in REGIONS if _count(region, kind, value, allowed)]


@functools.cache
def most(kind: str, value: str, allowed: Allowed = (), serials: int = IDENTITIES) -> int:
    """A number above all those of a country or culture (`kind`), for serials below `serials`."""
    regions = _regions(kind, value, allowed)
    ranks = max(
        (serials // (len(REGIONS) * len(deck(region, allowed))) + 1) * _count(region, kind, value, allowed)
        for region in regions
    )
    return ranks * len(REGIONS) * len(regions)


def region_of(region: str | None, serial: int) -> str:
    """The region, or one by the serial number where the source does not know it."""
    return region or REGIONS[serial % len(REGIONS)]
