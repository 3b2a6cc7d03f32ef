"""Relearning: fine-tune a copy of a model on little, and see what of the rest comes back.

After Deeb and Roger (2024, arXiv:2410.08827): forgotten facts that return when other facts are taught again were
hidden, not gone. Clean under the same steps is the control: it too learns the style of the captions, and only what
comes back beyond it was left in the weights."""

import copy
from typing import Any

import numpy as np
import torch

from salmu.data.keyed import generator
from salmu.data.readers import Dataset
from salmu.evaluation.encoding.settings import EvaluationSettings
from salmu.evaluation.metrics.bootstrap import clustered_interval
from salmu.evaluation.metrics.retrieval import chance, own_rank
from salmu.evaluation.unlearning.losses import pair_losses
from salmu.evaluation.unlearning.pair_streams import Pool, embeddings
from salmu.model_training.loading.clip import ClipModel

CHUNK = 128


def relearning_curves(settings: EvaluationSettings, clip: ClipModel, dataset: Dataset) -> dict[str, Any]:
    """A curve for each of settings.recovery.sources; empty if its steps are 0. The model is left as it is.

    The forget persons are cut by the seed: `share` of them are the attacker's, pairs of the others are asked. A curve
    has points of `step`, `AssocStr` and `RetFail` of those that are asked, each with its interval; RetFail's gallery is
    their own captions and as many of retain_disjoint."""
    chosen = settings.recovery
    if not chosen.steps:
        return {}
    identity = np.array(dataset.table("forget", ["identity_id"]).column("identity_id").to_pylist(), str)
    people = generator(settings.seed, "recovery", "people").permutation(np.unique(identity))
    held = people[: max(1, round(chosen.share * len(people)))]
    theirs, others = np.flatnonzero(np.isin(identity, held)), np.flatnonzero(~np.isin(identity, held))
    if not len(others):
        return {}
    asked = np.sort(generator(settings.seed, "recovery", "asked").permutation(others)[: chosen.rows])
    rest = _Rest(settings, clip, dataset, asked, identity[asked])
    curves = {}
    for source in chosen.sources:
        pool = Pool(clip, dataset, source, theirs if source == "forget" else None)
        points = _curve(settings, clip, pool, source, rest)
        curves[source] = {"trained_on": len(pool), "asked": len(asked), "chance": rest.chance, "points": points}
    return curves


def _curve(settings: EvaluationSettings, clip: ClipModel, pool: Pool, source: str, rest: "_Rest") -> list[dict]:
    chosen = settings.recovery
    network = copy.deepcopy(clip.network).requires_grad_(True)
    network.logit_scale.requires_grad_(False)
    optimiser = torch.optim.AdamW(
        [weight for weight in network.parameters() if weight.requires_grad],
        chosen.learning_rate,
        betas=(0.9, 0.98),
        eps=1e-6,
        weight_decay=0.0,
    )
    marks = {round(chosen.steps * part / chosen.points) for part in range(1, chosen.points + 1)}
    points = [rest.asked(network, 0)]
    size = min(chosen.batch_size, len(pool))
    for step in range(chosen.steps):
        rows = generator(settings.seed, "recovery", source, step).choice(len(pool), size, replace=False)
        images, texts = embeddings(network, pool.pixels(rows), pool.tokens[rows], "fp32")
        optimiser.zero_grad()
        pair_losses(images, texts, network.logit_scale.exp()).mean().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        if step + 1 in marks:
            points.append(rest.asked(network, step + 1))
    return points


class _Rest:
    """The forget pairs that are asked, and their gallery, decoded and tokenised once."""

    def __init__(self, settings: EvaluationSettings, clip: ClipModel, dataset: Dataset, rows: np.ndarray, person):
        self.settings, self.person = settings, person
        self.pool = Pool(clip, dataset, "forget", rows)
        self.own = np.array(dataset.table("forget", ["text"]).column("text").to_pylist(), object)[rows]
        generic = dataset.table("retain_disjoint", ["text"]).column("text").to_pylist()
        drawn = generator(settings.seed, "recovery", "gallery").permutation(len(generic))[: len(rows)]
        self.others = np.array([generic[row] for row in np.sort(drawn)], object)
        self.other_tokens = clip.tokenizer(self.others.tolist()) if len(self.others) else None
        self.chance: float | None = None

    @torch.inference_mode()
    def asked(self, network: torch.nn.Module, step: int) -> dict[str, Any]:
        """A point of the curve."""
        parts = [
            embeddings(network, self.pool.pixels(rows), self.pool.tokens[rows], "fp32")
            for rows in np.array_split(np.arange(len(self.own)), -(-len(self.own) // CHUNK))
        ]
        images, own = (torch.cat(side).cpu().numpy() for side in zip(*parts, strict=True))
        gallery, texts = own, self.own
        if self.other_tokens is not None:
            device = next(network.parameters()).device
            more = network.encode_text(self.other_tokens.to(device), normalize=True).float().cpu().numpy()
            gallery, texts = np.concatenate([own, more]), np.concatenate([self.own, self.others])
        ranks, sizes = own_rank(images, own, gallery, self.own, texts)
        self.chance = chance(sizes)
        point: dict[str, Any] = {"step": step}
        for metric, values in (("AssocStr", np.einsum("nd,nd->n", images, own)), ("RetFail", 1 / ranks)):
            key, draws = (self.settings.seed, "recovery", metric), self.settings.bootstrap_replicates
            low, high = clustered_interval(values, self.person, *key, replicates=draws) or (None, None)
            point |= {metric: float(values.mean()), f"{metric}_low": low, f"{metric}_high": high}
        return point
