"""What the pipeline costs beside its engines: Prefect, the store, the processes.

    python benchmarks/overhead.py --out benchmarks/overhead.json

1. 200 shards of no work through Prefect, from the start of the flow to its end, with a server that runs already.
2. 10,000 portraits in 100 shards from an engine that takes 50 ms a portrait, asleep but for giving a file of 60 KB: the
   part of the wall time that the engine alone would not have taken on as many workers.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

from prefect import flow
from prefect.task_runners import ProcessPoolTaskRunner
from pydantic import Field

from salmu.data import schemas
from salmu.data.keyed import generator
from salmu.data.settings import StageSettings
from salmu.data.store import Shard, ShardResult, Store
from salmu.data.summary import Summary
from salmu.flows.running.processes import api_server, begin_worker
from salmu.flows.running.stage import run_stage
from salmu.flows.running.stages import STAGES

BYTES = 60_000


class SleepingSettings(StageSettings):
    """A stage that waits instead of working."""

    shards: int = Field(200, description="Shards.")
    portraits: int = Field(0, description="Portraits a shard.")
    seconds: float = Field(0.0, description="What the engine takes for each.")


def plan(settings: SleepingSettings, upstream: dict) -> list[Shard]:
    return [
        Shard(index=index, items=tuple(f"{index}-{number}" for number in range(settings.portraits)))
        for index in range(settings.shards)
    ]


def run(shard: Shard, settings: SleepingSettings, upstream: dict, engine) -> ShardResult:
    rows, start = [], time.perf_counter()
    for number, name in enumerate(shard.items, 1):
        rows.append(
            {
                "file_name": f"{name}.jpg",
                "identity_id": f"{shard.index:08}",
                "portrait_index": number,
                "prompt": "a photo of a person",
                "scene": "{}",
                "seed": number,
                "width": 512,
                "height": 512,
                "image": generator(0, "sleeping", name).bytes(BYTES),
                "fault": None,
            }
        )
        time.sleep(max(0.0, start + number * settings.seconds - time.perf_counter()))
    return ShardResult(rows)


SLEEPING = SimpleNamespace(
    NAME="sleeping",
    VERSION=1,
    UPSTREAM=(),
    SCHEMA=schemas.PORTRAITS,
    KEY="file_name",
    Settings=SleepingSettings,
    plan=plan,
    run=run,
    summarise=lambda settings, view, upstream: Summary("slept"),
)


def register() -> None:
    """Make the stage known, in this process or in a worker."""
    STAGES["sleeping"] = SLEEPING


def begin() -> None:
    begin_worker()
    register()


def seconds_of(settings: SleepingSettings, workers: int) -> float:
    pool = ProcessPoolTaskRunner(max_workers=workers, initializer=begin)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "run")

        @flow(name="overhead", task_runner=pool, persist_result=False)
        def overhead():
            run_stage(store, "sleeping", settings)

        start = time.perf_counter()
        overhead()
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--portraits", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    register()
    with api_server():
        empty = seconds_of(SleepingSettings(shards=200), options.workers)
        print(f"200 empty shards: {empty:.1f} s", flush=True)
        sleeping = SleepingSettings(shards=100, portraits=options.portraits // 100, seconds=0.05)
        wall = seconds_of(sleeping, options.workers)
    engine = 0.05 * options.portraits / options.workers
    result = {
        "workers": options.workers,
        "empty_shards": 200,
        "empty_shards_seconds": round(empty, 2),
        "portraits": options.portraits,
        "wall_seconds": round(wall, 2),
        "engine_seconds": round(engine, 2),
        "own_cost_share": round((wall - engine) / wall, 4),
    }
    print(json.dumps(result, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
