"""Judges personas anew, with other people's libraries: whether every identifying value is well formed, belongs to
nobody for the reason that its proof states, and is nobody else's in the dataset.

Works on rows of the stage and on a published folder (identities_metadata.json with proof_of_fiction.json)."""

import functools
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

from salmu.data.errors import UserError
from salmu.data.tables import grouped
from salmu.tasks.personas.blood import TYPES
from salmu.tasks.personas.value_judges import JUDGES

IDENTIFYING = tuple(JUDGES)
FIELDS = (*IDENTIFYING, "country_code", "city", "job", "blood_type")


class Problem(NamedTuple):
    identity: str
    field: str
    what: str


class Verdict(NamedTuple):
    problems: list[Problem]
    levels: Counter  # (data field, level) -> personas
    personas: int


def judge(rows: Iterable[dict[str, Any]]) -> Verdict:
    """The verdict on all personas: the problems of each, and a value that two of them share."""
    problems, levels, count = [], Counter(), 0
    owners: dict[str, dict[bytes, str]] = {field: {} for field in IDENTIFYING}
    for row in rows:
        count += 1
        problems += judge_row(row)
        levels.update((field, claim.get("level")) for field, claim in _proof(row).items())
        for field in IDENTIFYING:
            for value in values_of(row, field) if row.get(field) else ():
                owner = owners[field].setdefault(digest(value), row["identity_id"])
                if owner != row["identity_id"]:
                    problems.append(Problem(row["identity_id"], field, f"{value!r} is also that of {owner}"))
    return Verdict(problems, levels, count)


def verify_personas(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """A table of fields and levels of proof, where every persona passes. Raises UserError that tells the number of
    problems and the first three."""
    verdict = judge(rows)
    if verdict.problems:
        first = "; ".join(f"{problem.identity} {problem.field}: {problem.what}" for problem in verdict.problems[:3])
        raise UserError(
            f"{len(verdict.problems)} problems in {verdict.personas} personas, the first: {first}; "
            "make them again with salmu stage personas"
        )
    return [
        {"field": field, "level": level, "personas": count} for (field, level), count in sorted(verdict.levels.items())
    ]


def published_rows(identities: dict[str, dict], proofs: dict[str, dict]) -> Iterator[dict[str, Any]]:
    """Rows for `judge` from the two JSON documents of a published folder."""
    for identity, persona in identities.items():
        yield persona | {"identity_id": identity, "proof": proofs.get(identity, {})}


def judge_row(row: dict[str, Any]) -> list[Problem]:
    """What is wrong with one persona by itself."""
    missing = [field for field in FIELDS if not row.get(field)]
    if missing:
        return [Problem(row["identity_id"], field, "no value") for field in missing]
    proof, country, found = _proof(row), row["country_code"], []
    if country not in grouped("countries", "country"):
        return [Problem(row["identity_id"], "country_code", f"{country!r} is not in data/tables/countries.csv")]
    for field in IDENTIFYING:
        claim = proof.get(field, {})
        if not all(claim.get(key) for key in ("level", "rule", "source")):
            found.append((field, "no proof of fiction (level, rule, source)"))
        for value in values_of(row, field):
            found += [(field, what) for what in JUDGES[field](value, country, claim.get("level"), row)]
    found += _plain_facts(row)
    return [Problem(row["identity_id"], field, what) for field, what in found]


def values_of(row: dict[str, Any], field: str) -> list[str]:
    return list(row[field]) if isinstance(row[field], (list, tuple)) else [row[field]]


def digest(value: str) -> bytes:
    """Eight bytes of a value, equal for values that differ by case only."""
    return blake2b(value.casefold().encode(), digest_size=8).digest()


def _proof(row: dict[str, Any]) -> dict[str, dict]:
    return json.loads(row["proof"]) if isinstance(row["proof"], str) else row["proof"] or {}


@functools.cache
def _cities(country: str) -> frozenset[str]:
    return frozenset(city["city"] for city in grouped("cities", "country")[country])


def _plain_facts(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    country = row["country_code"]
    if row["city"] not in _cities(country):
        yield "city", f"{row['city']!r} is not a city of {country}"
    if row["blood_type"] not in TYPES:
        yield "blood_type", f"{row['blood_type']!r} is none"
    job = grouped("jobs", "job").get(row["job"])
    if not job:
        yield "job", f"{row['job']!r} is not in data/tables/jobs.csv"
    elif "age" in row and not int(job[0]["min_age"]) <= row["age"] <= int(job[0]["max_age"]):
        yield "job", f"{row['job']!r} at {row['age']}"
    if row.get("age", 18) < 18:
        yield "age", f"{row['age']}: no adult"
