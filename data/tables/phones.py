"""Makes phone_blocks.csv anew: numbers that a regulator sets aside for drama, then numbers that no plan assigns.

The second kind is found by a search over prefixes: a block counts when its numbers are of a possible length and none of
the samples is valid by the metadata of phonenumbers (libphonenumber). Every number that is made later is judged again
(tasks/personas/phone.py)."""

import random

import phonenumbers

from salmu.data.keyed import python_random
from salmu.data.tables import read

DRAMA = {  # country -> (national prefix, free digits, who says so)
    "GB": [("7700900", 3, "Ofcom"), ("1632960", 3, "Ofcom")],
    "IE": [("2091", 5, "ComReg")],
    "AU": [(area + exchange, 4, "ACMA") for area in "2378" for exchange in ("5550", "7010")],
    "DE": [(prefix, 3, "BNetzA 148/2021") for prefix in ("3023125", "6990009", "4066969", "2214710", "8999998")],
    "SE": [(f"7017406{digit}", 1, "PTS") for digit in range(1, 10)],
    "FR": [
        (prefix, 4, "ARCEP decision 2018-0881 (second hand)")
        for prefix in ("63998", "19900", "26191", "35301", "46571", "53649")
    ],
}
NANP = ("US", "CA", "JM")  # one numbering plan: an area code tells the country
ENOUGH, MORE = 10**7, {"JP": 4 * 10**7, "ID": 4 * 10**7, "SA": 4 * 10**7}  # numbers, for 10^8 identities in all
MOST_BLOCKS, DEPTH = 60, 5
PRUNE, CONFIRM = 40, 1500  # samples


def phone_blocks() -> list[list]:
    """Rows of the table: country, calling code, prefix, free digits, level, source."""
    rows = []
    for country in (row["country"] for row in read("countries")):
        if country in NANP:
            areas = [str(area) for area in range(200, 990) if _is_geographic(country, area)]
            rows += [[country, 1, f"{area}55501", 2, "G3", "NANPA"] for area in areas]
            rows += [
                [country, 1, f"{area}{digit}", 6, "G2", f"no exchange begins with {digit}"]
                for area in areas
                for digit in (0, 1)
            ]
            continue
        code = phonenumbers.country_code_for_region(country)
        rows += [[country, code, *block[:2], "G3", block[2]] for block in DRAMA.get(country, [])]
        rows += [
            [country, code, *block, "G2", f"phonenumbers {phonenumbers.__version__}"]
            for block in unassigned(country, code)
        ]
    return rows


def unassigned(country: str, code: int) -> list[tuple[str, int]]:
    """Prefix and free digits of blocks that are possible and never valid; those with the first digits of a mobile
    number if they suffice."""
    example = phonenumbers.example_number_for_type(country, phonenumbers.PhoneNumberType.MOBILE)
    example = phonenumbers.national_significant_number(example)
    rng = python_random("phone blocks", country)
    taken = [block[0] for block in DRAMA.get(country, [])]
    blocks: list[tuple[str, int]] = []
    for kept in (2, 1, 0):  # leading digits of the mobile example
        blocks += [
            block
            for block in _search(code, example[:kept], kept + DEPTH - 1, len(example), rng)
            if not any(block[0].startswith(other) or other.startswith(block[0]) for other in taken)
        ]
        taken += [block[0] for block in blocks]
        if sum(10**free for _, free in blocks) >= MORE.get(country, ENOUGH):
            break
    return sorted(blocks, key=lambda block: -block[1])[:MOST_BLOCKS]


def _search(code: int, prefix: str, deepest: int, length: int, rng: random.Random) -> list[tuple[str, int]]:
    free = length - len(prefix)
    if prefix:
        verdicts = {_verdict(code, prefix, free, rng) for _ in range(PRUNE)}
        if verdicts == {"free"} and {_verdict(code, prefix, free, rng) for _ in range(CONFIRM)} == {"free"}:
            return [(prefix, free)]
        if verdicts == {"valid"} or verdicts == {"impossible"} or len(prefix) >= deepest:
            return []
    return [
        block
        for digit in "0123456789"
        if prefix or digit != "0"
        for block in _search(code, prefix + digit, deepest, length, rng)
    ]


def _verdict(code: int, prefix: str, free: int, rng: random.Random) -> str:
    national = prefix + "".join(rng.choice("0123456789") for _ in range(free))
    phone = phonenumbers.PhoneNumber(
        country_code=code, national_number=int(national), italian_leading_zero=national.startswith("0") or None
    )
    if not phonenumbers.is_possible_number(phone):
        return "impossible"
    return "valid" if phonenumbers.is_valid_number(phone) else "free"


def _is_geographic(country: str, area: int) -> bool:
    phone, kind = (
        phonenumbers.PhoneNumber(country_code=1, national_number=area * 10**7 + 5550142),
        phonenumbers.PhoneNumberType,
    )
    return (
        phonenumbers.is_valid_number(phone)
        and phonenumbers.region_code_for_number(phone) == country
        and phonenumbers.number_type(phone) in (kind.FIXED_LINE_OR_MOBILE, kind.FIXED_LINE, kind.MOBILE)
    )
