"""Which workers make a stage's shards: the run's own processes, or one process a GPU; and new ones for lost ones."""

import fcntl
import os
import queue
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from prefect import Task, get_client
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.states import Crashed

from salmu.data.errors import UserError
from salmu.flows.running.processes import WorkerProcesses, begin_worker
from salmu.flows.running.runners import lost_worker, with_gpus

PROBE = "import torch; torch.ones(8, device='cuda').sum().item()"
PROBE_SECONDS = 120
PAUSES = (1, 10, 30)  # seconds before work is given out again when workers were lost with nothing finished in between
_claimed = []  # the lock files of this process's GPUs, open for as long as the process lives


def gpus() -> list[str]:
    """The CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [device.strip() for device in named.split(",") if device.strip() not in ("", "-1")]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def answers(device: str) -> bool:
    """Whether the GPU still computes, asked in a process of its own: a lost GPU takes its process with it."""
    command, surroundings = [sys.executable, "-c", PROBE], os.environ | {"CUDA_VISIBLE_DEVICES": device}
    try:
        return subprocess.run(command, env=surroundings, capture_output=True, timeout=PROBE_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def claim_gpus(groups: list[list[str]]) -> None:
    """Be a worker with one of these groups of GPUs to itself; waits while all are taken, also by other runs of this
    machine.

    The locks are the operating system's: they go when the process does, however it ends."""
    begin_worker()
    folder = Path(tempfile.gettempdir()) / f"salmu-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    while True:
        for group in groups:
            files = [open(folder / f"{device.replace('/', '-')}.lock", "w") for device in group]
            try:
                for file in files:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                for file in files:
                    file.close()
                continue
            _claimed.extend(files)
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(group)
            return
        time.sleep(0.5)


def mark_task_crashed(task_run_id) -> None:
    """Say on the server that the task run's worker died; it would stay in Running there for good."""
    try:
        with get_client(sync_client=True) as client:
            client.set_task_run_state(task_run_id, Crashed(message="its worker died"), force=True)
    except Exception:
        return  # a view only: the server may be away, or may never have heard of the task run


def workers_lost(what: str, error: BaseException) -> UserError:
    """The error for a user when workers were lost again and again."""
    reason = " ".join(str(error).split())[:200]
    return UserError(
        f"{what}: workers were lost {len(PAUSES) + 1} times with nothing finished in between ({reason}); perhaps the "
        "memory is too small (use fewer --workers or smaller batches), or the server does not respond"
    )


class Work(NamedTuple):
    """A task and its parameters.

    `after`: names of other work of the same call that must be done first; a name that no work has counts as done.
    `then`: called in the flow's own process once the task is done, before anything that comes after it."""

    task: Task
    parameters: dict[str, Any]
    name: str = ""
    after: tuple[str, ...] = ()
    then: Callable[[], None] | None = None


def submit_with_retry(
    what: str, work: Sequence[Work], wait_for: list | None = None, on_gpus: bool = False
) -> list[PrefectFuture]:
    """Have tasks done and wait for all. Each is submitted as soon as the work before it is done, in the order given.
    Tasks whose worker died, or that could not reach Prefect's server, are submitted again. Returns the futures; raises
    the first error of a task, or UserError if workers are lost all the time.

    `on_gpus`: each on a worker with a GPU of its own, as far as this machine has any."""
    waiting, under_way, back = dict(enumerate(work)), {}, queue.SimpleQueue()
    futures, lost, losses = [], {}, 0
    with Pool(what, on_gpus) as pool:
        while waiting or under_way:
            undone = {one.name for one in waiting.values()} | {one.name for one, _ in under_way.values()}
            for place, one in [] if lost else sorted(waiting.items()):
                if not undone.intersection(one.after):
                    future = pool.submit(one.task, one.parameters, wait_for)
                    under_way[place] = waiting.pop(place), future
                    future.add_done_callback(lambda _, place=place: back.put(place))
            place = back.get()
            one, future = under_way.pop(place)
            try:
                future.result()
            except Exception as error:
                if not lost_worker(error):
                    raise
                lost[place] = one
                mark_task_crashed(future.task_run_id)
                if not under_way:
                    if losses == len(PAUSES):
                        raise workers_lost(what, error) from None
                    time.sleep(PAUSES[losses])
                    losses += 1
                    pool.renew()
                    waiting |= lost
                    lost.clear()
                continue
            losses = 0
            futures.append(future)
            if one.then:
                one.then()
    return futures


class Pool:
    """Has tasks done inside a flow: on the flow's own runner, or, where they compute on GPUs and the flow's workers are
    local processes, on one worker a GPU (or as many GPUs as one model takes).

    A Ray or Dask cluster is asked for the GPUs."""

    def __init__(self, what: str, wants_gpus: bool, gpus_a_worker: int = 1):
        self.what, self.runner = what, FlowRunContext.get().task_runner
        self.local = isinstance(self.runner, WorkerProcesses)
        self.wants_gpus, self.gpus_a_worker = wants_gpus, gpus_a_worker
        self.on_gpus = wants_gpus and self.local and bool(gpus())

    def __enter__(self):
        if self.on_gpus:
            self._start(gpus())
        return self

    def __exit__(self, *error) -> None:
        if self.on_gpus:
            self.runner.__exit__(*error)

    def submit(self, task: Task, parameters: dict[str, Any], wait_for: list | None) -> PrefectFuture:
        with with_gpus(self.runner, self.gpus_a_worker) if self.wants_gpus else nullcontext():
            return self.runner.submit(task, parameters, wait_for=wait_for)

    def renew(self) -> None:
        """New workers for lost ones; of the GPUs only those that still answer. Raises UserError if none does.

        A cluster brings new workers itself."""
        if not self.local:
            return
        self.runner.__exit__(None, None, None)
        if not self.on_gpus:
            self.runner.__enter__()
            return
        known = gpus()
        left = [device for device in known if answers(device)]
        if not left:
            self.on_gpus = False  # nothing left to stop
            raise UserError(
                f"{self.what}: none of the GPUs {', '.join(known)} responds any more; see nvidia-smi, then run "
                "again (finished work is kept)"
            )
        print(f"{self.what}: a worker was lost; continuing with {len(left)} of {len(known)} GPUs", flush=True)
        self._start(left)

    def _start(self, devices: list[str]) -> None:
        size = min(self.gpus_a_worker, len(devices))
        groups = [devices[start : start + size] for start in range(0, len(devices) - size + 1, size)]
        self.runner = WorkerProcesses(max_workers=len(groups), initializer=claim_gpus, initargs=(groups,))
        self.runner.__enter__()
