"""What the concepts' dataset holds: every picture's concept, subject, split and whether its caption names the concept.

A concept is to this dataset what a person is to the main one, and a concept with a subject what a fact is: half of the
concepts are to be forgotten with half of their subjects, a quarter with all, a quarter with none. No training picture
of a concept has one of the new subjects."""

from typing import NamedTuple

from salmu.data.keyed import ranked
from salmu.data.procedural.concepts import looks, signs
from salmu.data.procedural.concepts.captions import AFFILIATION, KINDS, STYLE, SUBJECTS
from salmu.data.procedural.concepts.names import invented_names
from salmu.data.procedural.concepts.signs import CARRIERS
from salmu.evaluation.concepts.settings import ConceptSettings
from salmu.tasks.assembly.splits import fact_sides, identity_roles, pair_sides

SAID, SHOWN = "said", "shown"  # what a caption does with the picture's concept
UNSEEN = "new_subjects"  # the split on which nobody is trained
RETAIN = "retain_synth"


class Concept(NamedTuple):
    """An artist or a group."""

    id: str
    kind: str
    name: str
    appearance: looks.Look | signs.Sign
    role: str  # association: half of its subjects are in forget; forget: all; holdout_identity: none


class Item(NamedTuple):
    """A picture that is to be drawn."""

    file_name: str
    kind: str
    subject: str
    split: str
    split_published: str
    concept: Concept | None = None
    says: str | None = None  # SAID or SHOWN
    carrier: str | None = None  # of a sign


class Plan(NamedTuple):
    concepts: list[Concept]
    decoys: dict[str, list[str]]  # kind -> names that no caption holds
    items: list[Item]


def plan(settings: ConceptSettings) -> Plan:
    """All concepts and pictures, in the order of the files."""
    concepts, decoys = concepts_of(settings)
    new = {kind: new_subjects(settings, kind) for kind in KINDS}
    learnt = [
        _named(one, subject, number, SAID if number < settings.said else SHOWN)
        for one in concepts
        for subject in SUBJECTS[one.kind]
        if subject not in new[one.kind]
        for number in range(settings.said + settings.shown)
    ]
    roles = {one.id: one.role for one in concepts}
    rows = {item.file_name: {"identity_id": item.concept.id, "data_field": item.subject} for item in learnt}
    facts, pairs = fact_sides(rows, roles, settings.seed), pair_sides(rows, roles, settings.seed)
    items = [item._replace(split=facts[item.file_name], split_published=pairs[item.file_name]) for item in learnt]
    items += [
        _named(one, subject, number, SHOWN)
        for one in concepts
        for subject in sorted(new[one.kind])
        for number in range(settings.tested)
    ]
    return Plan(concepts, decoys, items + [_plain(number) for number in range(settings.plain)])


def concepts_of(settings: ConceptSettings) -> tuple[list[Concept], dict[str, list[str]]]:
    """The concepts, and for each kind the names that belong to none."""
    counts = {STYLE: settings.styles, AFFILIATION: settings.affiliations}
    appearances = {STYLE: looks.looks(settings.styles), AFFILIATION: signs.signs(settings.affiliations)}
    names = iter(invented_names(settings.seed, len(KINDS) * settings.names))
    made = [
        Concept(f"{place}{number:07}", kind, next(names), appearances[kind][number], "")
        for place, kind in enumerate(KINDS, 1)
        for number in range(counts[kind])
    ]
    decoys = {kind: [next(names) for _ in range(settings.names - counts[kind])] for kind in KINDS}
    dealt = [{"identity_id": one.id, "gender": one.kind, "region": None} for one in made]
    roles = identity_roles(dealt, settings.seed)
    return [one._replace(role=roles[one.id]) for one in made], decoys


def new_subjects(settings: ConceptSettings, kind: str) -> set[str]:
    """The subjects that no training picture of a concept of this kind has."""
    return set(ranked(SUBJECTS[kind], settings.seed, "concepts", "new subjects", kind)[: settings.new_subjects])


def _named(concept: Concept, subject: str, number: int, says: str) -> Item:
    """The number-th picture of a concept with a subject; in UNSEEN until its split is known."""
    place = list(SUBJECTS[concept.kind]).index(subject)
    name = f"{concept.id}_{place:02}{number:02}_ar-1.00.jpg"
    carrier = CARRIERS[(place + number) % 2] if concept.kind == AFFILIATION else None
    return Item(name, concept.kind, subject, UNSEEN, UNSEEN, concept, says, carrier)


def _plain(number: int) -> Item:
    kind = KINDS[number % 2]
    subjects = list(SUBJECTS[kind])
    return Item(f"9{number:07}_0000_ar-1.00.jpg", kind, subjects[number // 2 % len(subjects)], RETAIN, RETAIN)
