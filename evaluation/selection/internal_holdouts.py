"""The forget set cut in three, and what a model that unlearned the first part is worth on all of them.

15 % of the forget identities become internal strangers; half of the others keep half of their facts out. What is left
is unlearned, with the whole budget in its own multiples; the two internal holdouts are exchangeable with the official
ones where those were drawn at random. 15 % of the retain rows, and scenes that nothing was trained on, are kept back
too: a method that learns the rest of the retain pairs by heart must not pass for one that spares what is known. Nothing
but the splits forget and retain_synth is read."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch

from salmu.data.errors import UserError
from salmu.data.keyed import generator, integer
from salmu.data.readers import Dataset
from salmu.evaluation.metrics.matching import derangement
from salmu.evaluation.metrics.probe import told_apart
from salmu.evaluation.metrics.retrieval import chance, own_rank
from salmu.evaluation.unlearning.method import Method, Work
from salmu.evaluation.unlearning.pair_streams import Pool, embeddings
from salmu.evaluation.unlearning.retain_scenes import scene_source
from salmu.evaluation.unlearning.runner import pairs_of, pools
from salmu.evaluation.unlearning.settings import MethodSettings
from salmu.evaluation.unlearning.training import spend
from salmu.model_training.loading.clip import ClipModel
from salmu.model_training.network import input_side
from salmu.model_training.retain import scene_pairs

STRANGERS, PARTLY, FACTS_OUT = 0.15, 0.5, 0.5  # shares: identities; of the others; of their facts
BYSTANDERS = 0.15  # share of the retain rows that a trial's method does not see
UNSEEN_SCENES, FIRST_UNSEEN = 256, 10**6  # scenes of numbers that no pair is trained on
KEPT = 0.9  # share of what is known of which a trial may lose the rest without penalty
SAMPLE = 512  # most pairs of a kind that a trial is measured on
UNSEEN = ("bystanders", "scenes")
PROBES = 5  # of the classifier that tells forget pairs from mismatched ones, each with mismatches of its own
OBJECTIVE = (
    f"r min(1, k / {KEPT})^4 (1 + h + m) / 3: r the share of the leakage removed; k the share kept of the retrieval of "
    "unseen retain pairs or of unseen scenes, whichever is less; h that of the internal holdouts' similarity; "
    "m = 1 - max(|2 AUC - 1|, 2 ACS - 1), forget pairs against mismatched ones, by their cosine and by a linear probe"
)


class Cut(NamedTuple):
    """Row numbers of the forget split."""

    forget: np.ndarray
    strangers: np.ndarray
    associations: np.ndarray


def cut(dataset: Dataset, seed: int) -> Cut:
    """The forget set cut in three; the same for every method."""
    table = dataset.table("forget", ["identity_id", "data_field"])
    identity, field = (np.array(table.column(name).to_pylist(), str) for name in table.column_names)
    people = generator(seed, "tuning", "people").permutation(np.unique(identity))
    strangers, others = np.split(people, [max(1, round(STRANGERS * len(people)))])
    out = np.zeros(len(table), bool)
    for person in others[: math.ceil(PARTLY * len(others))]:
        facts = generator(seed, "tuning", "facts", str(person)).permutation(np.unique(field[identity == person]))
        out |= (identity == person) & np.isin(field, facts[: round(FACTS_OUT * len(facts))])
    away = np.isin(identity, strangers)
    parts = Cut(*(np.flatnonzero(chosen) for chosen in (~away & ~out, away, out)))
    if any(not len(part) for part in parts):
        raise UserError(f"{dataset.folder}: split forget has too few people or facts to cut internal holdouts from it")
    return parts


class Bench:
    """The internal splits of one tuning, ready to measure the model as it is now; images are decoded once."""

    def __init__(self, method: Method, settings: MethodSettings, clip: ClipModel, dataset: Dataset, seed: int):
        self.method, self.clip, self.seed, self.precision = method, clip, seed, settings.precision
        self.parts = cut(dataset, seed)
        count = dataset.table("retain_synth", ["file_name"]).num_rows
        away, left = np.split(
            generator(seed, "tuning", "bystanders").permutation(count), [math.ceil(BYSTANDERS * count)]
        )
        seen = pools({"forget", "retain"}, settings, clip, dataset, self.parts.forget, np.sort(left))
        self.seen = {part: seen[part] for part in method.sees}
        number = UNSEEN_SCENES if settings.retain_scenes else 0
        scenes = scene_pairs(scene_source(clip, settings.seed).seed, number, input_side(clip.network), FIRST_UNSEEN)
        unseen = Pool(clip, dataset, "retain", np.sort(away), scenes)
        places = np.arange(len(unseen))
        self.measured = {
            "forget": (seen["forget"], np.arange(len(seen["forget"]))),
            **{
                name: (Pool(clip, dataset, "forget", rows), np.arange(len(rows)))
                for name, rows in (("strangers", self.parts.strangers), ("associations", self.parts.associations))
            },
            "bystanders": (unseen, places[: len(away)]),
            **({"scenes": (unseen, places[len(away) :])} if number else {}),
        }
        self.start = self._figures()

    def trial(self, settings: MethodSettings) -> dict[str, Any]:
        """Run the method from the start model, measure, and go back to the start model."""
        count = pairs_of(settings, len(self.parts.forget))
        work = Work(self.method, settings, self.clip, self.seen, count)
        try:
            record = spend(work)
            now = self._figures()
        except UserError as error:  # destroyed: the trial counts, and says so
            return {"score": -1.0, "problem": str(error)}
        finally:
            work.restore()
        figures = now | shares(now, self.start)
        return {"score": score(figures), **_rounded(figures), "seconds": record["seconds"], "saw": record["saw"]}

    @torch.inference_mode()
    def _figures(self) -> dict[str, float]:
        encoded = {name: self._encoded(name, *which) for name, which in self.measured.items()}
        captions = np.concatenate([ids for _, _, ids in encoded.values()])
        gallery = np.concatenate([texts for _, texts, _ in encoded.values()])
        figures = {f"{name}_cosine": float(_cosines(*found[:2]).mean()) for name, found in encoded.items()}
        for name in encoded.keys() & {"forget", *UNSEEN}:
            images, texts, ids = encoded[name]
            ranks, sizes = own_rank(images, texts, gallery, ids, captions)
            figures |= {f"{name}_mrr": float(np.mean(1 / ranks)), f"{name}_chance": chance(sizes)}
        images, texts, _ = encoded["forget"]
        own = _cosines(images, texts)
        partners = [derangement(len(images), self.seed, "tuning", "mismatched", turn) for turn in range(PROBES)]
        others = _cosines(images, texts[partners[0]])
        halves = integer(self.seed, "tuning", "halves", bits=32)
        right = [told_apart(images, texts, partner, halves + turn)[0].mean() for turn, partner in enumerate(partners)]
        return figures | {
            "mismatched_cosine": float(others.mean()),
            "mismatched_auc": _auc(own, others),
            "mismatched_probe": float(np.mean(right)),
        }

    def _encoded(self, name: str, pool: Pool, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Embeddings of a sample of these rows' images and captions, and what tells different captions apart."""
        rows = np.sort(generator(self.seed, "tuning", "sample", name).permutation(rows)[:SAMPLE])
        both = embeddings(self.clip.network, pool.pixels(rows), pool.tokens[rows], self.precision)
        ids = np.array([str(tokens) for tokens in pool.tokens[rows].tolist()])
        return *(part.float().cpu().numpy() for part in both), ids


def _cosines(images: np.ndarray, texts: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", images, texts)


def _auc(positive: np.ndarray, negative: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    labels = np.repeat([1, 0], [len(positive), len(negative)])
    return float(roc_auc_score(labels, np.concatenate([positive, negative])))


def shares(now: dict[str, float], start: dict[str, float]) -> dict[str, float]:
    """What was removed and kept, each in [0, 1]: of the forget retrieval above chance; of the retrieval of unseen
    retain pairs and scenes; of the two internal holdouts' similarity above that of mismatched pairs. `mixed`: 1 where
    forget pairs and mismatched ones cannot be told apart, by their cosine or by a linear probe."""
    leak = start["forget_mrr"] - start["forget_chance"]
    similar = {
        f"{part}_kept": 1
        - abs(now[f"{part}_cosine"] - start[f"{part}_cosine"])
        / max(abs(start[f"{part}_cosine"] - start["mismatched_cosine"]), 1e-6)
        for part in ("strangers", "associations")
    }
    known = {
        f"{part}_kept": now[f"{part}_mrr"] / max(start[f"{part}_mrr"], 1e-6) for part in UNSEEN if f"{part}_mrr" in now
    }
    removed = (start["forget_mrr"] - now["forget_mrr"]) / leak if leak > 0 else 1.0
    told = abs(2 * now["mismatched_auc"] - 1), 2 * now["mismatched_probe"] - 1
    found = {"removed": removed, **known, **similar, "mixed": 1 - max(told)}
    return {name: min(1.0, max(0.0, value)) for name, value in found.items()}


def score(figures: dict[str, float]) -> float:
    """See OBJECTIVE. Nobody ships a model that lost what it knew, however well it forgot: hence the fourth power.
    Similarity alone would reward a model that maps everything to one point."""
    known = min(figures[f"{part}_kept"] for part in UNSEEN if f"{part}_kept" in figures)
    similarity = (figures["strangers_kept"] + figures["associations_kept"]) / 2
    return round(figures["removed"] * min(1, known / KEPT) ** 4 * (1 + similarity + figures["mixed"]) / 3, 6)


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 5) for name, value in figures.items()}
