"""Runs any stage shard by shard: plan, skip what the store already holds, submit the rest, commit, summarise.

The store is the truth. A shard task writes its files and hands back an entry; the flow, alone, puts the entry into
the manifest, which commits the shard. Prefect sees one task run a shard and one a stage, and never carries data.
"""

import errno
import functools
import os
import queue
import time
from collections import deque
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed
from tqdm import tqdm

from data.errors import UserError
from data.store import Entry, Manifest, Shard, Store, remove
from data.summary import write_summary
from flows.artifacts import Progress, publish_summary
from flows.pools import ShardPool
from flows.stages import STAGES, finished, planned, state, upstream_views
from tasks.devices import gpu_is_lost

IN_FLIGHT = 64  # shards submitted and not yet back: bounds what Prefect and the workers must hold
CACHED_SHOWN = 100  # cached shards shown as task runs of their own
LOSSES = 3  # times that workers may be lost with no shard finished in between


def may_help(task, task_run, state) -> bool:
    """Whether trying again can change anything: not after bad input."""
    try:
        state.result()
    except UserError:
        return False
    except Exception:
        return True
    return False


@functools.lru_cache(maxsize=2)
def _engine(stage: str, settings):
    module = STAGES[stage]
    return module.load_engine(settings) if hasattr(module, "load_engine") else None


@functools.lru_cache(maxsize=4)
def _views(folder: str, stage: str, upstream: tuple[str, ...]):
    return upstream_views(Store(Path(folder)), stage)


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
    folder: str, stage: str, index: int, shard: Shard, settings, expected: str, upstream: tuple[str, ...]
) -> Entry:
    """Make one shard in a worker; the engine stays loaded there for the next one. A worker whose GPU is lost ends."""
    store, module, start = Store(Path(folder)), STAGES[stage], time.perf_counter()
    try:
        work = [store.work(stage, module.SCHEMA, index, expected)] if getattr(module, "KEEPS_WORK", False) else []
        result = module.run(shard, settings, _views(folder, stage, upstream), _engine(stage, settings), *work)
        return store.write_shard(stage, module.SCHEMA, shard, result, expected, time.perf_counter() - start)
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise UserError(
                f"stage {stage}, shard {index}: no space left on the disk; free some and run again "
                "(what is finished is kept)"
            ) from None
        if gpu_is_lost(error):
            os._exit(1)  # nothing on this GPU works any more in this process: its shard goes back to the others
        raise


@task(name="cached-shard", task_run_name="{stage}-{index:05d}", cache_policy=NO_CACHE, persist_result=False)
def show_cached(stage: str, index: int, rows: int):
    """A task run that does nothing: it shows a shard that the store already holds."""
    return Completed(name="Cached", message=f"{rows} rows, in the store under the same fingerprint")


@task(name="stage", task_run_name="{stage}", cache_policy=NO_CACHE, persist_result=False)
def finish_stage(folder: str, stage: str, settings, cached: int) -> None:
    """Summarise a complete stage: beside its manifest, and as artifacts in the UI."""
    store, module = Store(Path(folder)), STAGES[stage]
    summary = module.summarise(settings, store.view(stage, module.KEY), upstream_views(store, stage))
    write_summary(store.stage_folder(stage), summary)
    publish_summary(stage, store.manifest(stage), summary, cached)


def run_stage(store: Store, name: str, settings, after: list | None = None):
    """Bring a stage up to date inside a flow; returns the future of its last task, for others to wait on.

    Raises UserError when something above is missing, and the first shard's error once the shards under way are
    committed."""
    for other in STAGES[name].UPSTREAM:
        if not store.manifest(other).complete:
            raise UserError(
                f"stage {name} reads {other}, which is not complete in {store.folder}: run salmu stage {other} "
                f"--run {store.folder.name} first"
            )
    start, plan = time.perf_counter(), planned(store, name, settings)
    done = finished(store, name, plan)
    manifest = Manifest(
        stage=name,
        version=STAGES[name].VERSION,
        settings=settings.model_dump(mode="json"),
        planned=len(plan),
        upstream={other: store.manifest(other).digest for other in STAGES[name].UPSTREAM},
        shards=list(done.values()),
    )
    store.write_manifest(manifest)
    futures = [
        show_cached.submit(name, index, entry.rows, wait_for=after)
        for index, entry in list(done.items())[:CACHED_SHOWN]
    ]
    missing = [(shard, expected) for shard, expected in plan if shard.index not in done]
    with tqdm(
        total=sum(len(shard.items) for shard, _ in plan),
        desc=f"{name:<10}",
        unit="item",
        disable=None,
        initial=sum(entry.items for entry in done.values()),
    ) as bar:
        futures += _make_missing(store, manifest, missing, settings, after, bar)
    manifest.complete = True
    store.write_manifest(manifest)
    for path in store.orphans(name):
        remove(path)
    last = finish_stage.submit(str(store.folder), name, settings, len(done), wait_for=futures)
    last.result()
    print(
        f"{name:<10} {manifest.rows:>7,} rows, {manifest.rejects} rejects; {len(missing)} of {len(plan)} shards made, "
        f"{time.perf_counter() - start:.1f} s",
        flush=True,
    )
    return last


def _make_missing(store: Store, manifest: Manifest, missing, settings, after, bar) -> list:
    """Submit shards in a bounded window and commit each as it comes back. After a failure nothing more is submitted.

    The shards of workers that died go back to the others, or to new ones."""
    upstream = tuple(manifest.upstream.values())
    waiting, back = deque(missing), queue.SimpleQueue()
    futures, under_way, lost, losses, failure = [], {}, [], 0, None
    done = sum(entry.items for entry in manifest.shards)
    progress = Progress(manifest.stage, done, done + sum(len(shard.items) for shard, _ in missing)) if missing else None
    with ShardPool(manifest.stage, settings) as pool:
        while True:
            while failure is None and not lost and waiting and len(under_way) < IN_FLIGHT:
                shard, expected = waiting.popleft()
                parameters = {
                    "folder": str(store.folder),
                    "stage": manifest.stage,
                    "index": shard.index,
                    "shard": shard,
                    "settings": settings,
                    "expected": expected,
                    "upstream": upstream,
                }
                future = pool.submit(make_shard, parameters, wait_for=after)
                under_way[id(future)] = (shard, expected)
                future.add_done_callback(back.put)
            if not under_way:
                break
            future = back.get()
            shard, expected = under_way.pop(id(future))
            try:
                entry = future.result()
            except BrokenProcessPool:  # a worker died, and every shard that was not back yet comes back so
                lost.append((shard, expected))
                if not under_way and failure is None:
                    losses += 1
                    if losses > LOSSES:
                        raise UserError(
                            f"stage {manifest.stage}: worker processes were killed {losses} times with no shard "
                            "finished in between; is there enough memory? Fewer --workers or smaller batches need less"
                        ) from None
                    pool.renew()
                    waiting.extendleft(sorted(lost, key=lambda work: -work[0].index))
                    lost.clear()
                continue
            except Exception as error:
                failure = failure or error
                continue
            futures.append(future)
            losses = 0
            manifest.shards.append(entry)
            store.write_manifest(manifest)
            store.work(manifest.stage, STAGES[manifest.stage].SCHEMA, shard.index, expected).clear()
            bar.update(entry.items)
            progress.advance(entry.items)
    if failure is not None:
        raise failure
    return futures


def require_upstream(store: Store, name: str, settings_of) -> None:
    """Refuse to run a stage alone on top of something that its settings no longer describe."""
    for other in STAGES[name].UPSTREAM:
        condition = state(store, other, settings_of(other))
        if condition != "done":
            raise UserError(
                f"stage {name} reads {other}, which is {condition} in {store.folder}: run salmu stage {other} "
                f"--run {store.folder.name} first, or salmu run for all"
            )
