"""Which module makes a method's captions: by what its forget set is about."""

from types import ModuleType

from salmu.evaluation.unlearning import concept_neighbours, neighbours
from salmu.evaluation.unlearning.neighbours import Person


def maker_for(people: dict[str, Person]) -> ModuleType:
    """neighbours.py, or concept_neighbours.py for a forget set of concepts; both have strangers, others, paraphrases,
    altered, turned_round and forgotten_shares."""
    return concept_neighbours if concept_neighbours.are_concepts(people) else neighbours
