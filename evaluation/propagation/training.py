"""Generators of a run: trained once, and kept as files that the results name by their digests."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch

from salmu.data.files import read_bytes, size, write_atomic
from salmu.evaluation.encoding.settings import EvaluationSettings
from salmu.evaluation.propagation.generator import Generator, train
from salmu.evaluation.propagation.heads import Heads
from salmu.evaluation.propagation.results import FOLDER
from salmu.evaluation.propagation.ways import trained_on
from salmu.model_training.loading.clip import ClipModel


class Built(NamedTuple):
    generator: Generator
    tokens: int  # that it is conditioned on


def generator_of(
    settings: EvaluationSettings,
    run_folder: Path,
    name: str,
    way: str,
    clip: ClipModel,
    heads: Heads,
    results: dict[str, Any],
    tick: Callable[[], None] = lambda: None,
) -> Built:
    """The generator of a way that is built on a model, trained on the portraits `heads`: the one that is kept as
    propagation/NAME.safetensors if `results` name it, else a new one, which they name then.

    `tick` is called after each step of training, or as often at once."""
    path, chosen = run_folder / FOLDER / f"{name}.safetensors", settings.propagation
    record, content = results["generators"].get(name), read_bytes(path) if size(path) is not None else b""
    if record and record["sha256"] == hashlib.sha256(content).hexdigest():
        generator = Generator(chosen, record["width"])
        generator.load_state_dict(safetensors.torch.load(content))
        for _ in range(chosen.steps):
            tick()
        return Built(generator.to(settings.device).eval(), record["tokens"])
    began, states = time.monotonic(), trained_on(way, clip, heads)
    key = (settings.seed, "propagation", way)
    generator = train(chosen, heads.pictures, states, *key, device=settings.device, tick=tick)
    content = safetensors.torch.save({part: value.cpu().contiguous() for part, value in generator.state_dict().items()})
    write_atomic(path, content)
    results["generators"][name] = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "tokens": states.shape[1],
        "width": states.shape[2],
        "portraits": len(heads.text),
        "seconds": round(time.monotonic() - began, 1),
    }
    return Built(generator, states.shape[1])
