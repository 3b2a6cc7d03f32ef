"""One training in several processes: joining, taking turns, and starting them."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import torch

from salmu.data.errors import UserError

STEPS_DONE = "steps-done"  # word of a line on stdout by which the first process says how far it is


def join(device: str) -> SimpleNamespace:
    """This process among those of its training, which torchrun or Slurm started: `rank`, `world_size`, `local_rank`,
    `distributed`, and the `device` that is its own. Alone, it is the first of one.

    open_clip's own start-up; gloo on CPUs, NCCL on GPUs. Raises UserError if there is no such device."""
    from open_clip_train.distributed import init_distributed_device, is_using_distributed

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"pair.device: {device}, but torch sees no GPU; take pair.device=cpu or configuration tiny")
    world = SimpleNamespace(device=device, horovod=False, dist_backend=None, dist_url=None, no_set_device_rank=False)
    if torch.distributed.is_initialized() or not is_using_distributed():
        started = torch.distributed.is_initialized()
        world.world_size = torch.distributed.get_world_size() if started else 1
        world.rank = torch.distributed.get_rank() if started else 0
        world.local_rank, world.distributed = int(os.environ.get("LOCAL_RANK", 0)) if started else 0, started
        return world
    init_distributed_device(world)
    return world


@contextmanager
def first_process_first(world: SimpleNamespace) -> Iterator[None]:
    """The first process does what is inside, then the others do it, and find what the first left on the disk."""
    if world.distributed and world.rank:
        torch.distributed.barrier()
    yield
    if world.distributed and not world.rank:
        torch.distributed.barrier()


def start(
    processes: int, arguments: list[str], progress: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """`torchrun --standalone` of model_training with these arguments on this machine; returns when all have ended.
    They end with this process too. `progress(done, total)` is called with the steps of the first process.

    Raises UserError if one failed; its last line says why."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command += ["-m", "salmu.model_training", *arguments, "--starter", str(os.getpid())]
    errors: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        reader = threading.Thread(target=lambda: errors.extend(running.stderr), daemon=True)
        reader.start()
        for line in running.stdout:
            word, *numbers = line.split() or [""]
            if word == STEPS_DONE and len(numbers) == 2:
                progress(*map(int, numbers))
        reader.join()
    if running.returncode:
        lines = [line.strip() for line in errors]
        lines = [line for line in lines if line.startswith("error: ")] or lines
        raise UserError(lines[0].removeprefix("error: ") if lines else f"torchrun ended with {running.returncode}")


def end_with(starter: int) -> None:
    """End this process when the one that started the training is gone: torchrun, which lies between, goes on alone."""

    def watch() -> None:
        while _exists(starter):
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-starter").start()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
