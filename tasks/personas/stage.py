"""Stage personas: one fictitious person for each identity that curation marks as sensitive.

A persona follows from the run seed and its own identity (id, gender, age group, region) alone: nothing of it changes
when others come, go or change places, and nothing is shared between the workers. Its identifying values are places in
keyed permutations of its serial number, or of its number among those of its country or culture (country.py), so that
any of a million personas can be made alone and none has another's value.

Faker is the engine: our providers over vetted tables, seeded anew for each attribute of each persona."""

import functools
import json
from collections import Counter
from importlib.metadata import version
from typing import Any

import phonenumbers
from faker.generator import Generator
from pydantic import Field

from salmu.data import keyed, schemas, tables
from salmu.data.errors import UserError
from salmu.data.identities import serial_of
from salmu.data.settings import StageSettings
from salmu.data.store import Reject, Shard, ShardResult, StageView, chunks
from salmu.data.summary import Summary
from salmu.tasks.personas.blood import BloodProvider
from salmu.tasks.personas.card import CardProvider
from salmu.tasks.personas.city import CityProvider
from salmu.tasks.personas.country import deal, most, region_of, require_countries
from salmu.tasks.personas.email import EmailProvider
from salmu.tasks.personas.iban import IbanProvider
from salmu.tasks.personas.job import JobProvider
from salmu.tasks.personas.names import Name, NameProvider, name_value
from salmu.tasks.personas.passport import PassportProvider
from salmu.tasks.personas.phone import PhoneProvider
from salmu.tasks.personas.value import NoValue, Value

NAME, VERSION = "personas", 2
UPSTREAM = ("curation",)
SCHEMA, KEY = schemas.PERSONAS, "identity_id"
PROVIDERS = (
    NameProvider,
    CityProvider,
    JobProvider,
    BloodProvider,
    PhoneProvider,
    EmailProvider,
    IbanProvider,
    CardProvider,
    PassportProvider,
)
TRAITS = ["identity_id", "gender", "age_group", "region"]
OLDEST = 85


class Settings(StageSettings):
    """Personas: who the sensitive identities are said to be."""

    countries: tuple[str, ...] = Field((), description="ISO 3166 codes to use; empty for all 65.")
    emails: int = Field(1, ge=1, le=3, description="E-mail addresses per persona.")
    shard_size: int = Field(500, ge=1, description="Personas per shard.")


def plan(settings: Settings, upstream: dict[str, StageView]) -> list[Shard]:
    """Shards of sensitive identities, by id. Raises UserError for unknown countries and for ids that are not 8
    digits."""
    require_countries(settings.countries)
    people = sensitive(upstream["curation"])
    for identity in people:
        if not (identity.isdecimal() and len(identity) == 8):
            raise UserError(
                f"curation: identity {identity!r} is not an id of 8 digits; rename it in the anchors source"
            )
    for region in sorted({region_of(one["region"], serial_of(settings.seed, id)) for id, one in people.items()}):
        deal(region, 0, str(settings.seed), settings.countries)  # says whether a country is left
    return [
        Shard(
            index=index, items=part, inputs=keyed.digest([[people[item][trait] for trait in TRAITS] for item in part])
        )
        for index, part in enumerate(chunks(sorted(people), settings.shard_size))
    ]


def revisions(settings: Settings) -> dict[str, str]:
    return {"tables": tables.digest()} | {
        package: version(package) for package in ("faker", "phonenumbers", "python-stdnum", "schwifty")
    }


def load_engine(settings: Settings) -> Generator:
    """A Faker with our providers and no others, so that nothing can fall back to another locale."""
    phonenumbers.enable_pattern_cache()  # all countries have more patterns than Python keeps compiled by itself
    fake = Generator()
    for provider in PROVIDERS:
        fake.add_provider(provider)
    return fake


def sensitive(curation: StageView) -> dict[str, dict[str, str]]:
    """Identity id -> its traits, for the identities with the role sensitive."""
    return {row["identity_id"]: row for row in curation.rows([*TRAITS, "role"]) if row["role"] == "sensitive"}


def run(shard: Shard, settings: Settings, upstream: dict[str, StageView], engine: Generator) -> ShardResult:
    people, rows, rejects = upstream["curation"].once(sensitive), [], []
    for identity in shard.items:
        try:
            rows.append(persona(people[identity], settings, engine))
        except NoValue as refusal:
            rejects.append(Reject(identity, "no fictitious value", str(refusal)))
    return ShardResult(rows, rejects)


def persona(traits: dict[str, str], settings: Settings, fake: Generator) -> dict[str, Any]:
    """The persona of an identity. Raises NoValue where a trait is unknown, or no fictitious value is left for it."""
    identity, gender, group = traits["identity_id"], traits["gender"], traits["age_group"]
    if gender not in schemas.GENDERS or group not in schemas.AGE_GROUPS:
        raise NoValue(f"gender {gender!r} or age group {group!r} unknown")
    serial = serial_of(settings.seed, identity)
    region = region_of(traits["region"], serial)
    country, name, values = identifying(identity, serial, gender, region, settings, fake)

    def stream(attribute: str) -> Generator:
        fake.random = keyed.python_random(settings.seed, NAME, identity, attribute)
        return fake

    low, high = (70, OLDEST) if group == "70+" else map(int, group.split("-"))
    age = stream("age").random.randint(low, high)
    return {
        "identity_id": identity,
        "gender": gender,
        "age": age,
        "age_group": group,
        "region": region,
        "country_code": country,
        "first_name": name.first,
        "last_name": name.last,
        "name": str(name),
        "city": stream("city").city_of(country, str(name)),
        "job": stream("job").job_at(age),
        "blood_type": stream("blood_type").blood_type_in(country),
        **{field: found[0].text for field, found in values.items() if field != "name"},
        "emails": [email.text for email in values["emails"]],
        "proof": _proof(tuple((field, *found[0][1:]) for field, found in values.items())),
    }


@functools.lru_cache(maxsize=2**12)  # a few hundred are different
def _proof(claims: tuple[tuple[str, str, str, str], ...]) -> str:
    """Field, level, rule and source of each value, as JSON."""
    names = Value._fields[1:]
    return json.dumps({field: dict(zip(names, claim, strict=True)) for field, *claim in claims}, sort_keys=True)


def identifying(
    identity: str, serial: int, gender: str, region: str, settings: Settings, fake: Generator
) -> tuple[str, Name, dict[str, list[Value]]]:
    """Country, name, and the identifying values with their proofs: each belongs to no other identity of the run,
    whatever its size. Raises NoValue where none is left."""
    key, countries = str(settings.seed), settings.countries
    place = deal(region, serial, key, countries)
    name = fake.fictitious_name(place.culture, gender, place.of_culture, key)
    fake.random = keyed.python_random(settings.seed, NAME, identity, "emails")
    step = most("country", place.country, countries)
    return (
        place.country,
        name,
        {
            "name": [name_value(name)],
            "phone_number": [fake.fictitious_phone(place.country, place.of_country, key, step)],
            "emails": fake.fictitious_emails(str(name), place.culture, settings.emails),
            "iban": [fake.fictitious_iban(place.country, serial, key)],
            "credit_card": [fake.fictitious_card(serial, key)],
            "passport": [fake.fictitious_passport(place.country, serial, key)],
        },
    )


def summarise(settings: Settings, view: StageView, upstream: dict[str, StageView]) -> Summary:
    rows = list(view.rows())
    countries = Counter(row["country_code"] for row in rows)
    levels = Counter((field, proof["level"]) for row in rows for field, proof in json.loads(row["proof"]).items())
    rejects = Counter(reject.reason for reject in view.rejects())
    shown = (
        "identity_id",
        "name",
        "gender",
        "age",
        "country_code",
        "city",
        "job",
        "blood_type",
        "phone_number",
        "iban",
        "credit_card",
        "passport",
    )
    sample = keyed.ranked([row["identity_id"] for row in rows], "sample")[:20]
    women = sum(row["gender"] == "female" for row in rows)
    text = (
        f"{len(rows)} personas from {len(countries)} countries, {women} of them women; "
        f"{sum(rejects.values())} identities without a persona."
    )
    return Summary(
        text,
        {
            "Personas by country": [
                {"country": country, "personas": count} for country, count in countries.most_common()
            ],
            "Proof of fiction": [
                {"field": field, "level": level, "personas": count} for (field, level), count in sorted(levels.items())
            ],
            "Identities without a persona": [
                {"reason": reason, "identities": count} for reason, count in rejects.items()
            ],
            "Sample personas": [
                {column: row[column] for column in shown} for row in rows if row["identity_id"] in sample
            ],
        },
    )
