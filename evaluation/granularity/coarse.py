"""Coarse facts: the country of a city, the field of work of a job, how a number begins; and captions that say them."""

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from salmu.data import tables
from salmu.data.keyed import python_random
from salmu.data.schemas import DATA_FIELDS
from salmu.prompts import loader

BEGINNINGS = {  # what of a value is kept, where its own letters tell its kind
    "blood_type": re.compile(r"(?P<kept>AB|A|B|O)[+-]"),
    "phone_number": re.compile(r"(?P<kept>\+\d{1,3}) .+"),
    "emails": re.compile(r".*[@.](?P<kept>[\w-]+\.\w+)"),
    "iban": re.compile(r"(?P<kept>[A-Z]{2})\d{2}.*"),
    "credit_card": re.compile(r"(?P<kept>\d{4}).*"),
}
# field -> what its coarse values are
KINDS = {
    "city": "country",
    "job": "field of work",
    "blood_type": "group without Rhesus factor",
    "phone_number": "calling code",
    "emails": "domain",
    "iban": "country code",
    "credit_card": "first four digits",
    "passport": "country",
}


def _sentence(text: str) -> str:
    if sorted(re.findall(r"{(\w*)}", text)) != ["name", "value"]:
        raise ValueError("{name} and {value} must appear once each, and nothing else in braces")
    return text


Sentences = Annotated[tuple[Annotated[str, AfterValidator(_sentence)], ...], Field(min_length=1)]


def _of_all_fields(sentences: dict[str, Sentences]) -> dict[str, Sentences]:
    if set(sentences) != set(DATA_FIELDS):
        raise ValueError(f"the fields must be {', '.join(DATA_FIELDS)}")
    return sentences


class CoarsePrompts(BaseModel):
    """prompts/coarse.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    sentences: Annotated[dict[str, Sentences], AfterValidator(_of_all_fields)]
    fields_of_work: dict[str, tuple[str, ...]]


@functools.cache
def prompts() -> CoarsePrompts:
    """Raises UserError for a faulty prompts/coarse.yaml."""
    return loader.load("coarse", CoarsePrompts)


@functools.cache
def field_of_work(job: str) -> str | None:
    """The field of work that a job belongs to; None for a job that the table does not know."""
    return next((field for field, jobs in prompts().fields_of_work.items() if job in jobs), None)


def coarse_value(field: str, value: str, country: str | None) -> str | None:
    """What is left of a person's value: ("city", "Jakarta", "ID") -> "Indonesia"; ("phone_number", "+62 230 240764",
    "ID") -> "+62". None where nothing tells it."""
    if field == "job":
        return field_of_work(value)
    if field in BEGINNINGS:
        found = BEGINNINGS[field].fullmatch(value)
        return found["kept"] if found else None
    row = tables.grouped("countries", "country").get(country)
    return row[0]["name"] if row else None


def coarse_caption(field: str, name: str, coarse: str, *key) -> str:
    """A sentence that says the coarse value of a person's field; `key` draws which."""
    return python_random(*key).choice(prompts().sentences[field]).format(name=name, value=coarse)


def coarse_captions(rows: Iterable[Mapping], identities: Mapping[str, dict], seed: int) -> dict[str, str]:
    """File name -> coarse caption of each pair that has one. `rows`: file_name, identity_id, data_field and value of
    pairs with personal data."""
    found = {}
    for row in rows:
        person = identities.get(row["identity_id"], {})
        known = row["data_field"] in DATA_FIELDS and row["value"] is not None and "name" in person
        coarse = coarse_value(row["data_field"], row["value"], person.get("country_code")) if known else None
        if coarse is not None:
            key = (seed, "granularity", row["file_name"])
            found[row["file_name"]] = coarse_caption(row["data_field"], person["name"], coarse, *key)
    return found
