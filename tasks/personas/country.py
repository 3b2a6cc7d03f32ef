"""The country of a persona: each region has a deck of countries, which is dealt along the identity numbers."""

import functools

from data.errors import UserError
from data.keyed import python_random
from data.schemas import REGIONS
from data.tables import grouped


@functools.cache
def _deck(region: str, turn: int, key: str, allowed: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    rows = [row for row in grouped("regions", "region")[region] if not allowed or row["country"] in allowed]
    if not rows:
        raise UserError(f"personas.countries: none of {', '.join(allowed)} in the deck of region {region!r}; add one from data/tables/regions.csv")
    cards = [(row["country"], row["culture"]) for row in rows for _ in range(int(row["cards"]))]
    python_random("deck", key, region, turn).shuffle(cards)
    return tuple(cards)


def deal(region: str, number: int, key: str, allowed: tuple[str, ...] = ()) -> tuple[str, str]:
    """Country and culture of identity `number`, by its region, number and the key alone.

    Seven numbers in a row, one a region on average, share a place in the decks; so a run of consecutive numbers meets each card of a
    deck of 40 about once in 280 numbers, and a small run few cards twice."""
    place = number // len(REGIONS)
    size = len(_deck(region, 0, key, allowed))
    return _deck(region, place // size, key, allowed)[place % size]
