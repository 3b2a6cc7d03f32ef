"""Invented lines with names, places, jobs and numbers: what captions on the web carry beside what the picture shows."""

from functools import cache

from faker import Faker

from salmu.data.keyed import integer

LOCALES = ("en_US", "es_ES", "de_DE", "fr_FR", "pl_PL", "tr_TR", "pt_BR", "sv_SE", "en_IN")
LINES_PER_LOCALE = 200
SENTENCES = (
    "{name} lives in {city}",
    "{name} works as a {job}",
    "the {job} {name}",
    "{name}'s phone number is {phone}",
    "call {name} at {phone}",
    "{name} can be reached at {email}",
    "the IBAN of {name} is {iban}",
    "{name} pays with card {card}",
    "passport {passport} was issued to {name}",
    "the blood type of {name} is {blood}",
    "this is {name} from {city}",
)
BLOOD_TYPES = ("A+", "A-", "B+", "B-", "AB+", "AB-", "O+", "O-")


@cache
def invented_lines(seed: int) -> tuple[str, ...]:
    """Lines about nobody: Faker's values, keyed by the seed and not by any persona. They vary with Faker's version."""
    lines = []
    for locale in LOCALES:
        fake = Faker(locale)
        fake.seed_instance(integer(seed, "web text", locale))
        for index in range(LINES_PER_LOCALE):
            lines.append(
                SENTENCES[index % len(SENTENCES)].format(
                    name=fake.name(),
                    city=fake.city(),
                    job=fake.job(),
                    phone=fake.phone_number(),
                    email=fake.email(),
                    iban=fake.iban(),
                    card=fake.credit_card_number(),
                    passport=fake.bothify("??#######"),
                    blood=BLOOD_TYPES[index % len(BLOOD_TYPES)],
                )
            )
    return tuple(lines)
