"""Cities of a country."""

import functools

from faker.providers import BaseProvider

from salmu.data.tables import fold, grouped


@functools.cache
def cities(country: str) -> list[tuple[str, float, list[str]]]:
    """City, weight (square root of the population) and folded words."""
    return [
        (row["city"], float(row["population"]) ** 0.5, fold(row["city"]).split())
        for row in grouped("cities", "country")[country]
    ]


class CityProvider(BaseProvider):
    def city_of(self, country: str, name: str) -> str:
        """A city of the country; none of whose words is a part of the person's name."""
        folded = fold(name)
        fitting = [
            (city, weight) for city, weight, words in cities(country) if not any(word in folded for word in words)
        ]
        return self.generator.random.choices(*zip(*fitting, strict=True))[0]
