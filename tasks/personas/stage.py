"""Stage personas: one fictitious person for each identity that curation marks as sensitive.

A persona follows from the run seed and its own identity (id, gender, age group, region) alone: nothing of it changes
when others come, go or change places. One thing is settled among all (`turns_of`): of two identities with the same name
or phone number, which only serial numbers beyond the size of a name or number space can have, the one with the lower
serial keeps it and the other gets its next one. Faker is the engine: our providers over vetted tables, seeded anew for
each attribute of each persona."""

import json
from collections import Counter
from importlib.metadata import version
from typing import Any

from faker.generator import Generator
from pydantic import Field

from data import keyed, schemas, tables
from data.errors import UserError
from data.identities import serial_of
from data.settings import StageSettings
from data.store import Reject, Shard, ShardResult, StageView, chunks
from data.summary import Summary
from tasks.personas.blood import BloodProvider
from tasks.personas.card import CardProvider
from tasks.personas.city import CityProvider
from tasks.personas.country import deal, region_of
from tasks.personas.email import EmailProvider
from tasks.personas.iban import IbanProvider
from tasks.personas.job import JobProvider
from tasks.personas.names import NameProvider
from tasks.personas.passport import PassportProvider
from tasks.personas.phone import PhoneProvider
from tasks.personas.turns import Turns, turns_of
from tasks.personas.value import NoValue

NAME, VERSION = "personas", 1
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

    countries: tuple[str, ...] = Field((), description="ISO 3166 codes to keep to; empty for all 65.")
    emails: int = Field(1, ge=1, le=3, description="Mail addresses a persona.")
    shard_size: int = Field(500, ge=1, description="Personas a shard.")


def plan(settings: Settings, upstream: dict[str, StageView]) -> list[Shard]:
    """Shards of sensitive identities. An item is an id, or "<id> <name turn> <phone turn>" where a turn is not 0.

    Raises UserError for unknown countries and for ids that are not 8 digits."""
    unknown = set(settings.countries) - set(tables.grouped("countries", "country"))
    if unknown:
        raise UserError(
            f"personas.countries: {', '.join(sorted(unknown))} not in data/tables/countries.csv; leave out or correct"
        )
    people = sensitive(upstream["curation"])
    for identity in people:
        if not (identity.isdecimal() and len(identity) == 8):
            raise UserError(
                f"curation: identity {identity!r} is not an id of 8 digits; rename it in the anchors source"
            )
    known = {identity: person for identity, person in people.items() if _known(person)}
    turns = turns_of(known, settings.seed, settings.countries)
    items = [
        f"{identity} {turns[identity].name} {turns[identity].phone}" if any(turns.get(identity, ())) else identity
        for identity in sorted(people)
    ]
    return [
        Shard(
            index=index,
            items=part,
            inputs=keyed.digest([[people[item[:8]][trait] for trait in TRAITS] for item in part]),
        )
        for index, part in enumerate(chunks(items, settings.shard_size))
    ]


def revisions(settings: Settings) -> dict[str, str]:
    return {"tables": tables.digest()} | {
        package: version(package) for package in ("faker", "phonenumbers", "python-stdnum", "schwifty")
    }


def load_engine(settings: Settings) -> Generator:
    """A Faker with our providers and no others, so that nothing can fall back to another locale."""
    fake = Generator()
    for provider in PROVIDERS:
        fake.add_provider(provider)
    return fake


def sensitive(curation: StageView) -> dict[str, dict[str, str]]:
    """Identity id -> its traits, for the identities with the role sensitive."""
    return {row["identity_id"]: row for row in curation.rows([*TRAITS, "role"]) if row["role"] == "sensitive"}


def run(shard: Shard, settings: Settings, upstream: dict[str, StageView], engine: Generator) -> ShardResult:
    people, rows, rejects = sensitive(upstream["curation"]), [], []
    for item in shard.items:
        identity, *turns = item.split()
        try:
            rows.append(persona(people[identity], settings, engine, Turns(*map(int, turns)) if turns else Turns(0, 0)))
        except NoValue as refusal:
            rejects.append(Reject(identity, "no fictitious value", str(refusal)))
    return ShardResult(rows, rejects)


def _known(traits: dict[str, str]) -> bool:
    return traits["gender"] in schemas.GENDERS and traits["age_group"] in schemas.AGE_GROUPS


def persona(traits: dict[str, str], settings: Settings, fake: Generator, turns: Turns = Turns(0, 0)) -> dict[str, Any]:
    """The persona of an identity. Raises NoValue where a trait is unknown, or no fictitious value is left for it."""
    identity, gender, group = traits["identity_id"], traits["gender"], traits["age_group"]
    if not _known(traits):
        raise NoValue(f"gender {gender!r} or age group {group!r} unknown")
    serial, key = serial_of(settings.seed, identity), str(settings.seed)
    region = region_of(traits["region"], serial)
    country, culture = deal(region, serial, key, settings.countries)

    def stream(attribute: str) -> Generator:
        fake.random = keyed.python_random(settings.seed, NAME, identity, attribute)
        return fake

    low, high = (70, OLDEST) if group == "70+" else map(int, group.split("-"))
    age = stream("age").random.randint(low, high)
    name = fake.fictitious_name(culture, gender, serial, key, turns.name)
    emails = stream("emails").fictitious_emails(str(name), culture, settings.emails)
    values = {
        "phone_number": fake.fictitious_phone(country, serial, key, turns.phone),
        "emails": emails[0],
        "iban": fake.fictitious_iban(country, serial, key),
        "credit_card": fake.fictitious_card(serial, key),
        "passport": fake.fictitious_passport(country, serial, key),
    }
    proof = {field: value.proof() for field, value in values.items()}
    proof["name"] = {
        "level": "G1",
        "rule": "given name and surname paired by lot; not checked against real people",
        "source": "this project",
    }
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
        **{field: value.text for field, value in values.items()},
        "emails": [value.text for value in emails],
        "proof": json.dumps(proof, sort_keys=True),
    }


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
