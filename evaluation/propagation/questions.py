"""What a generator is asked to draw, and of whom."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from salmu.data.keyed import ranked
from salmu.evaluation.propagation.heads import Heads
from salmu.evaluation.propagation.results import QUESTIONS


class Asked(NamedTuple):
    """n captions, in the order of QUESTIONS."""

    question: np.ndarray  # [n]
    text: np.ndarray
    person: np.ndarray  # who should be on the picture
    portrait: np.ndarray  # row of the portrait that the caption belongs to, or of one of the person


def ask(heads: Heads, identities: Mapping[str, dict], captions: int, seed: int) -> Asked:
    """So many captions of each person in each question, drawn by the seed; as many drawings of each name."""
    keeps = set(heads.identity[heads.split == "holdout_association"])
    whole = np.array([identity is not None and identity not in keeps for identity in heads.identity])
    forget = heads.split == "forget"
    rows = {
        "forgotten people": forget & whole,
        "forgotten facts": forget & ~whole,
        "names": forget & whole,
        "names, facts kept": forget & ~whole,
        "other people": heads.split == "holdout_identity",
        "other facts": heads.split == "holdout_association",
        "neutral": heads.split == "retain_synth",
    }
    found = []
    for question in QUESTIONS:
        for person in sorted(set(heads.person[rows[question]])):
            of_person = np.flatnonzero(rows[question] & (heads.person == person))
            for row in ranked(of_person.tolist(), seed, "propagation", question)[:captions]:
                name = question.startswith("names")
                text = identities[heads.identity[row]]["name"] if name else heads.text[row]
                found.append((question, text, person, row))
    question, text, person, portrait = zip(*found, strict=True)
    return Asked(*(np.array(column, object) for column in (question, text, person)), np.array(portrait))
