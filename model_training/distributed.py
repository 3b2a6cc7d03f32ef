"""One training in several processes: joining, taking turns, and starting them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import torch

from salmu.data.errors import UserError


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


def start(processes: int, arguments: list[str]) -> None:
    """`torchrun --standalone` of model_training with these arguments on this machine; returns when all have ended.

    Raises UserError if one failed; its last line says why."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    done = subprocess.run([*command, "-m", "salmu.model_training", *arguments], stderr=subprocess.PIPE, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")] or done.stderr.splitlines()
        raise UserError(lines[0].removeprefix("error: ") if lines else f"torchrun ended with {done.returncode}")
