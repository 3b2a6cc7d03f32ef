"""Where a run's tasks are done, chosen by the surroundings: SALMU_RUNNER, SALMU_WORKERS and SALMU_ADDRESS.

    process    worker processes of this machine; for stages that compute on GPUs, one a GPU (the default)
    thread     threads of this process
    ray, dask  a cluster: the one at SALMU_ADDRESS (for ray also RAY_ADDRESS, which Ray's jobs set), or one of this
               machine for as long as the run lasts
    workpool   shards as runs of the deployment `shards/gpu`, done by whatever workers serve its pool; SALMU_WORKERS
               is how many of these runs are under way at once

The bytes that a run makes do not depend on the choice.
"""

import importlib.util
import os
import socket
from contextlib import nullcontext
from typing import Literal, get_args
from urllib.parse import urlsplit

import httpx
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from salmu.data.errors import UserError
from salmu.flows.running.processes import WorkerProcesses, begin_worker

Kind = Literal["process", "thread", "ray", "dask", "workpool"]
KINDS = get_args(Kind)
ANSWER_SECONDS = 10  # that a cluster has to take a connection
# what the runners raise when a worker died, each after the retries of its own
LOST = {"BrokenProcessPool", "WorkerCrashedError", "NodeDiedError", "LocalRayletDiedError", "KilledWorker"}


def kind() -> Kind:
    """The runner that the surroundings ask for. Raises UserError for an unknown one."""
    wanted = os.environ.get("SALMU_RUNNER", "process")
    if wanted not in KINDS:
        raise UserError(f"SALMU_RUNNER: no runner {wanted!r}; there are {', '.join(KINDS)}")
    return wanted


def workers() -> int:
    """How many workers the surroundings ask for; all cores by default. Raises UserError if it is not a number."""
    wanted = os.environ.get("SALMU_WORKERS") or str(os.cpu_count() or 1)
    if not wanted.isdecimal() or int(wanted) < 1:
        raise UserError(f"SALMU_WORKERS: must be a number of at least 1, got {wanted!r}")
    return int(wanted)


def choose(runner: str | None, workers: int | None, address: str | None) -> None:
    """Put a choice into the surroundings, for this process and those that it starts; None leaves it as it is. Raises
    UserError where no cluster answers at the address of a runner that uses one."""
    for name, value in (("RUNNER", runner), ("WORKERS", workers), ("ADDRESS", address)):
        if value is not None:
            os.environ[f"SALMU_{name}"] = str(value)
    if kind() in ("ray", "dask") and (there := cluster_address()):
        _require_answer(there)


def cluster_address() -> str | None:
    """Of the cluster that the surroundings ask for; None for one of this machine."""
    return os.environ.get("SALMU_ADDRESS") or (os.environ.get("RAY_ADDRESS") if kind() == "ray" else None)


def task_runner() -> TaskRunner:
    """The Prefect task runner that the surroundings ask for. Raises UserError if its package is missing."""
    wanted, address = kind(), cluster_address()
    if wanted == "thread":
        return ThreadPoolTaskRunner(max_workers=workers())
    if wanted == "ray":
        _require("prefect_ray", "ray")
        from prefect_ray import RayTaskRunner

        if address:
            return _answering(RayTaskRunner)(address=address)
        own = {"num_cpus": workers(), "include_dashboard": False, "log_to_driver": False, "configure_logging": False}
        return RayTaskRunner(address="local", init_kwargs=own)  # without an address Ray looks for any cluster here
    if wanted == "dask":
        _require("prefect_dask", "dask")
        from prefect_dask import DaskTaskRunner

        if address:
            return _answering(DaskTaskRunner)(address=address)
        local = {"n_workers": workers(), "threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0}
        return DaskTaskRunner(cluster_kwargs=local)
    return WorkerProcesses(max_workers=workers(), initializer=begin_worker)


def _answering(kind: type[TaskRunner]) -> type[TaskRunner]:
    """The runner, which raises UserError at the beginning of a flow run where its cluster does not answer. Deployments
    need it: a worker starts their flow runs, without a call of `choose`."""

    def begin(self):
        _require_answer(self.address)
        return kind.__enter__(self)

    return type(kind.__name__, (kind,), {"__enter__": begin})


def lost_worker(error: BaseException) -> bool:
    """Whether a task failed because its worker died, or because Prefect's server could not be reached from it."""
    return type(error).__name__ in LOST or isinstance(error, httpx.TransportError)


def with_gpus(runner: TaskRunner, gpus: int):
    """A context in which tasks submitted to a Ray or Dask cluster get so many GPUs each, where the cluster has any.

    A Dask worker tells its GPUs by `dask worker --resources "GPU=1"`."""
    name = type(runner).__name__
    if name == "RayTaskRunner":
        import ray
        from prefect_ray.context import remote_options

        if ray.cluster_resources().get("GPU"):
            return remote_options(num_gpus=gpus)
    if name == "DaskTaskRunner":
        import dask

        known = runner.client.scheduler_info(n_workers=-1)["workers"].values()
        if any(worker["resources"].get("GPU") for worker in known):
            return dask.annotate(resources={"GPU": gpus})
    return nullcontext()


def _require_answer(address: str) -> None:
    """Raises UserError where nothing listens: Ray would try again for many minutes."""
    name = "SALMU_ADDRESS" if os.environ.get("SALMU_ADDRESS") else "RAY_ADDRESS"
    if address in ("auto", "local"):
        return  # Ray's words for a cluster of this machine
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise UserError(f"{name}: {address!r} is no address; give HOST:PORT, ray://HOST:PORT or tcp://HOST:PORT")
    try:
        socket.create_connection((host, port), ANSWER_SECONDS).close()
    except OSError as error:
        raise UserError(
            f"{name}: no cluster answers at {address} ({error.strerror or error}); start it, or give its address"
        ) from None


def _require(module: str, extra: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise UserError(f"the runner {extra} needs a package that is not installed: pip install 'salmu[{extra}]'")
