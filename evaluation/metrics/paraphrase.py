"""ParaMRR and ParaStr: forgotten facts, asked in wordings that no caption of the dataset has.

A method that only unlearned sentences is found out here. The wordings need the name, the attribute and the value of a
pair, which every published folder gives, and nothing of the generator of its captions."""

from collections.abc import Callable

import numpy as np

from salmu.data.keyed import generator
from salmu.evaluation.encoding.pairs import Pairs
from salmu.evaluation.metrics.retrieval import chance, own_rank
from salmu.evaluation.metrics.score import Score, missing

WORDINGS = (
    "According to the register, the {label} of {name} reads: {value}.",
    "On file under {name}, {label}: {value}",
    "{value}, noted down as the {label} that belongs to {name}",
)
LABELS = {
    "city": "place of residence",
    "job": "line of work",
    "blood_type": "blood group",
    "phone_number": "telephone line",
    "emails": "electronic mailbox",
    "iban": "bank connection",
    "credit_card": "payment card",
    "passport": "travel document",
}


def paraphrased(
    forget: Pairs, known_texts: set[str], pool_size: int, seed: int, encode: Callable[[list[str]], np.ndarray]
) -> dict[str, Score]:
    """ParaMRR: mean reciprocal rank of a pair's fact among itself and `pool_size` other facts of the forget set, all in
    one wording, which is drawn for each pair. ParaStr: mean cosine of the image and that sentence.

    `known_texts`: the captions of the dataset; a sentence that is one of them is not asked."""
    usable = np.flatnonzero([value is not None and name is not None for name, value in zip(forget.name, forget.value)])
    if not len(usable):
        return {metric: missing(metric, "no rows with name and value") for metric in ("ParaMRR", "ParaStr")}
    facts = list(dict.fromkeys(_fact(forget, row) for row in usable.tolist()))
    drawn = generator(seed, "ParaMRR", "pool").permutation(len(facts))[:pool_size]
    wording = generator(seed, "ParaMRR", "wording").integers(0, len(WORDINGS), len(forget))
    asked, ranks, sizes, cosines = [], [], [], []
    for number, form in enumerate(WORDINGS):
        own = {row: _sentence(form, _fact(forget, row)) for row in usable[wording[usable] == number].tolist()}
        rows = [row for row, text in own.items() if text not in known_texts]
        pool = [text for text in (_sentence(form, facts[fact]) for fact in drawn) if text not in known_texts]
        if not rows:
            continue
        texts = [own[row] for row in rows]
        embedded = encode(texts + pool)
        found = own_rank(
            forget.images[rows],
            embedded[: len(rows)],
            embedded[len(rows) :],
            np.array(texts, object),
            np.array(pool, object),
        )
        asked += rows
        ranks.append(found[0])
        sizes.append(found[1])
        cosines.append(np.einsum("nd,nd->n", forget.images[rows], embedded[: len(rows)]))
    if not asked:
        return {metric: missing(metric, "every wording is one of the dataset's") for metric in ("ParaMRR", "ParaStr")}
    ranks, sizes, cosines = (np.concatenate(parts) for parts in (ranks, sizes, cosines))
    person, about = forget.person[asked], {"rows": len(asked), "wordings": len(WORDINGS)}
    return {
        "ParaMRR": Score({"MRR": float(np.mean(1 / ranks)), **about}, 1 / ranks, person, chance(sizes)),
        "ParaStr": Score({"mean": float(np.mean(cosines, dtype=np.float64)), **about}, cosines, person),
    }


def _fact(pairs: Pairs, row: int) -> tuple[str, str, str]:
    return pairs.name[row], pairs.field[row], pairs.value[row]


def _sentence(form: str, fact: tuple[str, str, str]) -> str:
    name, field, value = fact
    return form.format(name=name, label=LABELS.get(field, str(field).replace("_", " ")), value=value)
