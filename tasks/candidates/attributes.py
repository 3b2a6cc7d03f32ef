"""The attributes file: a CSV file that says gender, age and region of the pictures, where somebody knows them."""

import csv
import math
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from salmu.data.errors import UserError
from salmu.data.schemas import AGE_GROUPS, GENDERS, REGIONS
from salmu.tasks.candidates.demographics import YOUNG, of_age, of_age_group

FILE_COLUMNS = ("file", "filename", "file_name", "image", "image_filename")
COLUMNS = {"gender": ("gender", "sex"), "age": ("age",), "age_group": ("age_group",)}
COLUMNS["region"] = ("region", "race", "ethnicity")
SYNONYMS = {
    "gender": {"f": "female", "woman": "female", "m": "male", "man": "male"},
    "age_group": {"more than 70": "70+"},
    "region": {"latino": "Latino_Hispanic", "hispanic": "Latino_Hispanic"},
}
KNOWN = {"gender": GENDERS, "age_group": (*YOUNG, *AGE_GROUPS), "region": REGIONS}


class Attributes(NamedTuple):
    facts: dict[str, dict[str, Any]]  # file name, or its stem where only that is given -> what is known of the picture
    unknown: Counter  # (column, value) that means nothing here -> lines

    def of(self, name: str) -> dict[str, Any]:
        """What is known of the picture with this file name."""
        path = PurePosixPath(name)
        return self.facts.get(path.name) or self.facts.get(path.stem) or {}


def read_attributes(path: str | None) -> Attributes:
    """The attributes file; an empty one for None. A value that is not known here is left out and counted.

    Raises UserError if the file cannot be read, or has no column for the file or none for a person."""
    facts: dict[str, dict] = {}
    unknown: Counter = Counter()
    if path is None:
        return Attributes(facts, unknown)
    try:
        with open(Path(path).expanduser(), encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(file)
            columns = {re.sub(r"\W+", "_", name.strip().lower()): name for name in lines.fieldnames or []}
            file_column = _column(columns, FILE_COLUMNS)
            found = {kind: column for kind, names in COLUMNS.items() if (column := _column(columns, names))}
            if not file_column or not found:
                wanted = FILE_COLUMNS if not file_column else sum(COLUMNS.values(), ())
                raise UserError(
                    f"candidates.attributes: {path} has no column {', '.join(wanted[:-1])} or {wanted[-1]}; its "
                    f"columns are {', '.join(lines.fieldnames or []) or 'none'}"
                )
            for line in lines:
                said = {kind: (line[column] or "").strip() for kind, column in found.items()}
                values = {kind: _value(kind, text) for kind, text in said.items() if text}
                unknown.update((found[kind], said[kind]) for kind, value in values.items() if value is None)
                name = PurePosixPath((line[file_column] or "").strip().replace("\\", "/"))
                facts.setdefault(name.name, _facts(values))
                facts.setdefault(name.stem, facts[name.name])
    except OSError as error:
        raise UserError(f"candidates.attributes: {path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"candidates.attributes: {path} is no CSV file in UTF-8: {error}") from None
    return Attributes(facts, unknown)


def _column(columns: dict[str, str], names: tuple[str, ...]) -> str | None:
    return next((columns[name] for name in names if name in columns), None)


def _value(kind: str, text: str) -> Any:
    """The project's word for a value; None for an unknown one."""
    if kind == "age":
        try:
            years = float(text)
        except ValueError:
            return None
        return int(years) if math.isfinite(years) and 0 <= years <= 120 else None
    plain = re.sub(r"[\s_-]+", " ", text).lower()
    words = {re.sub(r"[\s_-]+", " ", word).lower(): word for word in KNOWN[kind]} | SYNONYMS[kind]
    return words.get(plain)


def _facts(values: dict[str, Any]) -> dict[str, Any]:
    facts = {kind: values[kind] for kind in ("gender", "region") if values.get(kind)}
    if values.get("age") is not None:
        facts |= of_age(values["age"])
    elif values.get("age_group"):
        facts |= of_age_group(values["age_group"])
    return facts
