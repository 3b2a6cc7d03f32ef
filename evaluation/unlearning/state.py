"""Where a method is between two steps, and the file that a killed run goes on from."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from salmu.data.files import write_atomic
from salmu.evaluation.unlearning.method import Work

STATE = "state.pt"


@dataclass
class State:
    """All that the next step depends on, beside weights, optimiser and masks; draws follow from the step."""

    step: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0  # of the whole process, all threads
    places: dict[str, int] = field(default_factory=dict)  # of the streams
    curve: list[dict[str, Any]] = field(default_factory=list)
    stopped: bool = False
    gradient: float = 0.0  # the largest norm so far


def save_state(folder: Path, fingerprint: str, work: Work, parts: list, masks, left, state: State) -> None:
    places = {part: stream.place for part, stream in work.streams.items()}
    content = io.BytesIO()
    torch.save(
        {
            "fingerprint": fingerprint,
            "state": vars(state) | {"places": places},
            "weights": {name: weight.detach() for name, weight in work.weights.items()},
            "optimisers": [part.state_dict() for part in parts],
            "change": work.change.tensors() if work.change else {},
            "masks": masks,
            "left": left,
            "passes": {part: torch.from_numpy(stream.passes) for part, stream in work.streams.items()},
        },
        content,
    )
    write_atomic(folder / STATE, content.getvalue())


def load_state(folder: Path | None, fingerprint: str, work: Work) -> dict[str, Any] | None:
    """The state that a killed run left, its weights put into the network; None if there is none of this run."""
    try:
        kept = torch.load(folder / STATE, map_location=work.device, weights_only=True) if folder else None
    except FileNotFoundError:
        return None
    if not kept or kept["fingerprint"] != fingerprint:
        return None
    with torch.no_grad():
        for name, weight in work.weights.items():
            weight.copy_(kept["weights"][name])
    return kept
