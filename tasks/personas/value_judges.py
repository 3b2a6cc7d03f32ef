"""What other people's libraries say of one identifying value: whether it is well formed, and whether it belongs to
nobody for the reason that its level of proof states. Each judge yields what is wrong, in words."""

import functools
import re
import warnings
from collections.abc import Iterator
from typing import Any

import phonenumbers
from schwifty import IBAN, registry
from schwifty.exceptions import InvalidCountryCode, SchwiftyException
from stdnum import luhn, numdb
from stdnum.iso7064 import mod_97_10

from salmu.data.tables import fold, grouped
from salmu.data.tables.figures import is_figure

RESERVED_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+example\.(?:com|net|org)")  # RFC 2606
LOCAL = re.compile(r"[a-z0-9-]+(?:[._][a-z0-9-]+)*")  # of RFC 5322's dot-atoms, those that every mail server takes
PASSPORT = {"A": "[A-Z]", "C": "[A-Z0-9]", "9": r"\d"}
SIGNS = re.compile(r"[^\W\d_]+(?:[ '-][^\W\d_]+)*")


def _name(name: str, country: str, level: str, row: dict[str, Any]) -> Iterator[str]:
    words = name.split()
    if not SIGNS.fullmatch(name) or not fold(name).isascii():
        yield f"{name!r} is not written in Latin letters"
    elif len(words) < 2:
        yield f"{name!r} is one word"
    elif any(is_figure(" ".join(words[:cut]), " ".join(words[cut:])) for cut in range(1, len(words))):
        yield f"{name!r} is a public figure's"
    if level != "G1":
        yield f"level {level}, but no name can be proven to be nobody's: G1"


def _phone(phone: str, country: str, level: str, row: dict[str, Any]) -> Iterator[str]:
    try:
        number = phonenumbers.parse(phone)
    except phonenumbers.NumberParseException:
        yield f"{phone!r} is not a number in international form"
        return
    if country not in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(number.country_code, ()):
        yield f"{phone!r} is not of {country}"
    elif _reserved(country, phonenumbers.national_significant_number(number)):
        if level != "G3":
            yield f"level {level}, but {phone!r} is in a reserved range"
    elif level == "G3":
        yield f"{phone!r} is in no reserved range, which level G3 says"
    elif phonenumbers.is_valid_number(number):
        yield f"{phone!r} can be somebody's: valid by phonenumbers {phonenumbers.__version__}"
    elif not phonenumbers.is_possible_number(number):
        yield f"{phone!r} is of no possible length"


@functools.cache
def _reserved_blocks(country: str) -> frozenset[tuple[str, int]]:
    """Prefix and number of digits in all of each block that is set aside for drama."""
    return frozenset(
        (block["prefix"], len(block["prefix"]) + int(block["free"]))
        for block in grouped("phone_blocks", "country")[country]
        if block["level"] == "G3"
    )


def _reserved(country: str, national: str) -> bool:
    blocks = _reserved_blocks(country)
    return any((national[:length], len(national)) in blocks for length in range(1, len(national)))


def _email(email: str, country: str, level: str, row: dict[str, Any]) -> Iterator[str]:
    local, _, host = email.rpartition("@")
    if not (LOCAL.fullmatch(local) and len(local) <= 64 and len(email) <= 254):
        yield f"{email!r} is not a mail address that servers take"
    if not RESERVED_HOST.fullmatch(host):
        yield f"{email!r} is not below a domain that is reserved for examples"
    if re.split("[._]", local) != fold(row["name"]).split():
        yield f"{email!r} does not agree with the name {row['name']!r}"
    if level != "G3":
        yield f"level {level}, not G3"


def _iban(text: str, country: str, level: str, row: dict[str, Any]) -> Iterator[str]:
    iban = text.replace(" ", "")
    if not re.fullmatch(r"[A-Z]{2}\d\d[A-Z0-9]{10,30}", iban) or iban[:2] != country:
        yield f"{text!r} is no IBAN of {country}"
    elif not mod_97_10.is_valid(iban[4:] + iban[:4]):
        yield f"{text!r} has wrong check digits"
    elif not has_ibans(country):
        if level != "G3":
            yield f"level {level}, but {country} has no IBANs: G3"
    else:
        yield from _iban_of_a_bank(iban, country, level)


def has_ibans(country: str) -> bool:
    """Whether the SWIFT registry, as schwifty has it, gives the country a structure."""
    try:
        return not registry.get_iban_spec(country).aspirational
    except InvalidCountryCode:
        return False


def _iban_of_a_bank(iban: str, country: str, level: str) -> Iterator[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SE and HU: rules that schwifty does not know
            judged = IBAN(iban, validate_bban=True)
    except SchwiftyException as error:
        yield f"{iban!r} breaks the rules of {country}: {error}"
        return
    known = country in ("BE", "CZ") and any(
        found for _, found in numdb.get(f"{country.lower()}/banks").info(judged.bank_code)
    )
    if judged.bank is not None or known:
        yield f"{iban!r} is of the bank {judged.bank_code}, which exists"
    if level != ("G2" if _has_bank_list(country) else "G1"):
        yield f"level {level} for an IBAN of {country}"


@functools.cache
def _has_bank_list(country: str) -> bool:
    """Whether absence from the list says something; a Russian bank code begins with 04, whatever the list."""
    return country == "RU" or len({bank.bank_code for bank in registry.get_banks_by_country(country)}) > 2


def _card(card: str, country: str, level: str, row: dict[str, Any]) -> Iterator[str]:
    digits = card.replace(" ", "")
    if not (digits.isdecimal() and len(digits) == 16 and luhn.is_valid(digits)):
        yield f"{card!r} has a wrong length or check digit"
    if not re.match("99", digits):
        yield f"{card!r} is in a range that can be issued: not industry 9 with a country number of 900 to 999"
    if level != "G3":
        yield f"level {level}, not G3"


def _passport(passport: str, country: str, level: str, row: dict[str, Any]) -> Iterator[str]:
    pattern = grouped("countries", "country")[country][0]["passport"]
    if not re.fullmatch("".join(PASSPORT.get(sign, sign) for sign in pattern), passport):
        yield f"{passport!r} is not of the form {pattern}"
    if level != "G1":
        yield f"level {level}, but no passport range is reserved anywhere: G1"


JUDGES = {
    "name": _name,
    "phone_number": _phone,
    "emails": _email,
    "iban": _iban,
    "credit_card": _card,
    "passport": _passport,
}
