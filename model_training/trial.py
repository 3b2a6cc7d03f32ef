"""A few training steps on made-up pairs: does the model of the settings fit, and how long does a step take?"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import torch

from salmu.model_training import distributed, loop
from salmu.model_training.configurations import create_model, input_size
from salmu.model_training.curve import Curve
from salmu.model_training.pair import pair_tokenizer
from salmu.model_training.retain import scene_captions
from salmu.model_training.settings import PairSettings

STEPS = 3  # of a trial; the first one is not counted
CAPTIONS = 500  # for a tokenizer of the pair's own, and for the texts


class Trial(NamedTuple):
    """What is made once: the model on the CPU, its tokenizer, and texts."""

    settings: PairSettings
    clip: torch.nn.Module
    tokenizer: Callable[[list[str]], torch.Tensor]
    captions: list[str]


def prepare(settings: PairSettings) -> Trial:
    """The pair's model and tokenizer. Raises UserError if there is no such configuration, or no such device."""
    distributed.join(settings.device)
    captions = scene_captions(settings.seed, CAPTIONS)
    return Trial(settings, create_model(settings.model, settings.seed), pair_tokenizer(settings, captions), captions)


def seconds_a_step(trial: Trial, pairs: int) -> float:
    """Of a step with so many pairs of noise and made-up captions in this process, by the pair's own loop. Pictures are
    at hand: what it takes to decode them is not in it. Raises UserError if the loss is not finite."""
    settings = trial.settings.model_copy(
        update={"batch_size": pairs * trial.settings.accumulate, "checkpoint_every": STEPS, "log_every": 1}
    )
    world, times = distributed.join(settings.device), [time.perf_counter()]
    plan = SimpleNamespace(steps=STEPS, draws=("trial",), epoch=lambda step: 1)
    curve = Curve(plan, lambda done, total: times.append(time.perf_counter()))
    texts = [trial.captions[place % CAPTIONS] for place in range(pairs)]
    with (
        tempfile.TemporaryDirectory() as folder,
        loop.reproducible(settings.threads or 1) if settings.device == "cpu" else loop.fast(),
    ):
        batches = _Batches(plan, settings, trial.tokenizer(texts), pairs)
        state = Path(folder) / "checkpoint.pt"
        loop.fit(trial.clip, trial.tokenizer, settings, world, batches.shortened, state, "trial", curve)
    return (times[-1] - times[1]) / (STEPS - 1)


class _Batches:
    """The same batch again and again, as the loop asks for it."""

    def __init__(self, plan: SimpleNamespace, settings: PairSettings, tokens: torch.Tensor, pairs: int):
        side = input_size(settings.model)
        noise = torch.randint(0, 255, (min(pairs, 64), side, side, 3), dtype=torch.uint8)
        self.images, self.tokens = noise[torch.arange(pairs) % len(noise)], tokens
        self.reader, self.count = SimpleNamespace(plan=plan), plan.steps * settings.accumulate

    def shortened(self, shorten: Callable) -> "_Batches":
        self.tokens = shorten(self.tokens)
        return self

    def __len__(self) -> int:
        return self.count

    def from_step(self, step: int, workers: int, pinned: bool):
        images = self.images.pin_memory() if pinned else self.images
        yield from ((images, self.tokens) for _ in range(step, self.count))
