"""A fire drill: one shard is made to fail, so that retries, reruns and alarms are tried out before they are needed."""

import os
import signal
from typing import Literal, NamedTuple

from pydantic import Field, field_validator

from salmu.data.errors import UserError
from salmu.data.files import write_atomic
from salmu.data.settings import Settings
from salmu.data.store import Store
from salmu.flows.running.stages import STAGES


class DrillSettings(Settings):
    """A failure on purpose. It never changes what a run makes, and is not kept with the run's settings."""

    shard: str | None = Field(
        None,
        pattern=r"^[a-z]+:[0-9]+$",
        description="Stage and number of a shard that fails, for instance captions:0; null: none.",
    )
    kind: Literal["bad_input", "error", "kill"] = Field(
        "bad_input",
        description="bad_input: a UserError, which fails the stage at once; error: another exception, which is "
        "retried with growing pauses; kill: the worker process dies, and its shard goes to another.",
    )
    times: int = Field(
        1, ge=1, description="How often it fails in one flow run, retries of that run included; then it passes."
    )

    @field_validator("shard")
    @classmethod
    def _of_a_stage(cls, shard: str | None) -> str | None:
        if shard is not None and (stage := shard.partition(":")[0]) not in STAGES:
            raise ValueError(f"no stage {stage!r}; there are {', '.join(STAGES)}")
        return shard


class Drill(NamedTuple):
    """What a shard's task carries when it shall fail."""

    settings: DrillSettings
    flow_run: str  # the count starts anew with each flow run, and goes on when a flow run is retried

    def strike(self, store: Store, shard: str) -> None:
        """Fail if the shard's turn has come and it has not failed often enough; counted in files of the run."""
        for time in range(1, self.settings.times + 1):
            mark = store.folder / ".drill" / f"{self.flow_run}-{shard.replace(':', '-')}-{time}"
            if mark.exists():
                continue
            write_atomic(mark, b"")
            message = f"shard {shard}: failed on purpose, time {time} of {self.settings.times} (drill.shard); run again"
            if self.settings.kind == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise UserError(message) if self.settings.kind == "bad_input" else RuntimeError(message)


def require_shard(settings: DrillSettings, stage: str, indices: set[int]) -> None:
    """Raises UserError for a drill of a shard that the stage does not have: it would pass for one that was stood."""
    named, _, index = (settings.shard or "").partition(":")
    if named == stage and int(index) not in indices:
        raise UserError(
            f"drill.shard: stage {stage} has no shard {index}, its {len(indices)} are {min(indices, default=0)} to "
            f"{max(indices, default=0)}"
        )


def drill_of(settings: DrillSettings, stage: str, index: int, flow_run: str) -> Drill | None:
    """The drill for this shard, or None."""
    return Drill(settings, flow_run) if settings.shard == f"{stage}:{index}" else None
