"""Settles, before any persona is made, who has a name or phone number that two identities would share.

Every identity has a first, second and third name, and a first and second phone number, which follow from its serial
number alone (names.py, phone.py). It takes its first ones, unless an identity with a lower serial has taken the same.
"""

from typing import NamedTuple

from data.identities import serial_of
from tasks.personas import names, phone
from tasks.personas.country import deal, region_of


class Turns(NamedTuple):
    """Which of its names and phone numbers a persona takes, from 0; one too many where all are taken."""

    name: int
    phone: int


def turns_of(people: dict[str, dict[str, str]], seed: int, countries: tuple[str, ...]) -> dict[str, Turns]:
    """Identity id -> its turns, for identities of known traits."""
    taken: set[tuple] = set()
    turns = {}
    for serial, identity in sorted((serial_of(seed, identity), identity) for identity in people):
        gender, region = people[identity]["gender"], region_of(people[identity]["region"], serial)
        country, culture = deal(region, serial, str(seed), countries)
        name_places = [names.place(culture, gender, serial, turn) for turn in range(names.MOST_FURTHER + 1)]
        phone_places = [phone.place(country, serial, turn) for turn in range(len(phone.tiers(country)))]
        turns[identity] = Turns(_take(taken, (culture, gender), name_places), _take(taken, (country,), phone_places))
    return turns


def _take(taken: set[tuple], space: tuple[str, ...], places: list[int]) -> int:
    """Take the first free one of the places, and say which."""
    for turn, place in enumerate(places):
        if (*space, turn, place) not in taken:
            taken.add((*space, turn, place))
            return turn
    return len(places)
