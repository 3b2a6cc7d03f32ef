"""What a model is asked of each fact: its own caption among others that differ in the value alone, three ways."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from salmu.data.keyed import generator
from salmu.data.schemas import DATA_FIELDS
from salmu.evaluation.encoding.pairs import Pairs
from salmu.evaluation.granularity.coarse import coarse_caption, coarse_value
from salmu.evaluation.granularity.results import MEASURES
from salmu.evaluation.granularity.same_kind import made_values


class Gallery(NamedTuple):
    """For n pairs, the right caption of each and m wrong ones."""

    right: np.ndarray  # [n] captions
    wrong: list[str]  # [m]
    row: np.ndarray  # [m] the pair that each wrong caption is for, int64


class Asked(NamedTuple):
    rows: np.ndarray  # of the forget pairs, int64 [n]
    others: np.ndarray  # a pair that shows somebody else, for each: the control, int64 [n]
    galleries: dict[str, Gallery]  # MEASURES
    left_out: dict[str, int]  # reason -> pairs


def ask(pairs: Pairs, identities: Mapping[str, dict], rows: int, captions: int, seed: int) -> Asked:
    """At most so many pairs, drawn by the seed, with at most so many wrong captions each.

    All wrong values are made and belong to nobody, as far as the field has more values than people: who knows nothing
    of a fact cannot tell them from its own."""
    people, chosen, left_out = _by_kind(identities), [], Counter()
    found = {measure: ([], [], []) for measure in MEASURES}
    for row in np.sort(generator(seed, "granularity", "rows").permutation(len(pairs))[:rows]):
        field, value, text, name = (column[row] for column in (pairs.field, pairs.value, pairs.text, pairs.name))
        kind = coarse_value(field, value, pairs.country[row]) if field in DATA_FIELDS and value else None
        if kind is None or value not in text:
            left_out["nothing tells its coarse value" if kind is None else "its caption does not hold its value"] += 1
            continue
        person, key = identities[pairs.identity[row]], (seed, "granularity", pairs.file_name[row])
        own = {value, *listed(person.get(field))}
        same = [one for one in made_values(field, value, kind, person, captions, *key, "fine") if one not in own]
        same = _shuffled(sorted(set(same)), *key, "fine")[:captions]
        others = _shuffled(sorted(set(people[field]) - {kind}), *key, "coarse")[:captions]
        if not same or not others:
            left_out["no other value of its kind" if not same else "no other coarse value"] += 1
            continue
        other_values = [_of_kind(field, value, other, person, people, *key) for other in others]
        told = {
            "fine": [text, *(text.replace(value, one) for one in same)],
            "coarse": [coarse_caption(field, name, one, *key) for one in (kind, *others)],
            "kind": [text.replace(value, one) for one in (same[0], *other_values) if one is not None],
        }
        for measure, captions_of_row in told.items():
            _add(found[measure], len(chosen), captions_of_row)
        chosen.append(row)
    rows = np.array(chosen, np.int64)
    galleries = {
        measure: Gallery(np.array(right, object), wrong, np.array(of, np.int64))
        for measure, (right, wrong, of) in found.items()
    }
    return Asked(rows, _somebody_else(pairs.person[rows], rows, seed), galleries, dict(left_out))


def _by_kind(identities: Mapping[str, dict]) -> dict[str, dict[str, dict]]:
    """Field -> coarse value -> a person who has it."""
    people = defaultdict(dict)
    for person in identities.values():
        for field in DATA_FIELDS:
            for value in listed(person.get(field)):
                kind = coarse_value(field, value, person.get("country_code"))
                if kind is not None:
                    people[field].setdefault(kind, person)
    return people


def _of_kind(field: str, value: str, kind: str, person: dict, people: dict, *key) -> str | None:
    """A made value with another coarse value. An e-mail address stays that of the person, whose name it holds."""
    owner = person if field == "emails" else people[field][kind]
    made = sorted(set(made_values(field, value, kind, owner, 1, *key, kind)) - {*listed(owner.get(field))})
    return _shuffled(made, *key, kind)[0] if made else None


def _somebody_else(people: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """For each of the rows, a row of another person; of the same one where there is nobody else."""
    found = []
    for place, row in enumerate(rows):
        others = rows[people != people[place]]
        found.append(generator(seed, "granularity", "somebody else", place).choice(others) if len(others) else row)
    return np.array(found, np.int64)


def _add(gallery: tuple[list, list, list], row: int, captions: list[str]) -> None:
    """Add a right caption and its wrong ones."""
    right, wrong, of = gallery
    right.append(captions[0])
    wrong += captions[1:]
    of += [row] * (len(captions) - 1)


def _shuffled(values: list[str], *key) -> list[str]:
    return [values[place] for place in generator(*key).permutation(len(values))]


def listed(value: str | list[str] | None) -> list[str]:
    """A field's values: several e-mail addresses, one of all else, or none."""
    return value if isinstance(value, list) else [] if value is None else [value]
