"""What an unlearning method is. A method is one file of this folder that ends with `METHOD = Method(…)`; see
finetuning.py."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import Field
from torch import Tensor

from data.settings import StageSettings

SPLITS = {"forget": "forget", "retain": "retain_synth"}  # what a method may see, and the split that it stands for


class MethodSettings(StageSettings):
    """What every method has; its own knobs are added by a subclass."""

    budget: float = Field(
        5.0,
        gt=0,
        description="Pairs seen, as multiples of the forget set: 1 is one pass over it; a step that uses "
        "retain pairs has as many of them as it has, or would have, forget pairs.",
    )
    batch_size: int = Field(64, ge=2, description="Pairs of a kind in a step.")
    retain_scenes: int = Field(
        0,
        ge=0,
        description="Procedural scenes, of those that the pair was trained on, added to the retain pairs: a "
        "second, declared source for models of this project, whose general knowledge they are.",
    )
    learning_rate: float = Field(
        gt=0, description="Peak learning rate of AdamW, reached after the warm-up; falls to 0 by a cosine."
    )
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay of AdamW.")
    warm_up: float = Field(0.05, ge=0, lt=1, description="Share of the steps in which the learning rate rises.")
    device: str = Field("cpu", description="Where torch runs: cpu, cuda, cuda:1 …")
    threads: int = Field(1, ge=1, description="Threads of torch; the last bits of the weights depend on it.")


class Encoded(NamedTuple):
    """A batch of pairs, encoded by the model that is being changed."""

    images: Tensor  # [b, width], rows of length 1
    texts: Tensor  # [b, width], likewise


class Batch(NamedTuple):
    """What a loss is given: only what its method may see; the other is None."""

    forget: Encoded | None
    retain: Encoded | None
    scale: Tensor  # factor of the cosines in the softmax, frozen


@dataclass(frozen=True)
class Method:
    name: str
    source: str  # paper or repository, and where the defaults come from
    sees: frozenset[str]  # of SPLITS
    settings: type[MethodSettings]
    loss: Callable[[Batch, Any], Tensor]  # (batch, settings) -> what is minimised
    generic_captions: bool = False  # forget images come with their released generic caption, not their own
    stop: Callable[[Batch, Any], bool] | None = None  # whether to end before the budget is spent; asked at every step
