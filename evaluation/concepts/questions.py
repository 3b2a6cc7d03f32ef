"""What is asked of a model about concepts: which pictures, and by which names.

    ConceptMRR   the mean of 1 / rank of the caption that names a picture's concept, among captions that differ from it
                 in the name only: those of all concepts of its kind, and invented names that no caption holds
    ZeroShot     share of pictures that are nearest to their own concept's name among those of all concepts

No caption of a picture that is asked about names its concept, in training or elsewhere."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from salmu.data.procedural.concepts.captions import KINDS, TEMPLATES, asked
from salmu.evaluation.concepts.plan import SHOWN, UNSEEN, Item, Plan
from salmu.evaluation.metrics.retrieval import chance, own_rank
from salmu.evaluation.metrics.zero_shot import classifier

PICTURES, CONCEPTS = "forgotten pictures", "forgotten concepts"
SUBJECTS, NEW_SUBJECTS = "same concepts, other subjects", "same concepts, new subjects"
OTHERS = "other concepts"
QUESTIONS = {  # -> which pictures
    PICTURES: "training pictures that are to be forgotten, and whose captions never named the concept",
    CONCEPTS: "new subjects in the style, or with the sign, of concepts all of whose pictures are to be forgotten",
    SUBJECTS: "pictures to be kept of concepts that are to be forgotten with other subjects; their captions never "
    "named the concept",
    NEW_SUBJECTS: "the same concepts with new subjects",
    OTHERS: "concepts that nobody asked to forget, with new subjects",
}
CONCEPT_MRR, ZERO_SHOT = "ConceptMRR", "ZeroShot"
Encode = Callable[[list[str]], np.ndarray]


class Asked(NamedTuple):
    """The values of one measure over n pictures."""

    values: np.ndarray  # [n]
    concepts: np.ndarray  # id of each picture's concept
    chance: float


def question_of(item: Item) -> str | None:
    """The question that a picture belongs to; None for one that is not asked about."""
    if item.concept is None or item.says != SHOWN:
        return None
    if item.split == UNSEEN:
        return {"forget": CONCEPTS, "association": NEW_SUBJECTS, "holdout_identity": OTHERS}[item.concept.role]
    return {"forget": PICTURES, "holdout_association": SUBJECTS}.get(item.split)


def concept_ranks(plan: Plan, items: list[Item], images: np.ndarray, encode: Encode) -> tuple[np.ndarray, np.ndarray]:
    """Rank of each picture's own concept, and the number of names; ties count half. images: [n, width], of length 1."""
    names = {kind: [one.name for one in plan.concepts if one.kind == kind] + plan.decoys[kind] for kind in KINDS}
    places = {(item.kind, item.subject): [] for item in items}
    for row, item in enumerate(items):
        places[item.kind, item.subject].append(row)
    ranks, sizes = np.empty(len(items)), np.empty(len(items), np.int64)
    for (kind, subject), rows in places.items():
        texts = np.array([asked(kind, subject, name) for name in names[kind]], object)
        pool = encode(list(texts))
        own = [names[kind].index(items[row].concept.name) for row in rows]
        ranks[rows], sizes[rows] = own_rank(images[rows], pool[own], pool, texts[own], texts)
    return ranks, sizes


def named_right(plan: Plan, items: list[Item], images: np.ndarray, encode: Encode) -> np.ndarray:
    """Whether each picture is nearest to its own concept's name among those of all concepts, bool [n]."""
    named = np.concatenate(
        [classifier([one.name for one in plan.concepts if one.kind == kind], TEMPLATES[kind], encode) for kind in KINDS]
    )
    order = [one for kind in KINDS for one in plan.concepts if one.kind == kind]
    own = np.array([order.index(item.concept) for item in items])
    return (images @ named.T).argmax(1) == own


def answers(plan: Plan, items: list[Item], images: np.ndarray, encode: Encode) -> dict[str, dict[str, Asked]]:
    """Question -> measure -> its values, for pictures that are asked about, with their embeddings [n, width]."""
    ranks, sizes = concept_ranks(plan, items, images, encode)
    right = named_right(plan, items, images, encode)
    question = np.array([question_of(item) for item in items], object)
    concepts = np.array([item.concept.id for item in items], object)
    return {
        name: {
            CONCEPT_MRR: Asked(1 / ranks[rows], concepts[rows], chance(sizes[rows])),
            ZERO_SHOT: Asked(right[rows].astype(float), concepts[rows], 1 / len(plan.concepts)),
        }
        for name in QUESTIONS
        if (rows := question == name).any()
    }
