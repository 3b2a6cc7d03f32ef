"""What tests of several packages share."""

import time

import httpx

from salmu.data.store import Store
from salmu.flows.running.processes import WorkerProcesses, begin_worker
from salmu.flows.running.stages import STAGES, finished, planned, upstream_views


def run_stages(store: Store, settings: dict) -> Store:
    """Run stages in order, in this process and without Prefect, as the flows do: plan, skip what is done, run,
    commit."""
    for name, stage_settings in settings.items():
        module = STAGES[name]
        plan = planned(store, name, stage_settings)
        done = finished(store, name, plan)
        manifest = store.manifest(name)
        manifest.version, manifest.settings, manifest.planned = (
            module.VERSION,
            stage_settings.model_dump(mode="json"),
            len(plan),
        )
        manifest.upstream = {other: store.manifest(other).digest for other in module.UPSTREAM}
        manifest.shards = list(done.values())
        views = upstream_views(store, name)
        engine = module.load_engine(stage_settings) if hasattr(module, "load_engine") else None
        for shard, expected in plan:
            if shard.index not in done:
                work = [store.work(name, module.SCHEMA, shard.index, expected)] if hasattr(module, "KEEPS_WORK") else []
                result = module.run(shard, stage_settings, views, engine, *work)
                manifest.shards.append(store.write_shard(name, module.SCHEMA, shard, result, expected, seconds=0.0))
        manifest.complete = True
        store.write_manifest(manifest)
    return store


def process_pool(workers: int) -> WorkerProcesses:
    """Worker processes as a run has them."""
    return WorkerProcesses(max_workers=workers, initializer=begin_worker)


class _Patient(httpx.HTTPTransport):
    """Asks again when a Prefect server is busy (its database is locked), as Prefect's own client does."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        deadline = time.monotonic() + 60
        while (answer := super().handle_request(request)).status_code == 503 and time.monotonic() < deadline:
            answer.close()
            time.sleep(0.5)
        return answer


def prefect_api(url: str) -> httpx.Client:
    """A client of a Prefect server's API."""
    return httpx.Client(base_url=url, timeout=30, transport=_Patient())


def eventually(read, wanted, seconds: int = 180) -> None:
    """The server writes task runs and events a moment later."""
    deadline = time.monotonic() + seconds
    while not wanted(read()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert wanted(read()), read()
