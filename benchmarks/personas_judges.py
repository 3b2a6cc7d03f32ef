"""The judges of benchmarks/personas.py: libraries that had no part in making the personas, or ask another question."""

import importlib.util
import re
from collections import Counter
from functools import cache

import phonenumbers
import schwifty
import stdnum.iban
from stdnum import luhn

from salmu.data.tables import fold
from salmu.tasks.personas.value_judges import has_ibans

OPTIONAL = ("email_validator", "pycountry", "nomquamgender", "gender_guesser")
RESERVED = re.compile(  # the regulators' ranges, written down anew and not from data/tables
    r"\+1\d{3}55501\d\d|\+447700900\d{3}|\+441632960\d{3}|\+3532091\d{5}|\+61[2378](5550|7010)\d{4}"
    r"|\+4670174060[5-9]|\+467017406[1-9]\d|\+49(3023125|6990009|4066969|2214710|8999998)\d{3}"
    r"|\+33(63998|19900|26191|35301|46571|53649)\d{4}"
)
AGES = (  # title -> youngest, oldest; after ISCO-08's skill levels and the lengths of the trainings
    (r"neurosurgeon|^surgeon|veterinary surgeon", 26, 75),
    (r"professor", 35, 75),
    (r"^judge$", 40, 75),
    (r"doctor|psychiatrist|oncologist|pathologist|haematologist|ophthalmologist|immunologist", 27, 75),
    (r"dentist|lawyer|solicitor|barrister$|^architect$", 25, 75),
    (r"^chief ", 38, 75),
    (r"manager$", 25, 75),
    (r"dancer", 18, 45),
    (r"firefighter|flight attendant|police|prison officer", 18, 60),
    (r"pilot|air traffic", 21, 65),
    (r"engineer|scientist|school teacher|psychologist", 21, 72),
    (r"", 18, 85),
)
GUESSER_ERRORS = {  # forms that gender-guesser knows from another language, where they are the other gender's
    "male": "Eli Piermaria Dany Renan Toma Sava Florea Sever Nicoară Azar Oleksa Savva Foka Aly Yuya Iori Itsuki "
    "Hendra Aiman Izzat Karan Neel Munawar Udaya Kumara Samitha Devendra Hani Sameh Arda Ege Reda Assem Bahjat",
    "female": "Petya Alkistis Kirstine Juli Danni Miho Maricel Salmi Janaki Hira Misbah Nusrat Rameen Umme Ismat Iman "
    "Ghazal Tarlan Malak Leen",
}


def judgements(row: dict) -> Counter:
    """What the other libraries find wrong with one persona."""
    country, wrong = row["country_code"], Counter()
    phone = phonenumbers.parse(row["phone_number"])
    plain = phonenumbers.format_number(phone, phonenumbers.PhoneNumberFormat.E164)
    wrong["phone: valid outside a reserved range"] += phonenumbers.is_valid_number(phone) and not RESERVED.fullmatch(
        plain
    )
    wrong["phone: of no possible length"] += not phonenumbers.is_possible_number(phone)
    iban = row["iban"].replace(" ", "")
    wrong["iban: wrong check digits"] += not luhn_mod97(iban)
    if has_ibans(country):
        wrong["iban: refused by python-stdnum"] += not stdnum.iban.is_valid(iban, check_country=False)
        try:
            wrong["iban: of a bank that exists"] += schwifty.IBAN(iban, validate_bban=True).bank is not None
        except schwifty.exceptions.SchwiftyException:
            wrong["iban: refused by schwifty"] += 1
    card = row["credit_card"].replace(" ", "")
    wrong["card: wrong check digit"] += not luhn.is_valid(card)
    wrong["card: in a range of a network"] += not re.match(r"99[1-7]\d", card)
    if has("email_validator"):
        import email_validator

        try:
            email_validator.validate_email(row["emails"][0], check_deliverability=False)
        except email_validator.EmailNotValidError:
            wrong["email: refused by email-validator"] += 1
    if has("pycountry"):
        import pycountry

        wrong["country: unknown to pycountry"] += pycountry.countries.get(alpha_2=country) is None
        wrong["card: a country's number"] += pycountry.countries.get(numeric=card[1:4]) is not None
    if "job" in row:
        youngest, oldest = next(ages for pattern, *ages in AGES if re.search(pattern, row["job"]))
        wrong["job and age clash"] += not youngest <= row["age"] <= oldest
    return +wrong


def luhn_mod97(iban: str) -> bool:
    """ISO 7064 mod 97-10 by plain arithmetic."""
    return int("".join(str(int(sign, 36)) for sign in iban[4:] + iban[:4])) % 97 == 1


@cache
def has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def first_part(name: str) -> str:
    """The first name of a double one; a Korean name of two syllables is one name."""
    first, _, second = name.partition("-")
    return name if second[:1].islower() else first


def gender_disagreements(given: Counter) -> dict[str, dict]:
    """Judge -> how many personas it knows the given name of, and the disagreements."""
    found = {}
    if has("gender_guesser"):
        import gender_guesser.detector

        detector = gender_guesser.detector.Detector(case_sensitive=False)
        found["gender-guesser"] = {name: detector.get_gender(first_part(name)) for name, _ in given}
    if has("nomquamgender"):
        import nomquamgender

        names = sorted({name for name, _ in given})
        joined = [fold(name).replace("-", "") if "-" in name else fold(name) for name in names]
        table = nomquamgender.NBGC().annotate([f"{name} zz" for name in joined], as_df=True)
        found["nomquamgender"] = {
            name: "unknown" if not known >= 20 else "female" if share >= 0.7 else "male" if share <= 0.3 else "andy"
            for name, share, known in zip(names, table["p(gf)"], table["counts"].fillna(0))
        }
    result = {}
    for judge_name, verdicts in found.items():
        clear = Counter({key: n for key, n in given.items() if verdicts[key[0]] in ("male", "female")})
        against = Counter({key: n for key, n in clear.items() if verdicts[key[0]] != key[1]})
        own_errors = {key for key in against if first_part(key[0]) in GUESSER_ERRORS[key[1]].split()}
        result[judge_name] = {
            "personas judged": clear.total(),
            "disagreements": sum(against.values()),
            "disagreements beyond its known errors": sum(n for key, n in against.items() if key not in own_errors),
            "names": {f"{name} ({gender})": n for (name, gender), n in against.most_common()},
        }
    return result
