"""The state of an unfinished training: one file, whole or not there, from which it goes on with the same result."""

import io
import time
from pathlib import Path

import torch

from salmu.data.files import write_atomic
from salmu.model_training.curve import Curve


class Clock:
    """Seconds of this training, those of earlier sittings included."""

    def __init__(self, before: float):
        self._began = time.perf_counter() - before

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began


def save(
    path: Path,
    fingerprint: str,
    clip: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler | None,
    curve: Curve,
    step: int,
    seconds: float,
) -> None:
    """Keep everything that the following steps depend on, after `step` steps. Random numbers and the order of pairs
    follow from the step. Raises UserError when the disk refuses."""
    content = io.BytesIO()
    torch.save(
        {
            "fingerprint": fingerprint,
            "step": step,
            "seconds": seconds,
            "model": clip.state_dict(),
            "optimiser": optimiser.state_dict(),
            "scaler": scaler.state_dict() if scaler else None,
            "curve": curve.state(),
        },
        content,
    )
    write_atomic(path, content.getvalue())


def load(
    path: Path,
    fingerprint: str,
    clip: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler | None,
    curve: Curve,
    device: str,
) -> tuple[int, float]:
    """Bring back the state of that fingerprint and return the steps done and the seconds they took; (0, 0) where there
    is none, or only that of another training."""
    if not path.is_file():
        return 0, 0.0
    state = torch.load(path, map_location=device, weights_only=True)
    if state["fingerprint"] != fingerprint:
        return 0, 0.0
    clip.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    if scaler:
        scaler.load_state_dict(state["scaler"])
    curve.restore(state["curve"])
    return state["step"], state["seconds"]
