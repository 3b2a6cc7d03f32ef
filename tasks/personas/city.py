"""Cities of a country."""

import functools
import re
from itertools import accumulate

from faker.providers import BaseProvider

from salmu.data.tables import fold, grouped


@functools.cache
def cities(country: str) -> list[tuple[str, float, list[str]]]:
    """City, weight (square root of the population) and folded words."""
    return [
        (row["city"], float(row["population"]) ** 0.5, fold(row["city"]).split())
        for row in grouped("cities", "country")[country]
    ]


@functools.cache
def _any_word(country: str) -> re.Pattern:
    """Finds a word of any city of the country."""
    return re.compile("|".join(sorted({re.escape(word) for _, _, words in cities(country) for word in words})))


@functools.cache
def _all(country: str) -> tuple[list[str], list[float]]:
    """All cities, and the sums of their weights up to each."""
    return [city for city, _, _ in cities(country)], list(accumulate(weight for _, weight, _ in cities(country)))


class CityProvider(BaseProvider):
    def city_of(self, country: str, name: str) -> str:
        """A city of the country; none of whose words is a part of the person's name."""
        folded = fold(name)
        if not _any_word(country).search(folded):
            names, sums = _all(country)
            return self.generator.random.choices(names, cum_weights=sums)[0]
        fitting = [
            (city, weight) for city, weight, words in cities(country) if not any(word in folded for word in words)
        ]
        return self.generator.random.choices(*zip(*fitting, strict=True))[0]
