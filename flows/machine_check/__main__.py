"""One part of a check, in a process of its own: what crashes here, hangs, or eats the memory, ends alone.

python -m salmu.flows.machine_check PART SETTINGS RECORDS     PART: gpu, weights, or a name of ENGINES

SETTINGS is a file with the run's settings as JSON. RECORDS is the file to which each thing that is known is appended, a
JSON object a line."""

import json
import math
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from salmu.data.errors import UserError
from salmu.flows.machine_check.machine import gpu_report, nvidia_smi
from salmu.flows.settings import RunSettings

LONG = 10.0  # seconds: after as many, no larger batch is tried
COLD = 240.0  # seconds: a first item that took longer, compiling included, is not made again to be timed warm
GROWTH = 4  # from one batch to the next


def part_of_check(name: str, settings: RunSettings, folder: Path) -> Iterator[dict[str, Any]]:
    """What is found of a part, as it is found. `folder`: an empty one, to work in."""
    if name == "gpu":
        yield gpu_report()
    elif name == "weights":
        from salmu.flows.machine_check.weights import weights

        yield {"weights": weights(settings)}
    else:
        yield from tried(name, settings, folder)


def tried(name: str, settings: RunSettings, folder: Path) -> Iterator[dict[str, Any]]:
    """Load an engine; one item cold, one warm, and then more at once, until a batch is full, takes long or is too much
    for the memory."""
    from salmu.flows.machine_check.engines import ENGINES

    memory, start = Memory(), time.perf_counter()
    trial = ENGINES[name](settings, folder)
    yield {"loaded": round(time.perf_counter() - start, 2)} | memory.peak()
    took, seconds, made = timed(trial, 1)
    yield {"cold": round(seconds, 2), "detail": made.detail} | memory.peak()
    count, best = 1, math.inf
    while took < (COLD if best == math.inf else LONG):
        try:
            took, seconds, made = timed(trial, count)
            if seconds / count > best:  # what was compiled for this size is not what an item takes
                took, seconds, made = min((took, seconds, made), timed(trial, count))
        except Exception as error:
            from salmu.tasks.devices import is_out_of_memory

            if count == 1 or not is_out_of_memory(error):
                raise
            yield {"too many": count}
            break
        yield {"items": count, "seconds": round(seconds, 5), "detail": made.detail} | memory.peak()
        if count == trial.most:
            break
        count, best = min(count * GROWTH, trial.most), min(best, seconds / count)
    if trial.forms:
        yield from ({"form": told} for told in trial.forms())


def timed(trial, count: int) -> tuple[float, float, Any]:
    """Seconds that it took to make so many items, seconds that they count for, and what came of them."""
    start = time.perf_counter()
    made = trial.make(count)
    took = time.perf_counter() - start
    return took, took if made.seconds is None else made.seconds, made


class Memory:
    """The most memory that this process has taken since it began, in MB: its own, and of the GPUs."""

    def __init__(self):
        self.taken_before = self._on_gpus()

    def peak(self) -> dict[str, float]:
        unit = 1 if sys.platform == "darwin" else 1024
        most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        found = {"memory": round(most * unit / 1e6)}
        taken = self._on_gpus()
        if taken is not None:
            torch = sys.modules.get("torch")
            held = torch.cuda.max_memory_reserved() if torch and torch.cuda.is_initialized() else 0
            found["gpu memory"] = round(max(taken - self.taken_before, held) / 1e6)
        return found

    def _on_gpus(self) -> float | None:
        """Bytes that all processes together hold of all GPUs, asked of the driver: vLLM wants to be the first to use
        CUDA in its process. None without a GPU."""
        gpus = nvidia_smi()
        held = [float(gpu["memory.total"]) - float(gpu["memory.free"]) for gpu in gpus]
        return sum(held) * 2**20 if gpus else None


def main(name: str, settings_file: str, records_file: str) -> None:
    settings = RunSettings.model_validate_json(Path(settings_file).read_text(encoding="utf-8"))
    folder = Path(records_file).with_suffix(".work")
    folder.mkdir()
    with open(records_file, "w", encoding="utf-8") as records:
        try:
            for found in part_of_check(name, settings, folder):
                print(json.dumps(found), file=records, flush=True)
        except UserError as error:
            print(json.dumps({"problem": str(error)}), file=records, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
