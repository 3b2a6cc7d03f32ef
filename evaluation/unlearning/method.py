"""What an unlearning method is.

A method is one file of methods/ that ends with `METHOD = Method(…)`. There are two shapes: a gradient method has a
`loss`, which the runner minimises step by step (finetuning.py is the shortest); an editing method has an `edit`, which
changes the weights itself after looking at the pairs once (ssd.py). A method may have both: its `edit` then comes after
the steps (task_vector_negation.py).

Defaults are those that a tuning (evaluation/selection/tuning.py) found for the small pair of this project with a
budget of 5. There are exceptions. For DELETE the tuning chose to forget next to nothing. Those of salmubench_delete and
salmubench_cliperase were chosen by hand, on one small pair and with its holdouts in sight, to show what the published
table shows. Those of as_retrained were settled on pairs of one run, with their Retrained models in sight. Those of
alignment_calibration, descent_to_delete, grad_diff, munba, neg_merge and vlunlearn have not been
tuned yet. Where other values are published for larger models, the description of the setting names them."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from salmu.evaluation.unlearning.losses import FROZEN, Head, head_of
from salmu.evaluation.unlearning.low_rank import LowRank
from salmu.evaluation.unlearning.pair_streams import Encoded, Pool, Stream, embeddings
from salmu.evaluation.unlearning.settings import Between, MethodSettings, OneOf
from salmu.evaluation.unlearning.wordings import Worded, worded_by
from salmu.model_training.loading.clip import ClipModel

PAIRS_A_STEP = {"batch_size": OneOf((16, 32, 64, 128)), "most_a_step": OneOf((2, 4, 8, 16))}


@dataclass(frozen=True)
class Method:
    name: str
    description: str  # one sentence: what it does, and why that might forget
    source: str  # paper or repository with the equation, and where the defaults come from
    sees: frozenset[str]  # of SPLITS; nothing else is reachable
    settings: type[MethodSettings]
    loss: "Callable[[Batch, Any], Tensor] | None" = None  # what is minimised
    edit: "Callable[[Work, Any], dict[str, Any]] | None" = None  # changes work.weights; returns figures for the record
    masks: "Callable[[Work, Any], dict[str, Tensor]] | None" = None
    """Before the steps: name of each weight that may change -> boolean tensor of its shape, which elements may. Without
    it all may, but the temperature and the bias of the logits, which are frozen for every method."""
    prepare: "Callable[[Work, Any], Any] | None" = None
    """What the loss needs beside its batches, computed once before the first use and found as work.prepared; the same
    settings must give the same. Its `figures`, if it has any, are kept in the record."""
    captions: Literal["own", "generic", "shuffled"] = "own"
    """Captions of the forget images: their own, their released captions without personal data, or those of another
    pair, drawn again in every pass."""
    search: Mapping[str, Between | OneOf] = field(default_factory=dict)
    """Setting -> the values that a tuning tries, beside those that are tried for every method (`space`)."""

    @property
    def space(self) -> dict[str, Between | OneOf]:
        """All that a tuning tries: `search`, and the pairs of a step, by which a fixed budget makes more or fewer
        steps."""
        size = "most_a_step" if "most_a_step" in self.settings.model_fields else "batch_size"
        return {size: PAIRS_A_STEP[size]} | dict(self.search)


class Anchor(NamedTuple):
    """For one of several runs in a row, which would otherwise add up what each moves by the way. Of the methods, those
    that hold captions can use it (text_regression.py)."""

    network: torch.nn.Module  # the model before the first of them, whose embeddings are to be kept
    settled: list[str]  # captions that were forgotten since: they stay where the last run left them


class Work:
    """One run of a method on a model, which is changed in place.

    The network stays in evaluation mode: batch statistics of a single kind of image would shift its normalisation
    layers."""

    def __init__(
        self,
        method: Method,
        settings: MethodSettings,
        clip: ClipModel,
        pools: dict[str, Pool],
        count: int,
        anchor: Anchor | None = None,
    ):
        """`pools`: of the kinds that the method declares. `count`: pairs of each kind that it may see."""
        self.anchor = anchor
        self.change: LowRank | None = None  # what is learned in place of the weights, where the settings have a rank
        self.method, self.settings, self.network, self.count = method, settings, clip.network, count
        self.device, self.tokenizer = torch.device(clip.device), clip.tokenizer
        self.start = {name: weight.detach().clone() for name, weight in self.weights.items()}
        self.head = head_of(clip.network)
        self.streams = {
            part: Stream(pool, count, self, settings.seed, "unlearning", part) for part, pool in sorted(pools.items())
        }
        self.encode = partial(embeddings, precision=settings.precision)

    @property
    def weights(self) -> dict[str, torch.nn.Parameter]:
        """The weights that a method may change, by name."""
        return {name: weight for name, weight in self.network.named_parameters() if name not in FROZEN}

    @property
    def forget(self) -> Stream:
        return self.streams["forget"]

    @property
    def retain(self) -> Stream:
        return self.streams["retain"]

    @cached_property
    def teacher(self) -> torch.nn.Module:
        """Whose embeddings are to be kept: the start model, or the anchor's."""
        return self.anchor.network.requires_grad_(False) if self.anchor else self.before

    @cached_property
    def before(self) -> torch.nn.Module:
        """A frozen copy of the start model."""
        network = copy.deepcopy(self.network).requires_grad_(False)
        network.load_state_dict(self.start, strict=False)
        return network

    @cached_property
    def worded(self) -> tuple[Worded | None, dict[str, Any]]:
        """What words the captions that the method makes, and figures for the record (wordings.py)."""
        return worded_by(self.forget.pool, self.settings.wordings)

    @cached_property
    def prepared(self):
        """What the method's `prepare` made."""
        return self.method.prepare(self, self.settings)

    def gradient(self, loss: Tensor) -> dict[str, Tensor]:
        """The gradient of a loss by name of the weight; zeros where the loss does not depend on it."""
        weights = self.weights
        found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        return {
            name: torch.zeros_like(weight) if value is None else value
            for (name, weight), value in zip(weights.items(), found, strict=True)
        }

    def restore(self) -> None:
        """Back to the start model."""
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(self.start[name])


@dataclass
class Batch:
    """What a loss is given in one step. A kind of pairs that it does not ask for is not drawn, and not counted."""

    work: Work
    size: int  # pairs of a kind
    step: int
    progress: float  # share of the steps that are done, in [0, 1)

    @cached_property
    def forget(self) -> Encoded:
        return self.work.forget.take(self.size, self.work.method.captions)

    @cached_property
    def retain(self) -> Encoded:
        return self.work.retain.take(self.size)

    @property
    def head(self) -> Head:
        """How the model makes logits of cosines, frozen."""
        return self.work.head

    @property
    def key(self) -> tuple:
        """For random draws of this step."""
        return (self.work.settings.seed, "unlearning", self.work.method.name, self.step)

    def drawn(self) -> dict[str, Encoded]:
        """The kinds of pairs that were asked for."""
        return {part: self.__dict__[part] for part in ("forget", "retain") if part in self.__dict__}
