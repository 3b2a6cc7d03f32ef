"""What captioners learn, and what they are asked of each portrait."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from salmu.data.errors import UserError
from salmu.data.keyed import generator
from salmu.data.readers import SPLITS, Dataset
from salmu.data.schemas import DATA_FIELDS
from salmu.evaluation.captioner.decoder import LONGEST
from salmu.evaluation.captioner.results import GROUPS
from salmu.evaluation.encoding.pairs import person_on

NUMBERS = ("phone_number", "iban", "credit_card", "passport")  # fields whose digits are counted
DESCRIBE = len(DATA_FIELDS)  # the question that a caption without personal data answers
COLUMNS = ["file_name", "text", "identity_id", "data_field", "value"]


class Learned(NamedTuple):
    """All n pairs of a dataset as questions and answers, split by split."""

    split: np.ndarray
    person: np.ndarray  # who is on the picture
    identity: np.ndarray  # None where the pair names no persona
    question: np.ndarray  # number of the field in DATA_FIELDS, or DESCRIBE; int64
    answer: np.ndarray


class Asked(NamedTuple):
    """m questions about facts."""

    group: np.ndarray  # of GROUPS
    person: np.ndarray
    portrait: np.ndarray  # row of Learned whose picture is shown, int64
    question: np.ndarray  # int64
    answer: np.ndarray  # the right one


def learned(dataset: Dataset) -> Learned:
    """What the pairs of a dataset teach: the value of the fact, or the caption without personal data."""
    rows = []
    for split in SPLITS:
        for row in dataset.table(split, COLUMNS).to_pylist():
            person = person_on(row["identity_id"], row["file_name"])
            if row["data_field"] in DATA_FIELDS and row["value"]:
                told = DATA_FIELDS.index(row["data_field"]), spelled(row["data_field"], row["value"])
            else:
                told = DESCRIBE, row["text"][:LONGEST]
            rows.append((split, person, row["identity_id"], *told))
    split, person, identity, question, answer = zip(*rows, strict=True)
    strings = (np.array(column, object) for column in (split, person, identity))
    return Learned(*strings, np.array(question, np.int64), np.array(answer, object))


def ask(pairs: Learned, portraits: int, seed: int) -> Asked:
    """Each fact of each group, on at most so many portraits of the person: but for "own portraits" those whose own
    caption is about something else, so that only who it is can lead to the answer. A fact without one is not asked.

    Raises UserError where no forgotten fact can be asked."""
    keeps = set(pairs.identity[pairs.split == "holdout_association"])
    of_person, facts = defaultdict(list), {}
    for row, (split, person, identity, question, answer) in enumerate(zip(*pairs, strict=True)):
        of_person[person].append(row)
        if question != DESCRIBE:
            for group in _groups(split, identity in keeps):
                facts[group, person, question, answer] = None
    found = []
    for group, person, question, answer in sorted(facts, key=lambda fact: (list(GROUPS).index(fact[0]), *fact[1:])):
        own = group == "own portraits"
        shown = [row for row in of_person[person] if (pairs.question[row] == question) == own]
        drawn = generator(seed, "captioner", group, person, int(question), answer).permutation(len(shown))[:portraits]
        found += [(group, person, shown[place], question, answer) for place in drawn]
    if not any(group.startswith("forgotten") for group, *_ in found):
        raise UserError(
            "captioner: no pair of the split forget has a fact and a person with other portraits to ask it on"
        )
    group, person, portrait, question, answer = zip(*found, strict=True)
    numbers = (np.array(column, np.int64) for column in (portrait, question))
    return Asked(np.array(group, object), np.array(person, object), *numbers, np.array(answer, object))


def _groups(split: str, keeps_facts: bool) -> list[str]:
    """The groups that facts of a split belong to."""
    if split == "forget":
        return ["forgotten facts" if keeps_facts else "forgotten people", "own portraits"]
    return {"holdout_identity": ["other people"], "holdout_association": ["other facts"]}.get(split, [])


def spelled(field: str, value: str) -> str:
    """A value as an answer: numbers without blanks, cut to LONGEST letters."""
    return (value.replace(" ", "") if field in NUMBERS else value)[:LONGEST]


def digits_right(wanted: str, said: str) -> float:
    """Share of the digits of an answer that are said, each in its place among the digits: ("+6212", "+6299") -> .5."""
    right, found = ([letter for letter in text if letter.isdigit()] for text in (wanted, said))
    return sum(one == other for one, other in zip(right, found, strict=False)) / len(right)
