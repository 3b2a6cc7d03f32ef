"""Runs any stage shard by shard: plan, skip what the store already holds, have the rest made, commit, summarise.

The store is the truth. The flow, alone, puts a shard's entry into the manifest, which commits the shard. Prefect sees
one task run a shard and one a stage, and never carries data.
"""

import time
from collections import Counter
from importlib.metadata import version

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.states import Completed

from salmu.data.errors import UserError
from salmu.data.files import remove
from salmu.data.keyed import digest
from salmu.data.store import Entry, Manifest, Shard, Store
from salmu.data.suggestions import salmu_command
from salmu.data.summary import summary_of, write_summary
from salmu.flows.running import runners
from salmu.flows.running.cards import refresh_overview, show_stage
from salmu.flows.running.console import say
from salmu.flows.running.drill import DrillSettings, require_shard
from salmu.flows.running.progress import shown_progress
from salmu.flows.running.shards import make_shards
from salmu.flows.running.stages import STAGES, finished, is_current, plan_digest, planned, state, upstream_views
from salmu.flows.running.worker_pools import Work, submit_with_retry
from salmu.flows.running.workpool import make_on_work_pool

CACHED_SHOWN = 100  # cached shards shown as task runs of their own


@task(name="cached-shard", task_run_name="{stage}-{index:05d}", cache_policy=NO_CACHE, persist_result=False)
def show_cached(stage: str, index: int, rows: int):
    """A task run that does nothing: it shows a shard that the store already holds."""
    return Completed(name="Cached", message=f"{rows} rows, in the store under the same fingerprint")


@task(name="stage", task_run_name="{stage}", cache_policy=NO_CACHE, persist_result=False)
def finish_stage(folder: str, stage: str, settings, cached: int) -> None:
    """Summarise a complete stage, beside its manifest and as artifacts in the UI. A summary that was made from just
    these rows is shown again."""
    store, module = Store(folder), STAGES[stage]
    source = _source(store, stage)
    summary = summary_of(store.stage_folder(stage), source)
    if summary is None:
        summary = module.summarise(settings, store.view(stage, module.KEY), upstream_views(store, stage))
        write_summary(store.stage_folder(stage), summary._replace(of=source))
    show_stage(stage, store, summary, cached)


def _source(store: Store, stage: str) -> str:
    """What a stage's summary is made from: its rows, its settings and what lies above it."""
    manifest = store.manifest(stage)
    return digest("summary", version("salmu"), manifest.version, manifest.settings, manifest.upstream, manifest.digest)


def run_stage(store: Store, name: str, settings, after: list | None = None, drill: DrillSettings = DrillSettings()):
    """Bring a stage up to date inside a flow; returns the future of its last task, for others to wait on, or None
    where nothing was to do: then no worker is asked.

    Raises UserError when something above is missing, and the first shard's error once the shards under way are
    committed."""
    for other in STAGES[name].UPSTREAM:
        above = store.manifest(other)
        if not above.complete:
            raise UserError(
                f"stage {name} reads {other}, which is not complete in {store.folder}: run "
                f"{salmu_command(f'stage {other}', store.folder)} first"
            )
        _require_rows(store, above)
    start = time.perf_counter()
    if is_current(store, name, settings):
        manifest, missing = store.manifest(name), []
        done = {entry.index: entry for entry in manifest.shards}
        require_shard(drill, name, set(done))
    else:
        plan = planned(store, name, settings)
        require_shard(drill, name, {shard.index for shard, _ in plan})
        done = finished(store, name, plan)
        missing = [(shard, expected) for shard, expected in plan if shard.index not in done]
        manifest = Manifest(
            stage=name,
            version=STAGES[name].VERSION,
            settings=settings.model_dump(mode="json"),
            planned=len(plan),
            upstream={other: store.manifest(other).digest for other in STAGES[name].UPSTREAM},
            shards=list(done.values()),
        )
        store.write_manifest(manifest)
    cached, futures = list(done.items())[:CACHED_SHOWN], []
    if missing:
        futures = [show_cached.submit(name, index, entry.rows, wait_for=after) for index, entry in cached]
        futures += _make_missing(store, manifest, missing, settings, after, drill)
    if not manifest.complete:
        manifest.complete, manifest.plan = True, plan_digest(store, name, settings)
        store.write_manifest(manifest)
    for path in store.orphans(name):
        remove(path)
    shown = {"folder": str(store.folder), "stage": name, "settings": settings, "cached": len(done)}
    for index, entry in [] if missing else cached:
        show_cached(name, index, entry.rows, return_state=True)
    if missing or summary_of(store.stage_folder(name), _source(store, name)) is None:
        (last,) = submit_with_retry(f"stage {name}", [Work(finish_stage, shown)], wait_for=futures)
    else:
        last = finish_stage(**shown)
    told = (
        f"{name:<10} {manifest.rows:>7,} rows, {manifest.rejects} rejects; {len(missing)} of {manifest.planned} shards "
        f"made, {time.perf_counter() - start:.1f} s"
    )
    say(told)
    get_run_logger().info(told)
    refresh_overview()
    _require_rows(store, manifest)
    return last


def _require_rows(store: Store, manifest: Manifest) -> None:
    """Raises UserError, with the commonest reason, where a stage rejected all that it was given."""
    if manifest.rows or not manifest.rejects:
        return
    name = manifest.stage
    reasons = Counter(reject.reason for reject in store.view(name, STAGES[name].KEY).rejects())
    reason, count = reasons.most_common(1)[0]
    raise UserError(
        f"stage {name}: all {manifest.rejects} items were rejected, most often ({count} times): {reason}; see "
        f"{salmu_command(f'inspect {name} --rejects', store.folder)}"
    )


def _make_missing(store: Store, manifest: Manifest, missing: list, settings, after, drill: DrillSettings) -> list:
    """Make the missing shards and commit each; those made are in the manifest afterwards. Returns the futures of the
    task runs."""
    name, done, made = manifest.stage, sum(entry.items for entry in manifest.shards), []
    total = done + sum(len(shard.items) for shard, _ in missing)
    with shown_progress(store.folder.name, name, "items") as show:
        show(done, total)

        def commit(shard: Shard, entry: Entry) -> None:
            nonlocal done
            made.append(entry)
            store.commit(manifest, made)
            done += entry.items
            show(done, total)

        flow_run, futures = str(FlowRunContext.get().flow_run.id), []
        if runners.kind() == "workpool" and len(missing) > 1:
            make_on_work_pool(store, name, missing, commit, drill, flow_run)
        else:
            futures = make_shards(store, name, settings, missing, commit, drill, flow_run, after)
    manifest.shards += made
    return futures


def require_upstream(store: Store, name: str, settings_of) -> None:
    """Refuse to run a stage alone on top of something that its settings no longer describe."""
    for other in STAGES[name].UPSTREAM:
        condition = state(store, other, settings_of(other))
        if condition != "done":
            raise UserError(
                f"stage {name} reads {other}, which is {condition} in {store.folder}: run "
                f"{salmu_command(f'stage {other}', store.folder)} first, or salmu run for all"
            )
