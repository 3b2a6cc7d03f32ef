"""Spends a method's budget on a model: masks, steps, edit; with states from which a killed run goes on."""

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from salmu.data.errors import UserError
from salmu.evaluation.unlearning.low_rank import LowRank
from salmu.evaluation.unlearning.method import Batch, Work
from salmu.evaluation.unlearning.optimisers import optimisers, share_of
from salmu.evaluation.unlearning.pair_streams import shares
from salmu.evaluation.unlearning.state import State, load_state, save_state

CURVE_POINTS = 100


def spend(
    work: Work,
    progress: Callable[[int, int], None] = lambda done, total: None,
    folder: Path | None = None,
    fingerprint: str = "",
    keep: Callable[[float, dict[str, Any]], None] = lambda budget, record: None,
) -> dict[str, Any]:
    """Run the method of `work` until its budget is spent; returns what was seen, what it took and how it went.

    `folder`: where the state is kept. `keep(budget, record)` is called when a budget of settings.keep_at is reached.
    Raises UserError if the loss is not finite, or if the method did nothing."""
    began, state = (time.monotonic(), time.process_time()), State()
    if work.method.loss:
        state = _steps(work, progress, folder, fingerprint, keep, began)
    else:
        progress(0, 1)
    edited = work.method.edit(work, work.settings) if work.method.edit else None
    _require_finite(work)
    _require_change(work, state)
    progress(max(state.step, 1), max(state.step, 1))
    return _record(work, _timed(state, began)) | ({"edit": edited} if edited is not None else {})


def _steps(work: Work, progress, folder: Path | None, fingerprint: str, keep, began: tuple[float, float]) -> State:
    settings, weights = work.settings, work.weights
    kept = load_state(folder, fingerprint, work)
    if kept:
        masks, state = kept["masks"], State(**kept["state"])
    else:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)  # what a run with other settings left
        masks, state = work.method.masks(work, settings) if work.method.masks else None, State()
    free = {name: weight for name, weight in weights.items() if masks is None or name in masks}
    partly = {name: mask for name, mask in (masks or {}).items() if not mask.all()}
    if settings.rank:
        work.change = _low_rank(work, free, partly)
    changed = work.change.parameters if work.change else list(free.values())
    parts = optimisers(work, changed)
    left = [stream.left for stream in work.streams.values()]
    if kept:
        left = kept["left"]
        if work.change:
            work.change.load(kept["change"])
        for part, known in zip(parts, kept["optimisers"], strict=True):
            part.load_state_dict(known)
        for part, place in state.places.items():
            work.streams[part].place, work.streams[part].passes = place, kept["passes"][part].cpu().numpy()
    most = min(settings.batch_size, getattr(settings, "most_a_step", settings.batch_size))
    sizes = shares(min(left), min(most, *(len(stream.pool) for stream in work.streams.values())))
    marks = _marks(work, len(sizes))
    while state.step < len(sizes) and not state.stopped:
        batch = Batch(work, sizes[state.step], state.step, state.step / len(sizes))
        rate = settings.learning_rate * schedule(state.step, len(sizes), settings.warm_up)
        if not _step(batch, parts, rate, changed, partly, state, len(sizes)):
            state.stopped = True
            break
        state.step += 1
        progress(state.step, len(sizes))
        if state.step in marks:
            keep(marks[state.step], _record(work, _timed(state, began)))
        if folder and state.step % settings.checkpoint_every == 0 and state.step < len(sizes):
            save_state(folder, fingerprint, work, parts, masks, left, _timed(state, began))
    return state


def _low_rank(work: Work, free: dict[str, nn.Parameter], partly: dict[str, Tensor]) -> LowRank:
    """The changes that are learned in place of the weights. Raises UserError for a method that they cannot carry."""
    name = work.method.name
    if work.method.edit:
        raise UserError(f"{name}: no rank, since it edits the weights after its steps; leave rank out")
    if partly:
        raise UserError(f"{name}: no rank, since it changes single elements of the weights; leave rank out")
    return LowRank(work.start, free, work.settings.rank, work.settings.seed, "unlearning")


def _timed(state: State, began: tuple[float, float]) -> State:
    """The state with the time that has passed since `began`, wall clock and CPU, added."""
    wall, cpu = time.monotonic() - began[0], time.process_time() - began[1]
    return replace(state, seconds=state.seconds + wall, cpu_seconds=state.cpu_seconds + cpu)


def _marks(work: Work, steps: int) -> dict[int, float]:
    """After which step each lower budget is written. Raises UserError where two of them would be the same model."""
    settings, marks = work.settings, {steps: work.settings.budget}
    for budget in sorted(settings.keep_at):
        step = math.ceil(steps * budget / settings.budget)
        if step in marks:
            raise UserError(
                f"{work.method.name}: keep_at {budget:g} equals the model of budget {marks[step]:g}, as all {steps} "
                "steps are few; leave it out, or lower batch_size"
            )
        marks[step] = budget
    del marks[steps]
    return marks


def _step(batch: Batch, parts: list, rate: float, changed: list, partly, state: State, steps: int) -> bool:
    """One step; False, and no step, where the method's stop says that it is enough."""
    work, settings = batch.work, batch.work.settings
    loss = work.method.loss(batch, settings)
    cosines = {part: pairs.own_cosine for part, pairs in batch.drawn().items()}
    enough = getattr(settings, "stop_at_cosine", None)
    if enough is not None and cosines.get("forget") is not None and cosines["forget"] <= enough:
        return False
    if not torch.isfinite(loss):
        raise UserError(
            f"{work.method.name}: the loss is {loss.item()} at step {batch.step}; lower learning_rate, "
            f"now {settings.learning_rate}"
        )
    for part in parts:
        part.zero_grad()
    loss.backward()
    if work.change:
        work.change.take_gradients()
    state.gradient = max(state.gradient, torch.nn.utils.clip_grad_norm_(changed, 1.0).item())
    for part in parts:
        for group in part.param_groups:
            group["lr"] = rate * group["share"]
        part.step()
    if work.change:
        work.change.put()
    _restore(work, partly)
    if share := getattr(settings, "pull_back", 0.0) * rate:
        _pull_back(work, share)
    if batch.step % math.ceil(steps / CURVE_POINTS) == 0 or batch.step == steps - 1:
        measured = {f"{part}_cosine": round(value, 5) for part, value in cosines.items() if value is not None}
        state.curve.append({"step": batch.step, "loss": round(loss.item(), 5), **measured})
    return True


def schedule(step: int, steps: int, warm_up: float) -> float:
    """Share of the peak learning rate: rises over the warm-up, then falls by a cosine."""
    rising = warm_up * steps
    if step < rising:
        return (step + 1) / (rising + 1)
    return (1 + math.cos(math.pi * (step - rising) / (steps - rising))) / 2


def _restore(work: Work, partly: dict[str, Tensor]) -> None:
    """Put the elements that may not change back, in weights of which others may: momentum and weight decay move them
    even without a gradient."""
    weights = work.weights
    with torch.no_grad():
        for name, mask in partly.items():
            weights[name].copy_(torch.where(mask, weights[name], work.start[name]))


def _pull_back(work: Work, share: float) -> None:
    """Take back this share of what each weight has moved, in keeping with its learning rate."""
    shares = {name: min(share * share_of(work.settings, name), 1.0) for name in work.weights}
    if work.change:
        work.change.pull_back(shares)
        work.change.put()
        return
    with torch.no_grad():
        for name, weight in work.weights.items():
            weight.lerp_(work.start[name], shares[name])


def _require_finite(work: Work) -> None:
    broken = [name for name, weight in work.weights.items() if not torch.isfinite(weight).all()]
    if broken:
        raise UserError(
            f"{work.method.name}: weight {broken[0]} is no longer finite; lower the learning rate or loss weights"
        )


def _require_change(work: Work, state: State) -> None:
    """Raises UserError if the method did nothing: no weight differs, or only by the decay of weights."""
    if work.method.loss and not work.method.edit and not state.gradient:
        why = (
            f"stop_at_cosine {work.settings.stop_at_cosine:g} is reached before the first step; lower it"
            if state.stopped
            else "its loss has no gradient on so few pairs; give it more forget pairs"
        )
    elif all(torch.equal(weight, work.start[name]) for name, weight in work.weights.items()):
        why = "raise the budget, or choose stronger settings"
    else:
        return
    raise UserError(f"{work.method.name}: it changed nothing: {why}")


def _record(work: Work, state: State) -> dict[str, Any]:
    saw = {
        part: {
            "split": stream.pool.split,
            "scenes": len(stream.pool.scenes),
            **({"scenes_from": stream.pool.scenes_from} if len(stream.pool.scenes) else {}),
            "pairs": len(set(stream.order[: stream.place].tolist())),
            "times": stream.place,
        }
        for part, stream in work.streams.items()
    }
    return {
        "steps": state.step,
        "stopped_early": state.stopped,
        "pairs_seen": sum(part["times"] for part in saw.values()),
        "seconds": round(state.seconds, 2),
        "cpu_seconds": round(state.cpu_seconds, 2),
        "saw": saw,
        **({"prepared": work.prepared.figures} if work.method.prepare else {}),
        "curve": list(state.curve),
    }
