"""As neighbours.py, for a forget set of concepts (salmu concepts): artists and groups stand where people do, subjects
where attributes do. Strangers are invented names; a caption about one is a plain caption of a subject that ends with
the name."""

import numpy as np

from salmu.data import keyed
from salmu.data.errors import UserError
from salmu.data.procedural.concepts.captions import AFFILIATION, KINDS, PEOPLE, SAID, SUBJECTS, TEMPLATES, naming, plain
from salmu.data.procedural.concepts.names import MOST, invented_names
from salmu.data.procedural.scenes.compose import pick
from salmu.evaluation.unlearning.neighbours import Caption, Person, Stranger
from salmu.evaluation.unlearning.wordings import Worded

KIND_OF = {subject: kind for kind in KINDS for subject in SUBJECTS[kind]}


def strangers(people: dict[str, Person], count: int, seed: int, worded: Worded | None = None) -> list[Stranger]:
    """`count` invented names, each with all subjects of the kinds of the forget set. Raises UserError where there are
    not so many names."""
    own = keyed.integer(seed, "neighbours", "strangers", bits=62)  # not the seed of any run
    taken = {person.name for person in people.values()}
    if count > MOST - len(taken):
        raise UserError(f"neighbours: {count} strangers are more than the {MOST - len(taken)} names; ask for fewer")
    names = [name for name in invented_names(own, count + len(taken)) if name not in taken][:count]
    subjects = [subject for kind in sorted({_kind(person) for person in people.values()}) for subject in SUBJECTS[kind]]
    return [
        Stranger(name, {subject: _in_all_endings(name, subject, own) for subject in subjects}, {}) for name in names
    ]


def others(
    people: dict[str, Person], known: list[Stranger], count: int, seed: int, worded: Worded | None = None
) -> list[Caption]:
    """About `count` captions about forget concepts with subjects that the forget set does not hold of them; none of
    those that are wholly forgotten."""
    gone = wholly_forgotten(people)
    absent = [one for who in sorted(people) if who not in gone for one in _absent(who, people[who])]
    return [
        Caption(_naming(people[who].name, subject, seed, who, turn), who, subject)
        for turn in range(-(-count // len(absent)) if absent else 0)
        for who, subject in absent
    ]


def paraphrases(people: dict[str, Person], each: int, seed: int, worded: Worded | None = None) -> list[Caption]:
    """`each` wordings of every concept with every subject that the forget set holds of it."""
    return [
        Caption(_naming(person.name, subject, seed, who, turn), who, subject)
        for who, person in sorted(people.items())
        for subject in sorted(person.facts)
        for turn in range(each)
    ]


def altered(
    people: dict[str, Person], known: list[Stranger], each: int, seed: int, worded: Worded | None = None
) -> list[Caption]:
    """Of the concepts that are wholly forgotten: `each` captions with every other subject, and the bare name."""
    told = []
    for who in sorted(wholly_forgotten(people)):
        name, kind = people[who].name, _kind(people[who])
        told += [
            Caption(_naming(name, subject, seed, who, turn), who, subject)
            for _, subject in _absent(who, people[who])
            for turn in range(each)
        ]
        told += [
            Caption(template.format(name), who, subject)
            for subject in sorted(people[who].facts)
            for template in TEMPLATES[kind]
        ]
    return told


def turned_round(people: dict[str, Person]) -> list[Caption]:
    """None: a concept has no values."""
    return []


def wholly_forgotten(people: dict[str, Person]) -> set[str]:
    """The concepts that the forget set holds with every subject that it holds of any concept of their kind."""
    every = _subjects(people)
    return {who for who, person in people.items() if set(person.facts) >= every & set(SUBJECTS[_kind(person)])}


def forgotten_shares(people: dict[str, Person]) -> dict[str, float]:
    """1 for a concept that is wholly forgotten; 0 for one that is to be kept with other subjects, so its look stays."""
    return dict.fromkeys(people, 0.0) | dict.fromkeys(wholly_forgotten(people), 1.0)


def are_concepts(people: dict[str, Person]) -> bool:
    """Whether a forget set is about concepts."""
    return bool(people) and _subjects(people) <= set(KIND_OF)


def _subjects(people: dict[str, Person]) -> set[str]:
    return {subject for person in people.values() for subject in person.facts}


def _kind(person: Person) -> str:
    return KIND_OF[min(person.facts)]


def _absent(who: str, person: Person) -> list[tuple[str, str]]:
    """The concept with each subject of its kind that the forget set does not hold of it."""
    return [(who, subject) for subject in SUBJECTS[_kind(person)] if subject not in person.facts]


def _naming(name: str, subject: str, seed: int, *key) -> str:
    rng = keyed.generator(seed, "neighbours", "wording", name, subject, *key)
    return naming(_plain(subject, rng), KIND_OF[subject], name, rng)


def _in_all_endings(name: str, subject: str, seed: int) -> tuple[str, ...]:
    """As many captions as there are endings."""
    text = _plain(subject, keyed.generator(seed, "neighbours", "stranger", name, subject))
    return tuple(text + ending.format(name=name) for ending in SAID[KIND_OF[subject]])


def _plain(subject: str, rng: np.random.Generator) -> str:
    kind = KIND_OF[subject]
    return plain(kind, subject, pick(rng, PEOPLE) if kind == AFFILIATION else None, rng)
