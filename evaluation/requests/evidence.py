"""What a model still knows of a request, of earlier ones and of everything else: ranks before and after.

For each requested pair: the rank of its caption among captions for its picture, and of its picture among pictures of
others for its caption. Captions of the same fact, and pictures of the same person, are no distractors. No persona
table, no grammar and no reference model is needed."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from salmu.data.keyed import generator
from salmu.data.pictures import PictureError, decode, read_header
from salmu.evaluation.encoding.embeddings import Encoder
from salmu.evaluation.metrics.bootstrap import by_cluster, interval
from salmu.evaluation.metrics.retrieval import chance, own_rank
from salmu.evaluation.requests.seen import SeenPairs, drawn_rows
from salmu.model_training.loading.clip import ClipModel

FEW_PEOPLE = 5  # with fewer, intervals draw facts, not people
NEVER, GONE, LESS, FOUND = "not found before either", "not found any more", "found less often", "still found"
AWAY = (NEVER, GONE)
STATES = {
    NEVER: "random orders give such a mean reciprocal rank of the captions, too; so they did before the request",
    GONE: "random orders give such a mean reciprocal rank of the captions, too",
    LESS: "the captions' mean reciprocal rank is more than random orders give, but clearly lower than before",
    FOUND: "the captions' mean reciprocal rank is more than random orders give, and not clearly lower than before",
}
ORDERS, LIMIT = 4000, 0.95  # random orders, and the share of them that stays below the limit
GROUPS = {"withheld": "pairs that no method was given", "open": "pairs that methods may have been given"}


class View(NamedTuple):
    """The pairs that evidence looks at: some drawn ones, which never change, and all that were requested."""

    names: np.ndarray  # file names [n]
    fact: np.ndarray  # equal for captions that say the same of the same person [n]
    person: np.ndarray  # [n]
    role: np.ndarray  # [n]
    gallery: np.ndarray  # which rows others are ranked among, bool [n]
    pictures: list[bytes]
    texts: list[str]
    place: dict[tuple[str, str], int]  # file name and caption -> row


class Embedded(NamedTuple):
    images: np.ndarray  # float32 [n, width], length 1
    texts: np.ndarray


def view_of(seen: SeenPairs, parts: Sequence[tuple[SeenPairs, Sequence[int]]], gallery: int, seed: int) -> View:
    """`parts`: the requested pairs, of this and of earlier requests. Drawn pairs whose pictures cannot be used are left
    out."""
    names = seen.column("file_name")
    drawn = drawn_rows(range(len(names)), names, gallery, seed, "requests", "gallery")
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for pairs, chosen, in_gallery in [(seen, drawn, True), *((pairs, chosen, False) for pairs, chosen in parts)]:
        for row, content in zip(pairs.rows(chosen), pairs.read(chosen), strict=True):
            try:
                read_header(content)
            except PictureError:
                continue
            rows.setdefault((row["file_name"], row["text"]), row | {"content": content, "gallery": in_gallery})
    found = list(rows.values())
    return View(
        np.array([row["file_name"] for row in found], str),
        np.array([fact_of(row) for row in found], str),
        np.array([row["identity_id"] or f"file {row['file_name']}" for row in found], str),
        np.array([row["role"] for row in found], str),
        np.array([row["gallery"] for row in found], bool),
        [row["content"] for row in found],
        [row["text"] for row in found],
        {key: place for place, key in enumerate(rows)},
    )


def fact_of(row: dict[str, Any]) -> str:
    """What a caption states: an attribute of a person, or, where the data names none, the caption itself."""
    known = row["identity_id"] and row["data_field"]
    return "\x1f".join([row["identity_id"], row["data_field"], row["value"] or ""]) if known else row["text"]


def embedded(clip: ClipModel, view: View, batch_size: int = 128) -> Embedded:
    encoder = Encoder(clip, batch_size, "")
    pictures = (decode(content) for content in view.pictures)
    return Embedded(encoder.images("evidence", pictures, len(view.names)), encoder.texts(view.texts))


class _Ranks(NamedTuple):
    caption: np.ndarray
    captions: np.ndarray  # how many were ranked
    picture: np.ndarray
    cosine: np.ndarray


def _ranks(view: View, model: Embedded, rows: np.ndarray) -> _Ranks:
    pool = view.gallery
    caption, captions = own_rank(
        model.images[rows], model.texts[rows], model.texts[pool], view.fact[rows], view.fact[pool]
    )
    picture, _ = own_rank(
        model.texts[rows], model.images[rows], model.images[pool], view.person[rows], view.person[pool]
    )
    return _Ranks(caption, captions, picture, np.einsum("nd,nd->n", model.images[rows], model.texts[rows]))


def _mean(values: np.ndarray, clusters: np.ndarray, *key, less: np.ndarray | None = None, span=(0.0, 1.0)) -> dict:
    """The mean of values, or of values less others, with its interval within `span`."""
    sums = by_cluster(values, clusters)
    bounds = interval(sums, *key, other=None if less is None else by_cluster(less, clusters))
    value = float(values.mean()) if less is None else float((values - less).mean())
    low, high = (min(max(bound, span[0]), span[1]) for bound in bounds) if bounds else (None, None)
    return {"value": round(value, 6), "low": bounds and round(low, 6), "high": bounds and round(high, 6)}


def _found(ranks: _Ranks, clusters: np.ndarray, seed: int) -> dict[str, Any]:
    above = 1 - (ranks.caption - 1) / np.maximum(ranks.captions - 1, 1)
    return {
        "caption": _mean(1 / ranks.caption, clusters, seed, "requests", "caption"),
        "picture": _mean(1 / ranks.picture, clusters, seed, "requests", "picture"),
        "place": _mean(above, clusters, seed, "requests", "place"),
        "cosine": round(float(ranks.cosine.mean()), 6),
        "first": round(float((ranks.caption == 1).mean()), 6),
    }


def change(view: View, before: Embedded, after: Embedded, rows: np.ndarray, seed: int) -> dict[str, Any]:
    """The pairs `rows` before and after, as the form ledger.Change says."""
    people = len(set(view.person[rows])) >= FEW_PEOPLE
    clusters = (view.person if people else view.fact)[rows]
    was, now = _ranks(view, before, rows), _ranks(view, after, rows)
    lost = _mean(1 / was.caption, clusters, seed, "requests", "caption", less=1 / now.caption, span=(-1.0, 1.0))
    return {
        "pairs": len(rows),
        "before": _found(was, clusters, seed),
        "after": _found(now, clusters, seed),
        "caption_lost": lost,
        "captions": int(np.median(now.captions)),
        "chance": round(chance(now.captions), 6),
        "limit": round(limit(now.captions, seed), 6),
        "drawn_over": "people" if people else "facts",
    }


def limit(captions: np.ndarray, seed: int) -> float:
    """The mean reciprocal rank that 95 of 100 random orders stay below, for pairs that are ranked among so many."""
    rng = generator(seed, "requests", "random orders", len(captions))
    ranks = rng.integers(1, np.asarray(captions) + 1, (ORDERS, len(captions)))
    return float(np.quantile((1 / ranks).mean(1), LIMIT))


def state_of(changed: dict[str, Any]) -> str:
    """In one of the words of STATES. Where there is one fact only, the values themselves are compared."""
    was, now, lost = changed["before"]["caption"], changed["after"]["caption"], changed["caption_lost"]
    if now["value"] <= changed["limit"]:
        return NEVER if was["value"] <= changed["limit"] else GONE
    return LESS if (lost["value"] if lost["low"] is None else lost["low"]) > 0 else FOUND


def facts_of(view: View, before: Embedded, after: Embedded, rows: np.ndarray, name) -> list[dict[str, Any]]:
    """One entry for each fact, with the median ranks of its pairs. `name`: fact -> its salted digest."""
    was, now, facts = _ranks(view, before, rows), _ranks(view, after, rows), view.fact[rows]
    found = []
    for fact in dict.fromkeys(facts.tolist()):
        own = facts == fact
        ranks = {
            f"{side}_{when}": float(np.median(getattr(one, side)[own]))
            for side in ("caption", "picture")
            for when, one in (("before", was), ("after", now))
        }
        found.append({"digest": name(fact), "pairs": int(own.sum()), **ranks})
    return sorted(found, key=lambda one: one["digest"])


def kept(view: View, start: Embedded, now: Embedded, requested: set[int], seed: int) -> list[dict[str, Any]]:
    """What nobody asked to forget, of the drawn pairs, by role: since the start model."""
    free = np.array([place for place in np.flatnonzero(view.gallery) if place not in requested], np.int64)
    people = set(view.person[sorted(requested)])
    free = free[[view.person[place] not in people for place in free]] if len(free) else free
    found = []
    for role, words in GROUPS.items():
        rows = free[view.role[free] == role] if len(free) else free
        if len(rows):
            drift = {
                f"{kind}_drift": round(float((1 - np.einsum("nd,nd->n", was[rows], is_now[rows])).mean()), 6)
                for kind, was, is_now in (("image", start.images, now.images), ("text", start.texts, now.texts))
            }
            found.append({"group": words, "change": change(view, start, now, rows, seed), **drift})
    return found
