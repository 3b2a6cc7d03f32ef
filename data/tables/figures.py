"""Names of public figures, as hashes: public_figures.csv holds no name, only the first 8 bytes of the SHA-256 of each
normalised one.

    python -m salmu.data.tables.figures FILE... --source TEXT --licence TEXT [--column NAME]

makes the table anew from files of names: one name a line, or a table (.csv, .tsv) with a column of names. Underscores
count as blanks. Name every source and its licence; they go to the table's header."""

import argparse
import csv
import functools
import re
from collections.abc import Iterator
from datetime import date
from hashlib import sha256
from pathlib import Path

from salmu.data.errors import UserError
from salmu.data.tables import FOLDER, fold, read

TABLE = "public_figures"
WORDS = (2, 6)  # a name of one word is nobody's full name


def normalised(name: str) -> str:
    """Lower-case ASCII words in alphabetical order: the order of names differs by language and list."""
    return " ".join(sorted(re.findall(r"[a-z]+", fold(name.replace("_", " ")))))


def hashed(name: str) -> str:
    """16 hex digits."""
    return sha256(normalised(name).encode()).hexdigest()[:16]


@functools.cache
def hashes() -> frozenset[str]:
    return frozenset(row["hash"] for row in read(TABLE))


def is_figure(first: str, last: str) -> bool:
    """Whether a person with these given names and surnames would carry a public figure's name: the whole name, or the
    first given name with one or all of the surnames."""
    given, surnames = first.split()[0], last.split()
    names = {f"{first} {last}", f"{given} {last}", *(f"{given} {surname}" for surname in surnames)}
    return not hashes().isdisjoint(map(hashed, names))


def names_in(path: Path, column: str) -> Iterator[str]:
    """The names of a file. Raises UserError if it cannot be read or lacks the column."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    if path.suffix not in (".csv", ".tsv"):
        yield from text.splitlines()
        return
    reader = csv.DictReader(text.splitlines(), delimiter="\t" if path.suffix == ".tsv" else ",")
    if column not in (reader.fieldnames or []):
        raise UserError(f"{path}: no column {column!r}; it has {', '.join(reader.fieldnames or [])}")
    yield from (row[column] or "" for row in reader)


def table(names: list[str], source: str, licence: str) -> str:
    """The text of public_figures.csv."""
    kept = sorted({hashed(name) for name in names if WORDS[0] <= len(normalised(name).split()) <= WORDS[1]})
    header = [
        "# Names of public figures: first 8 bytes of the SHA-256 of the folded words in alphabetical order, in hex",
        "# (data/tables/figures.py).",
        f"# Source: {source}; licence: {licence}; {len(kept)} names.",
        f"# Date: {date.today().isoformat()}.",
    ]
    return "\n".join([*header, "hash", *kept]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m salmu.data.tables.figures", description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--source", required=True)
    parser.add_argument("--licence", required=True)
    parser.add_argument("--column", default="name")
    options = parser.parse_args()
    names = [name for path in options.files for name in names_in(path, options.column)]
    text = table(names, options.source, options.licence)
    (FOLDER / f"{TABLE}.csv").write_text(text, encoding="utf-8")
    print(f"{text.count(chr(10)) - 5} names in {TABLE}.csv")


if __name__ == "__main__":
    main()
