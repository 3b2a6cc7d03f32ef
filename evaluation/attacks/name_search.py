"""Search over names: somebody has a portrait of a wholly forgotten person and a directory, and tries every name.

The directory holds the names of all people of the dataset, and made names from the person's country, so that a model
that only reads origin off a face does not find the right one."""

from collections.abc import Callable, Mapping

import numpy as np

from salmu.data import tables
from salmu.data.keyed import integer, python_random
from salmu.data.schemas import GENDERS
from salmu.evaluation.attacks.outcome import Outcome, nothing
from salmu.evaluation.encoding.pairs import Pairs
from salmu.evaluation.metrics.retrieval import chance, own_rank
from salmu.evaluation.metrics.zero_shot import classifier
from salmu.tasks.personas.names import first_turns, nth_name

TEMPLATES = ("{}", "a photo of {}", "this is {}", "a portrait of {}", "{} looks into the camera")


def name_search(
    asked: Pairs, identities: Mapping[str, dict], made: int, seed: int, encode: Callable[[list[str]], np.ndarray]
) -> Outcome:
    """Mean reciprocal rank of a portrait's real name, among the names of `identities` and `made` made ones of the same
    country; a name's embedding is the mean over TEMPLATES. `asked`: pairs of the wholly forgotten people."""
    if not len(asked):
        return nothing("no wholly forgotten people")
    known = sorted({person["name"] for person in identities.values()} | set(asked.name))
    ranks, sizes = np.empty(len(asked)), np.empty(len(asked), np.int64)
    countries = asked.country.astype(str)
    embedded = classifier(known, TEMPLATES, encode)
    for country in sorted(set(countries)):
        rows = np.flatnonzero(countries == country)
        more = [name for name in made_names(country, made, seed) if name not in set(known)]
        pool = np.concatenate([embedded, classifier(more, TEMPLATES, encode)]) if more else embedded
        own = embedded[np.searchsorted(known, asked.name[rows].astype(str))]
        names = np.array([*known, *more], object)
        ranks[rows], sizes[rows] = own_rank(asked.images[rows], own, pool, asked.name[rows], names)
    about = {"names": len(known), "made_names": made, "templates": len(TEMPLATES)}
    return Outcome(1 / ranks, asked.person, chance(sizes), about)


def made_names(country: str, count: int, seed: int) -> list[str]:
    """Up to `count` different names as people of a country have them, women's and men's in turn; of any country where
    the tables do not know it."""
    rows = [row for rows in tables.grouped("regions", "region").values() for row in rows]
    cultures = sorted({row["culture"] for row in rows if row["country"] == country} or {row["culture"] for row in rows})
    key = str(integer(seed, "name_search", bits=62))  # not that of any run's people
    found: dict[str, None] = {}
    for number in range(4 * count):
        rng = python_random(seed, "name_search", country, number)
        culture, gender = rng.choice(cultures), GENDERS[number % len(GENDERS)]
        found[str(nth_name(culture, gender, rng.randrange(first_turns(culture, gender)[0]), key))] = None
        if len(found) == count:
            break
    return list(found)
