"""Makes names/<culture>.csv anew, from Faker's lists and seeds.csv.

The tables must leave no doubt: a given name has one gender, and the last word of a surname one culture. So a full name
tells its culture and gender, and two persons can only share a name if they share all of its parts
(tasks/personas/names.py)."""

import importlib
import re
import unicodedata

import nomquamgender

from salmu.data.keyed import ranked
from salmu.data.tables import fold, read
from salmu.data.tables.transliterate import latin

ROLES = ("given_m", "given_f", "surname_m", "surname_f")
MOST, MOST_COMPOSED = 300, 700  # forms of a role in a culture; where names are made of two syllables or words
KNOWN = 20  # persons of a name that make nomquamgender's verdict count
FAKER = {
    "english": "en_US en_GB en_IE en_NZ",
    "german": "de_DE de_AT",
    "french": "fr_FR fr_CH",
    "dutch": "nl_NL",
    "italian": "it_IT",
    "spanish": "es_ES es_MX es_AR es_CO es_CL",
    "portuguese": "pt_PT pt_BR",
    "polish": "pl_PL",
    "czech": "cs_CZ",
    "hungarian": "hu_HU",
    "romanian": "ro_RO",
    "greek": "el_GR",
    "swedish": "sv_SE",
    "norwegian": "no_NO",
    "danish": "da_DK",
    "finnish": "fi_FI",
    "ukrainian": "uk_UA",
    "russian": "ru_RU",
    "nigeria": "yo_NG ig_NG ha_NG",
    "ghana": "tw_GH",
    "kenya": "en_KE",
    "indonesia": "id_ID",
    "india": "en_IN",
}
SURNAMES_ONLY = {"indonesia"}  # of Faker's lists
JOINT = {"china": "", "taiwan": "-", "korea": "-", "vietnam": "-", "thailand": ""}  # between the two parts of a form
SCRIPT = {"greek": "el", "ukrainian": "uk", "russian": "ru"}
NOT_ENGLISH = {"india"}  # cultures whose list is mixed with English given names
UNFIT = {"hitler", "stalin", "putin", "petliura", "bandera", "jesus", "christ"}
SHAPE = re.compile(r"(?:(?:van|de|den|der|van der|van den|Dela|ter|ten) )?[^\W\d_]+(?:['-][^\W\d_]+)*")
FEMALE_FORM = {  # culture -> male ending, female ending
    "polish": (("ski", "ska"), ("cki", "cka"), ("dzki", "dzka")),
    "bulgarian": (("ov", "ova"), ("ev", "eva")),
    "czech": (("ý", "á"), ("ek", "ková"), ("ec", "cová"), ("a", "ová"), (r"(?<=[^aáeéěiíoóuůyý])", "ová")),
}
FITS = {  # culture -> what a man's and a woman's surname look like, where the lists are mixed
    "russian": (r"(ov|ev|yn|in|skii|oi)$", r"a$"),
    "czech": (r"[^á]$", r"á$"),
    "greek": (r"s$", r"(ou|[^o]u|[aiy])$"),
    "ukrainian": (r"(?<!ova)(?<!eva)(?<!ska)(?<!tska)[^a]$", r"(?<!ov)(?<!ev)(?<!yi)(?<!yn)$"),
}


def name_pools() -> dict[str, dict[str, list[str]]]:
    """Culture -> role -> forms."""
    pools = {
        row["culture"]: {role: _clean(row, role, forms) for role, forms in _sources(row["culture"]).items()}
        for row in read("cultures")
    }
    _keep_gendered(pools)
    _keep_disjoint(pools)
    return pools


def source(culture: str) -> str:
    """Where a culture's forms come from."""
    sources = [f"Faker 40.54.0 (MIT) {FAKER[culture]}"] if culture in FAKER else []
    return "; ".join(sources + ["seeds.csv"] * any(row["culture"] == culture for row in read("seeds")))


def _sources(culture: str) -> dict[str, list[str]]:
    """Role -> forms of all sources, in Latin letters, with the endings of the gender."""
    found: dict[str, list[str]] = {role: [] for role in ROLES}
    seeds = {seed["role"]: seed["forms"].split() for seed in read("seeds") if seed["culture"] == culture}
    for kind in ("given_m", "given_f", "surname"):
        forms = [form.replace("_", " ") for form in seeds.get(kind, [])]
        forms += _composed(seeds.get(f"{kind}.1", []), seeds.get(f"{kind}.2", []), JOINT.get(culture, ""))
        for role in ROLES:
            found[role] += forms if role.startswith(kind) else []
    for locale in FAKER.get(culture, "").split():
        provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
        for role, gender in (("given_m", "male"), ("given_f", "female")):
            if culture not in SURNAMES_ONLY:
                found[role] += _of(provider, f"first_names_{gender}")
        for role, gender in (("surname_m", "male"), ("surname_f", "female")):
            polish = _of(provider, "male_last_names") + _of(provider, "unisex_last_names")
            found[role] += polish or _of(provider, f"last_names_{gender}") or _of(provider, "last_names")
    if culture in SCRIPT:
        found = {role: [latin(form, SCRIPT[culture]) for form in forms] for role, forms in found.items()}
    for male, female in FEMALE_FORM.get(culture, ()):
        found["surname_f"] = [re.sub(f"{male}$", female, form) for form in found["surname_f"]]
    return found


def _composed(firsts: list[str], seconds: list[str], joint: str) -> list[str]:
    """Every first part with every second one but itself."""
    return [first + joint + second for first in firsts for second in seconds if first.lower() != second.lower()]


def _of(provider: type, attribute: str) -> list[str]:
    forms = getattr(provider, attribute, ())
    return list(forms) if isinstance(forms, (tuple, list, dict)) else []


def _clean(rule: dict[str, str], role: str, forms: list[str]) -> list[str]:
    """Well-formed forms that fit the gender, in order, one of each folded form."""
    kept: dict[str, str] = {}
    one_word = role.startswith("given") or rule["surnames"] == "2"
    fits = FITS.get(rule["culture"], ("", ""))[role == "surname_f"] if role.startswith("surname") else ""
    for form in forms:
        form = unicodedata.normalize("NFC", form.replace("’", "'")).strip()
        well_formed = (
            SHAPE.fullmatch(form) and 2 <= len(form) <= 18 and not form.isupper() and not (one_word and " " in form)
        )
        camel = re.search(r"[a-z][A-Z]", form.replace("Mc", "").replace("Mac", ""))
        if well_formed and not camel and re.search(fits, form) and fold(form).isascii() and fold(form) not in UNFIT:
            kept.setdefault(fold(form), form)
    return list(kept.values())


def _keep_gendered(pools: dict[str, dict[str, list[str]]]) -> None:
    """Keep given names of one gender only, by nomquamgender where it knows a name, and by the lists; the best known
    ones. A name of two syllables is kept only where it is known, or stands in a list as a whole."""
    listed = {fold(form) for row in read("seeds") if "." not in row["role"] for form in row["forms"].split()}
    forms = sorted({(culture, form) for culture, pool in pools.items() for role in ROLES[:2] for form in pool[role]})
    table = nomquamgender.NBGC().annotate([f"{_judged(*form)} zz" for form in forms], as_df=True)
    count = dict(zip(forms, table["counts"].fillna(0).astype(int), strict=True))
    female = dict(zip(forms, table["p(gf)"].fillna(0.5), strict=True))
    english = {fold(form) for role in ROLES[:2] for form in pools["english"][role]}

    def fits(culture: str, form: str, woman: bool) -> bool:
        key = (culture, form)
        whole = culture not in JOINT or fold(form) in listed
        if count[key] < (KNOWN if whole else 5):
            return whole
        return female[key] >= 0.7 if woman else female[key] <= 0.3

    for culture, pool in pools.items():
        for role in ROLES[:2]:
            pool[role] = [form for form in pool[role] if fits(culture, form, woman=role == "given_f")]
            if culture in NOT_ENGLISH:
                pool[role] = [form for form in pool[role] if fold(form) not in english]
    men, women = ({fold(form) for pool in pools.values() for form in pool[role]} for role in ROLES[:2])
    for culture, pool in pools.items():
        most = MOST_COMPOSED if culture in JOINT else MOST
        for role in ROLES[:2]:
            own = [form for form in pool[role] if fold(form) not in men & women]
            pool[role] = sorted(own, key=lambda form, culture=culture: -count[culture, form])[:most]


def _judged(culture: str, form: str) -> str:
    """What nomquamgender is asked: the first part of a double name, the whole of a name of two syllables."""
    return fold(form).replace("-", "") if culture in JOINT else fold(form).split("-")[0]


def _keep_disjoint(pools: dict[str, dict[str, list[str]]]) -> None:
    """No surname that is a given name of its culture, and none of two cultures, by the last word: the culture with
    fewer surnames has it."""
    owner: dict[str, str] = {}
    for culture in sorted(pools, key=lambda culture: (len(pools[culture]["surname_m"]), culture)):
        given = {fold(form) for role in ROLES[:2] for form in pools[culture][role]}
        most = MOST_COMPOSED if culture in JOINT else MOST
        for role in ROLES[2:]:
            own = [
                form
                for form in pools[culture][role]
                if not set(fold(form).split()) & given and owner.setdefault(fold(form).split()[-1], culture) == culture
            ]
            pools[culture][role] = sorted(ranked(own, "surnames", culture)[:most], key=fold)
