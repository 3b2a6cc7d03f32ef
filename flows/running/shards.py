"""Makes shards: one Prefect task run each, on the run's workers, in a bounded window, each handed over as it is done.

A shard's task writes its files and returns an entry; who asked for the shard commits it. Prefect never carries data.
"""

import errno
import functools
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable

from prefect import task
from prefect.cache_policies import NO_CACHE

from salmu.data.errors import UserError
from salmu.data.store import Entry, Shard, Store
from salmu.flows.running.drill import Drill, DrillSettings, drill_of
from salmu.flows.running.flow_runs import may_help
from salmu.flows.running.progress import shown_progress
from salmu.flows.running.runners import lost_worker
from salmu.flows.running.stages import STAGES, upstream_views
from salmu.flows.running.worker_pools import PAUSES, Pool, mark_task_crashed, workers_lost
from salmu.tasks.devices import gpu_is_lost

IN_FLIGHT = 64  # shards submitted and not yet back: bounds what Prefect and the workers must hold
ROWS = 8  # of the terminal, below the stage's own bar, in which shards under way show how far they are
_loading = threading.Lock()


@functools.lru_cache(maxsize=2)
def _engine(stage: str, settings):
    module = STAGES[stage]
    return module.load_engine(settings) if hasattr(module, "load_engine") else None


@functools.lru_cache(maxsize=4)
def _views(folder: str, stage: str, upstream: tuple[str, ...]):
    return upstream_views(Store(folder), stage)


def _loaded(folder: str, stage: str, upstream: tuple[str, ...], settings) -> tuple:
    with _loading:  # threads of one process share an engine
        return _views(folder, stage, upstream), _engine(stage, settings)


@task(
    name="shard",
    task_run_name="{stage}-{index:05d}",
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_jitter_factor=0.5,
    retry_condition_fn=may_help,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def make_shard(
    folder: str,
    stage: str,
    index: int,
    shard: Shard,
    settings,
    expected: str,
    upstream: tuple[str, ...],
    drill: Drill | None,
) -> Entry:
    """Make one shard in a worker; the engine stays loaded there for the next one. A worker whose GPU is lost ends."""
    store, module, start = Store(folder), STAGES[stage], time.perf_counter()
    try:
        if drill is not None:
            drill.strike(store, f"{stage}:{index}")
        more = [store.work(stage, module.SCHEMA, index, expected)] if getattr(module, "KEEPS_WORK", False) else []
        views, engine = _loaded(folder, stage, upstream, settings)
        with shown_progress(store.folder.name, f"{stage}, shard {index}", "replies", 1 + index % ROWS) as show:
            more += [show] if getattr(module, "SHOWS_PROGRESS", False) else []
            result = module.run(shard, settings, views, engine, *more)
        return store.write_shard(stage, module.SCHEMA, shard, result, expected, time.perf_counter() - start)
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise UserError(
                f"stage {stage}, shard {index}: no space left on the disk; free some and run again "
                "(finished work is kept)"
            ) from None
        if gpu_is_lost(error):
            os._exit(1)  # nothing on this GPU works any more in this process: its shard goes back to the others
        raise


def make_shards(
    store: Store,
    stage: str,
    settings,
    missing: list[tuple[Shard, str]],
    commit: Callable[[Shard, Entry], None],
    drill: DrillSettings,
    flow_run: str,
    after: list | None = None,
) -> list:
    """Make the missing shards (with the fingerprints that they must have) and `commit` each as it comes back.

    After a failure nothing more is submitted, and the first error is raised once the shards under way are committed.
    The shards of workers that died go back to the others, or to new ones. Returns the futures of the task runs."""
    upstream = tuple(store.manifest(other).digest for other in STAGES[stage].UPSTREAM)
    waiting, back = deque(missing), queue.SimpleQueue()
    futures, under_way, lost, losses, failure = [], {}, [], 0, None
    with _pool(stage, settings) as pool:
        while True:
            while failure is None and not lost and waiting and len(under_way) < IN_FLIGHT:
                shard, expected = waiting.popleft()
                parameters = {
                    "folder": str(store.folder),
                    "stage": stage,
                    "index": shard.index,
                    "shard": shard,
                    "settings": settings,
                    "expected": expected,
                    "upstream": upstream,
                    "drill": drill_of(drill, stage, shard.index, flow_run),
                }
                future = pool.submit(make_shard, parameters, after)
                under_way[shard.index] = (future, shard, expected)
                future.add_done_callback(functools.partial(_tell, back, shard.index))
            if not under_way:
                break
            future, shard, expected = under_way.pop(back.get())
            try:
                entry = future.result()
            except Exception as error:
                if not lost_worker(error):
                    failure = failure or error
                    continue
                # every shard that was not back yet comes back so
                lost.append((shard, expected))
                mark_task_crashed(future.task_run_id)
                if not under_way and failure is None:
                    if losses == len(PAUSES):
                        raise workers_lost(f"stage {stage}", error) from None
                    time.sleep(PAUSES[losses])
                    losses += 1
                    pool.renew()
                    waiting.extendleft(sorted(lost, key=lambda work: -work[0].index))
                    lost.clear()
                continue
            futures.append(future)
            losses = 0
            commit(shard, entry)
            store.work(stage, STAGES[stage].SCHEMA, shard.index, expected).clear()
    if failure is not None:
        raise failure
    return futures


def _pool(stage: str, settings) -> Pool:
    module = STAGES[stage]
    wants_gpus = hasattr(module, "uses_gpu") and module.uses_gpu(settings)
    return Pool(f"stage {stage}", wants_gpus, module.gpus_a_worker(settings) if hasattr(module, "gpus_a_worker") else 1)


def _tell(back: queue.SimpleQueue, index: int, future) -> None:
    back.put(index)
