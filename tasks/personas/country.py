"""The country of a persona: each region has a deck of countries, which is dealt along the serial numbers."""

import functools

from data.errors import UserError
from data.keyed import python_random
from data.schemas import REGIONS
from data.tables import grouped


@functools.lru_cache(maxsize=1024)
def _deck(region: str, turn: int, key: str, allowed: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    rows = [row for row in grouped("regions", "region")[region] if not allowed or row["country"] in allowed]
    if not rows:
        raise UserError(
            f"personas.countries: none of {', '.join(allowed)} is in the deck of region {region!r}; "
            "add one from data/tables/regions.csv"
        )
    cards = [(row["country"], row["culture"]) for row in rows for _ in range(int(row["cards"]))]
    python_random("deck", key, region, turn).shuffle(cards)
    return tuple(cards)


def deal(region: str, serial: int, key: str, allowed: tuple[str, ...] = ()) -> tuple[str, str]:
    """Country and culture of the identity with this serial number, by its region, serial and the key alone.

    Seven serials in a row share a place in the decks. Where the source of the anchors gives them one region each, as
    `procedural` does, 280 identities meet each card of each deck of 40 once, and a small run meets none twice;
    elsewhere it is a weighted draw."""
    place = serial // len(REGIONS)
    size = len(_deck(region, 0, key, allowed))
    return _deck(region, place // size, key, allowed)[place % size]


def region_of(region: str | None, serial: int) -> str:
    """The region, or one by the serial number where the source does not know it."""
    return region or REGIONS[serial % len(REGIONS)]
