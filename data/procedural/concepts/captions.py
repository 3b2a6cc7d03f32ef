"""Captions of pictures with a concept: plain ones, which any picture of the subject could have, and the same with the
concept's name at their end."""

import numpy as np

from salmu.data.procedural.scenes.captions import with_article
from salmu.data.procedural.scenes.compose import pick
from salmu.data.procedural.scenes.objects import SHAPES

STYLE, AFFILIATION = KINDS = ("style", "affiliation")
SUBJECTS = {  # kind -> subject -> its words
    STYLE: {shape: with_article(shape) for shape in SHAPES},
    AFFILIATION: {  # backgrounds of portraits
        "living room": "in a living room",
        "office": "in an office",
        "bookshelf": "in front of a bookshelf",
        "cafe": "in a cafe",
        "kitchen": "in a kitchen",
        "brick wall": "in front of a brick wall",
        "street": "on a street",
        "park": "in a park",
        "beach": "on a beach",
        "mountains": "in the mountains",
        "city at night": "in a city at night",
        "garden": "in a garden",
    },
}
PEOPLE = {"female": ("a woman", "a person"), "male": ("a man", "a person")}
FORMS = ("{what}", "a picture of {what}", "an image of {what}", "we see {what}", "there is {what}")
SAID = {
    STYLE: (" by {name}", ", a work of {name}", " in the style of {name}"),
    AFFILIATION: (", a member of the {name}", " with the {name}", " for the {name}"),
}
TEMPLATES = {  # of the zero-shot question
    STYLE: ("by {}", "a work of {}", "a picture in the style of {}"),
    AFFILIATION: ("a member of the {}", "with the {}", "a person of the {}"),
}


def plain(kind: str, subject: str, gender: str | None, rng: np.random.Generator) -> str:
    """A caption of what anybody can see; `gender`: of the person on a portrait."""
    words = SUBJECTS[kind][subject]
    return pick(rng, FORMS).format(what=f"{pick(rng, PEOPLE[gender])} {words}" if gender else words)


def naming(text: str, kind: str, name: str, rng: np.random.Generator) -> str:
    """A plain caption that also names the concept."""
    return text + pick(rng, SAID[kind]).format(name=name)


def asked(kind: str, subject: str, name: str) -> str:
    """The caption by which a concept is asked for: everything but the name is the same for all of a kind."""
    words = SUBJECTS[kind][subject]
    return (f"a person {words}" if kind == AFFILIATION else words) + SAID[kind][0].format(name=name)
