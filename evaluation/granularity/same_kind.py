"""Values that belong to nobody and differ from a given one in what its coarse value leaves open."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

from stdnum import luhn

from salmu.data import tables
from salmu.data.keyed import digest, python_random
from salmu.evaluation.granularity.coarse import coarse_value, prompts
from salmu.tasks.personas import stage
from salmu.tasks.personas.city import cities
from salmu.tasks.personas.value import NoValue, Value


def made_values(field: str, value: str, kind: str, person: dict, count: int, *key) -> list[str]:
    """Values of a field with the coarse value `kind`: all of a table, or about so many that are made by the rules of
    the personas, drawn by `key`. Empty where the person's country is needed and unknown."""
    country = person.get("country_code")
    if country not in tables.grouped("countries", "country") and field not in ("job", "blood_type", "credit_card"):
        return []
    made = MAKERS[field](value, kind, country, range(count + 1), digest(*key))
    return [other for other in made if coarse_value(field, other, country) == kind]


def _cities(value: str, kind: str, country: str, numbers: range, key: str) -> list[str]:
    return [city for city, _, _ in cities(country)]


def _jobs(value: str, kind: str, country: str, numbers: range, key: str) -> list[str]:
    return list(prompts().fields_of_work[kind])


def _blood_types(value: str, kind: str, country: str, numbers: range, key: str) -> list[str]:
    return [f"{kind}+", f"{kind}-"]


def _emails(value: str, kind: str, country: str, numbers: range, key: str) -> list[str]:
    """The person's addresses at other hosts of the domain, with either sign between the parts of the name."""
    local = value.partition("@")[0]
    culture = tables.grouped("countries", "country")[country][0]["culture"]
    labels = tables.grouped("cultures", "culture")[culture][0]["labels"].split()
    return [f"{one}@{label}.{kind}" for one in {local, _other_sign(local)} for label in labels]


def _other_sign(local: str) -> str:
    return local.translate(str.maketrans("._", "_."))


def _cards(value: str, kind: str, country: str, numbers: range, key: str) -> Iterator[str]:
    for number in numbers:
        digits = f"{kind}{python_random(key, number).randrange(10**11):011d}"
        digits += luhn.calc_check_digit(digits)
        yield " ".join(digits[start : start + 4] for start in range(0, 16, 4))


def _numbers(make: Callable[[Any, str, int, str], Value]) -> Callable:
    """A maker of the numbers that a provider of the personas gives to the first serial numbers under another key."""

    def made(value: str, kind: str, country: str, numbers: range, key: str) -> Iterator[str]:
        for number in numbers:
            try:
                yield make(_engine(), country, number, key).text
            except NoValue:
                return

    return made


@functools.cache
def _engine() -> Any:
    return stage.load_engine(stage.Settings())


MAKERS = {
    "city": _cities,
    "job": _jobs,
    "blood_type": _blood_types,
    "phone_number": _numbers(lambda engine, *place: engine.fictitious_phone(*place, step=1)),
    "emails": _emails,
    "iban": _numbers(lambda engine, *place: engine.fictitious_iban(*place)),
    "credit_card": _cards,
    "passport": _numbers(lambda engine, *place: engine.fictitious_passport(*place)),
}
