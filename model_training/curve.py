"""The training curve: losses as open_clip's loop reports them, what a monitor measured, and where both are shown."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from salmu.data.errors import UserError
from salmu.model_training.plan import Plan
from salmu.model_training.settings import PairSettings

CURVE_POINTS = 50
MOST_STEPS = 20  # of a point, in a short training


class Curve:
    """Points of the curve, each the mean loss of a stretch of steps, with step, epoch, learning rate and logit scale at
    its end, and what was measured there; the measurements also stand in a list of their own, `monitored`."""

    def __init__(self, plan: Plan, progress: Callable[[int, int], None] | None = None):
        self.plan, self.progress, self.writer = plan, progress, None
        self.stretch = max(MOST_STEPS, plan.steps // CURVE_POINTS)
        self.points: list[dict] = []
        self.monitored: list[dict] = []
        self.pending: list[float] = []

    def state(self) -> dict:
        return {"points": self.points, "monitored": self.monitored, "pending": self.pending}

    def restore(self, state: dict) -> None:
        self.points, self.monitored, self.pending = state["points"], state["monitored"], state["pending"]

    def report_to(self, settings: PairSettings, folder: Path, name: str) -> None:
        """Write TensorBoard's events into a folder, and copy them to Weights & Biases where that is asked for.

        Raises UserError if the package is missing."""
        if not settings.report_to:
            return
        if "wandb" in settings.report_to:
            try:
                import wandb
            except ImportError:
                raise UserError("pair.report_to: wandb is not installed; pip install wandb") from None
            wandb.init(project="salmu", name=name, dir=str(folder), sync_tensorboard=True, config=settings.model_dump())
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError("pair.report_to: tensorboard is not installed; pip install tensorboard") from None
        self.writer = SummaryWriter(str(folder))

    def recorder(self, done: int) -> "_Recorder":
        """What open_clip's loop may take for a TensorBoard writer during a stretch that begins at step `done`."""
        return _Recorder(self, done)

    def measured(self, step: int, values: dict[str, float]) -> None:
        """Keep what a monitor measured after a number of steps."""
        self.monitored.append({"step": step, "epoch": self.plan.epoch(step - 1), **values})
        for name, value in values.items():
            self.show(f"monitor/{name}", value, step)

    def show(self, name: str, value: float, step: int) -> None:
        if self.writer:
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self.writer:
            self.writer.close()

    def step(self, step: int, values: dict[str, float]) -> None:
        """The values of a step, counted from 1."""
        if not np.isfinite(values["loss"]):
            raise UserError(
                f"pair: the loss is no longer finite at step {step} of {self.plan.steps}; "
                "lower pair.learning_rate, or take precision fp32 or amp_bf16"
            )
        self.pending.append(values["loss"])
        # a point at the last report before each multiple of the stretch, whatever the steps between reports
        if step == self.plan.steps or step // self.stretch > (
            self.points[-1]["step"] // self.stretch if self.points else 0
        ):
            self.points.append(
                {
                    "step": step,
                    "epoch": self.plan.epoch(step - 1),
                    "loss": round(float(np.mean(self.pending)), 5),
                    "lr": float(f"{values['lr']:.4g}"),
                    "logit_scale": round(values["scale"], 3),
                }
            )
            self.pending = []
        if self.progress:
            self.progress(step, self.plan.steps)


class _Recorder:
    def __init__(self, curve: Curve, done: int):
        self.curve, self.done, self.values = curve, done, {}

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """open_clip's loop gives the loss of a step last."""
        short = name.removeprefix("train/")
        self.values[short] = value
        self.curve.show(name, value, self.done + step + 1)
        if short == "loss":
            self.curve.step(self.done + step + 1, self.values)
