"""Relearning: fine-tune copies of a model on little, and see what of the rest comes back.

After Deeb and Roger (2024, arXiv:2410.08827): forgotten facts that return when other facts are taught again were
hidden, not gone. Retrained and Clean under the same steps are the controls: they too learn the style of the captions,
and only what comes back beyond them was left in the weights.

    source    what the attacker has, and learns again
    forget    pairs of some forgotten people; those of the others are asked
    facts     pairs about other facts of the people who are asked, which nobody asked to forget
    retain    pairs without personal data

Each source is learned at each rate, in all weights and with LoRA; the strongest recovery of all is the number."""

import copy
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch

from salmu.data.keyed import generator, integer
from salmu.data.readers import Dataset
from salmu.evaluation.attacks.decoded import Decoded, decoded
from salmu.evaluation.attacks.lora import low_rank
from salmu.evaluation.attacks.outcome import Outcome, nothing
from salmu.evaluation.encoding.settings import EvaluationSettings
from salmu.evaluation.metrics.bootstrap import clustered_interval
from salmu.evaluation.metrics.retrieval import chance, own_rank
from salmu.evaluation.metrics.score import possible
from salmu.evaluation.unlearning.losses import FROZEN, head_of, pair_losses
from salmu.evaluation.unlearning.pair_streams import embeddings
from salmu.model_training.loading.clip import ClipModel
from salmu.model_training.network import encode_text

CHUNK = 128  # pairs that are measured at once
LORA_RATE = 10  # LoRA learns at so many times the rate of all weights
SPLIT = {"forget": "forget", "facts": "holdout_association", "retain": "retain_synth"}


def relearning(settings: EvaluationSettings, clip: ClipModel, dataset: Dataset) -> Outcome:
    """RetFail of the pairs that are asked, at the point of the strongest recovery. The model is left as it is.

    The forget people are cut by the seed: `share` of them are the attacker's, pairs of the others are asked, the same
    for every source. `curves`: one for each source, rate and rank (0: all weights), with points of `step`, `RetFail`
    and `AssocStr`, each with its interval; `strongest`: the place of the one with the strongest recovery. RetFail's
    gallery is the captions that are asked, and as many of retain_disjoint."""
    chosen, person = settings.attacks.relearning, _people(dataset, "forget")
    people = generator(settings.seed, "relearning", "people").permutation(np.unique(person))
    held = people[: max(1, round(chosen.share * len(people)))]
    others = np.flatnonzero(~np.isin(person, held))
    if not len(others):
        return nothing("fewer than 2 forgotten people")
    asked = np.sort(generator(settings.seed, "relearning", "asked").permutation(others)[: chosen.rows])
    rest = _Rest(settings, clip, dataset, asked, person[asked])
    start = best = rest.measured(clip.network, 0)
    curves, strongest = [], None
    for source in chosen.sources:
        owners = _people(dataset, SPLIT[source])
        usable = {"forget": np.isin(owners, held), "facts": np.isin(owners, person[asked])}
        rows = np.flatnonzero(usable.get(source, np.ones(len(owners), bool)))
        rows = generator(settings.seed, "relearning", source).permutation(rows)[: chosen.steps * chosen.batch_size]
        if not len(rows):
            continue
        pairs = decoded(clip, dataset, SPLIT[source], np.sort(rows))
        for rate, rank in product(chosen.learning_rates, chosen.ranks):
            points = [start, *_learned(settings, clip, pairs, (source, rate, rank), rest)]
            top = max(points, key=_recovery)
            if not curves or _recovery(top) > _recovery(best):
                best, strongest = top, len(curves)
            told = {"source": source, "learning_rate": rate, "rank": rank, "trained_on": len(rows)}
            curves.append(told | {"points": [point.told for point in points]})
    about = {"asked": len(asked), "at_step": best.told["step"], "strongest": strongest, "curves": curves}
    return Outcome(best.ranks, person[asked], rest.chance, about)


class _Point(NamedTuple):
    ranks: np.ndarray  # reciprocal [asked]
    told: dict[str, Any]


def _recovery(point: _Point) -> float:
    return point.ranks.mean()


def _people(dataset: Dataset, split: str) -> np.ndarray:
    return np.array([str(one) for one in dataset.table(split, "identity_id").column("identity_id").to_pylist()])


def _learned(settings: EvaluationSettings, clip: ClipModel, pairs: Decoded, key: tuple, rest: "_Rest") -> list[_Point]:
    """The points of one curve after step 0. `key`: source, rate and rank."""
    chosen, (source, rate, rank) = settings.attacks.relearning, key
    network = copy.deepcopy(clip.network)
    head = head_of(network)
    for name, weight in network.named_parameters():
        weight.requires_grad_(name not in FROZEN)
    learned = low_rank(network, rank, integer(settings.seed, "relearning", "lora", bits=32)) if rank else None
    learned = learned or [weight for weight in network.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(
        learned, LORA_RATE * rate if rank else rate, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.0
    )
    marks = {round(chosen.steps * part / chosen.points) for part in range(1, chosen.points + 1)}
    points, size = [], min(chosen.batch_size, len(pairs.tokens))
    for step in range(chosen.steps):
        rows = generator(settings.seed, "relearning", source, step).choice(len(pairs.tokens), size, replace=False)
        images, texts = embeddings(network, pairs.pixels[rows], pairs.tokens[rows], "fp32")
        optimiser.zero_grad()
        pair_losses(images, texts, head).mean().backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        if step + 1 in marks:
            point = rest.measured(network, step + 1)
            if point is None:
                break
            points.append(point)
    return points


class _Rest:
    """The forget pairs that are asked, and their gallery, decoded and tokenised once."""

    def __init__(self, settings: EvaluationSettings, clip: ClipModel, dataset: Dataset, rows: np.ndarray, person):
        self.settings, self.person = settings, person
        self.own = decoded(clip, dataset, "forget", rows)
        neutral = np.array(dataset.table("retain_disjoint", "text").column("text").to_pylist(), object)
        drawn = generator(settings.seed, "relearning", "gallery").permutation(len(neutral))[: len(rows)]
        self.others = neutral[np.sort(drawn)]
        self.other_tokens = clip.tokenizer(self.others.tolist()) if len(self.others) else self.own.tokens[:0]
        self.chance: float | None = None

    @torch.inference_mode()
    def measured(self, network: torch.nn.Module, step: int) -> _Point | None:
        """A point of a curve; None where training broke the network."""
        device, tokens = next(network.parameters()).device, torch.cat([self.own.tokens, self.other_tokens])
        parts = [network.encode_image(part.to(device), normalize=True) for part in self.own.pixels.split(CHUNK)]
        images = torch.cat(parts).float().cpu().numpy()
        texts = torch.cat([encode_text(network, part.to(device)) for part in tokens.split(CHUNK)]).float().cpu().numpy()
        if not (np.isfinite(images).all() and np.isfinite(texts).all()):
            return None
        own, gallery = texts[: len(images)], np.concatenate([self.own.texts, self.others])
        ranks, sizes = own_rank(images, own, texts, self.own.texts, gallery)
        self.chance = chance(sizes)
        told: dict[str, Any] = {"step": step}
        for metric, values in (("RetFail", 1 / ranks), ("AssocStr", np.einsum("nd,nd->n", images, own))):
            key, draws = (self.settings.seed, "relearning", metric), self.settings.bootstrap_replicates
            drawn = clustered_interval(values, self.person, *key, replicates=draws)
            low, high = possible(metric, drawn) or (None, None)
            told |= {metric: float(values.mean()), f"{metric}_low": low, f"{metric}_high": high}
        return _Point(1 / ranks, told)
