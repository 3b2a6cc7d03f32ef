"""Vetted tables, one CSV each: `#` lines at the top state source, licence and date; then a header and the rows.

    regions.csv       the deck of countries that is dealt to each FairFace region, with the culture of the names
    countries.csv     the 65 countries: population, culture, IBAN status, passport pattern
    cultures.csv      rules of names and mail labels of each culture
    names/<culture>.csv, cities.csv, jobs.csv, blood.csv, phone_blocks.csv, fake_banks.csv
    public_figures.csv    hashes of names that no persona may have
    seeds.csv, job_seeds.csv    what is written by hand

`python -m salmu.data.tables.build` makes the derived ones anew, `python -m salmu.data.tables.figures` the hashes.
"""

import csv
import functools
import hashlib
import unicodedata
from pathlib import Path

from salmu.data.errors import UserError

FOLDER = Path(__file__).parent
KEYS = {  # table, or folder of tables -> the columns that may not be the same in two rows
    "blood": ("country",),
    "cities": ("country", "city"),
    "countries": ("country",),
    "cultures": ("culture",),
    "fake_banks": ("country", "bank_code", "branch_code"),
    "jobs": ("job",),
    "names": ("role", "form"),
    "phone_blocks": ("country", "prefix"),
    "public_figures": ("hash",),
    "regions": ("region", "country", "culture"),
    "seeds": ("culture", "role"),
}
_LETTERS = str.maketrans(
    {
        "ø": "o",
        "Ø": "O",
        "ł": "l",
        "Ł": "L",
        "ß": "ss",
        "đ": "d",
        "Đ": "D",
        "ı": "i",
        "æ": "ae",
        "Æ": "Ae",
        "œ": "oe",
        "Œ": "Oe",
        "þ": "th",
        "Þ": "Th",
        "ð": "d",
        "'": None,
        "’": None,
        "ʼ": None,
    }
)


def fold(text: str) -> str:
    """Lower-case ASCII form of a Latin-script text: accents and apostrophes dropped. Two forms that fold alike count as
    one."""
    text = text.translate(_LETTERS)
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return text.lower()


@functools.cache
def read(name: str) -> tuple[dict[str, str], ...]:
    """The rows of data/tables/<name>.csv. Raises UserError for a missing file, a ragged row or two rows of one key
    (KEYS; elsewhere the whole row)."""
    path = FOLDER / f"{name}.csv"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such table; make it with python -m salmu.data.tables.build") from None
    rows = tuple(csv.DictReader(line for line in lines if not line.startswith("#")))
    seen: dict[tuple[str, ...], int] = {}
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise UserError(f"{path}: row {number} has another number of columns than the header")
        key = tuple(row.get(column, "") for column in KEYS.get(name.split("/")[0], row))
        if seen.setdefault(key, number) != number:
            raise UserError(f"{path}: row {number} repeats row {seen[key]}: {', '.join(key)}; remove one of them")
    return rows


@functools.cache
def grouped(name: str, column: str) -> dict[str, list[dict[str, str]]]:
    """The rows of a table by the value of one column."""
    groups: dict[str, list[dict[str, str]]] = {}
    for row in read(name):
        groups.setdefault(row[column], []).append(row)
    return groups


def digest() -> str:
    """One digest over all tables."""
    hasher = hashlib.blake2b(digest_size=16)
    for path in sorted(FOLDER.rglob("*.csv")):
        hasher.update(path.relative_to(FOLDER).as_posix().encode() + b"\0" + path.read_bytes())
    return hasher.hexdigest()
