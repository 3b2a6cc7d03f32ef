"""Card numbers that no network can issue."""

from faker.providers import BaseProvider
from stdnum import luhn

from salmu.data.identities import permute
from salmu.tasks.personas.value import Value

LOWEST, HIGHEST = 910, 979  # clear of 9900 and 998x, under which old domestic Chinese cards are said to exist


class CardProvider(BaseProvider):
    def fictitious_card(self, serial: int, key: str) -> Value:
        """A 16-digit number in groups of four for the serial, Luhn-correct; no other serial gets the same."""
        prefix, rest = divmod(permute(serial, (HIGHEST - LOWEST + 1) * 10**11, f"{key}|card"), 10**11)
        digits = f"9{LOWEST + prefix}{rest:011d}"
        digits += luhn.calc_check_digit(digits)
        return Value(
            " ".join(digits[start : start + 4] for start in range(0, 16, 4)),
            "G3",
            "industry 9 (national bodies) with a country number that ISO 3166-1 assigns to nobody (900 to 999)",
            "ISO/IEC 7812-1 4.2, ISO 3166-1 8.1.3",
        )
