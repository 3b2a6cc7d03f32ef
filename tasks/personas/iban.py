"""IBANs of banks that do not exist, and of countries that have no IBAN."""

import warnings

from faker.providers import BaseProvider
from schwifty import BBAN, IBAN, registry
from schwifty.domain import Component
from schwifty.exceptions import NationalChecksumNotVerified, SchwiftyException
from stdnum.iso7064 import mod_97_10

from salmu.data.identities import IDENTITIES, permute
from salmu.data.tables import grouped
from salmu.tasks.personas.value import NoValue, Value

FIXED = {
    "BR": {"account_type": "C", "account_id": "1"},
    "GT": {"currency_code": "01", "account_type": "01"},
    "BG": {"account_type": "10"},
}
BBAN_DIGITS = 18  # after the check digits, in a country without IBANs


class IbanProvider(BaseProvider):
    def fictitious_iban(self, country: str, serial: int, key: str) -> Value:
        """An IBAN in groups of four for the serial, with right check digits; no other serial gets the same.

        Attempt k takes the place serial + k x 10^8, which is nobody else's. Raises NoValue when no attempt fits."""
        banks = grouped("fake_banks", "country").get(country)
        if banks is None:
            body = str(permute(serial, 10**BBAN_DIGITS, f"{key}|iban|{country}")).zfill(BBAN_DIGITS)
            return Value(
                _grouped(country + mod_97_10.calc_check_digits(body + country) + body),
                "G3",
                "the country has no IBANs; check digits right",
                "SWIFT IBAN registry, in schwifty",
            )
        positions = registry.get_iban_spec(country).positions
        digits = min(positions[Component.ACCOUNT_CODE].length, 10)
        size = len(banks) * 10**digits
        for place in range(serial, size, IDENTITIES):
            index, account = divmod(permute(place, size, f"{key}|iban|{country}"), 10**digits)
            iban = _compose(country, banks[index]["bank_code"], banks[index]["branch_code"], str(account))
            if iban:
                listed = banks[index]["level"] == "G2"
                return Value(
                    _grouped(iban),
                    banks[index]["level"],
                    "bank code of no bank; all check digits right",
                    "bank lists of schwifty and python-stdnum" if listed else "no list of the country's banks at hand",
                )
        raise NoValue(f"none of {size} IBANs of {country} is left for serial {serial}")


def _compose(country: str, bank: str, branch: str, account: str) -> str | None:
    """The IBAN, or None where the national rules refuse it or a registry knows the bank after all."""
    positions = registry.get_iban_spec(country).positions
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NationalChecksumNotVerified)  # HU is done here; SE has one rule a bank
            if country == "HU":
                office, account = bank + branch, account.zfill(15)
                bban = BBAN(country, office + _hungarian_check(office) + account + _hungarian_check(account))
            else:
                parts = {"bank_code": bank, "account_code": account.zfill(positions[Component.ACCOUNT_CODE].length)}
                parts |= FIXED.get(country, {}) | ({"branch_code": branch} if branch else {})
                bban = BBAN.from_components(country, **parts)
            iban = IBAN.from_bban(country, bban, validate_bban=True)
    except SchwiftyException:
        return None
    return str(iban) if iban.bank is None else None


def _hungarian_check(digits: str) -> str:
    """Check digit of both parts of a Hungarian account number (weights 9, 7, 3, 1)."""
    return str(-sum(int(digit) * (9, 7, 3, 1)[place % 4] for place, digit in enumerate(digits)) % 10)


def _grouped(iban: str) -> str:
    return " ".join(iban[start : start + 4] for start in range(0, len(iban), 4))
