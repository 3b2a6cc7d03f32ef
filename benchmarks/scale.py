"""What the store and the commands cost against the number of shards, before a change and now.

    python benchmarks/scale.py [--sizes 100 1000 4000 12500] --out benchmarks/scale.json

1. Commits: the entries of so many shards with the sizes and times of a run of a million people (8,000 portraits of
   60 KB, 0.45 s each) are committed one by one.
2. A run of so many shards of portraits, one person and two portraits each, whose stages are planned by themselves and
   made by an engine that gives rows at once. On it: what the shards of personas and captions read, and the commands
   status, plan, verify, publish, report and gallery.

Each size in a process of its own on each side; the other side up to --most-before shards only, since the cost of its
commits grows with the square. Told are CPU seconds (of a command, up to 1,000 shards, the median of five), bytes
written, peak memory, and of each measure the slope of its logarithm over that of the shards from 1,000 on: 1 is growth
as the number of shards, 2 as its square."""

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from both_sides import code_of
from scale_run import make, settings_of

from salmu.data import store as stores
from salmu.data.keyed import integer
from salmu.data.store import Entry, Manifest, Store
from salmu.flows.running.stages import STAGES, planned, upstream_views

BEFORE = "efe407b"
PORTRAITS, BYTES, SECONDS = 8000, 60_000, 0.45  # of a shard: portraits; of a portrait: bytes, seconds on a GPU
SMALL = 1000  # shards up to which medians are taken


def cpu(work: Callable, times: int = 1) -> float:
    """CPU seconds of this process and its threads: the median of so many calls."""
    found = []
    for _ in range(times):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return round(statistics.median(found), 4)


# 1. commits


def entries(size: int) -> list[Entry]:
    return [
        Entry(
            index=index,
            fingerprint=f"{integer('fingerprint', index, bits=128):032x}",
            rows=PORTRAITS,
            bytes=PORTRAITS * BYTES + index,
            sha256=f"{index:064x}",
            items=PORTRAITS,
            seconds=round(PORTRAITS * SECONDS + index / 1000, 3),
            host="node-0001",
        )
        for index in range(size)
    ]


def commits(size: int, folder: Path) -> dict[str, float]:
    """Commit so many shards one by one, as the stage runner does. CPU seconds, and the bytes that were written."""
    store, made, since, written = Store(folder), entries(size), [], 0
    manifest = Manifest(stage="things", planned=size)
    store.write_manifest(manifest)

    def commit(entry: Entry) -> None:
        if hasattr(store, "commit"):
            since.append(entry)
            store.commit(manifest, since)
        else:  # of older versions
            manifest.shards.append(entry)
            store.write_manifest(manifest)

    seconds, start = 0.0, time.perf_counter()
    for entry in made:
        before = time.process_time()
        commit(entry)
        seconds += time.process_time() - before
        if not since:
            written += os.stat(store.stage_folder("things") / "manifest.json").st_size
    wall = time.perf_counter() - start
    written += sum(path.stat().st_size for path in store.stage_folder("things").glob("commits-*"))
    manifest.shards = made
    start = time.process_time()
    store.write_manifest(manifest)
    last = time.process_time() - start
    return {
        "commits": round(seconds, 3),
        "last manifest": round(last, 3),
        "reading it": cpu(lambda: store.manifest("things"), 5),
        "bytes": written,
        "commits a second": round(size / wall, 1),
    }


# 2. a run (made by scale_run.py)


def reading(store: Store, settings) -> dict[str, float]:
    """What the shards of personas and captions read: rows of curation and of portraits for each that is there."""
    from salmu.data import files
    from salmu.data.store import store as module
    from salmu.tasks.captions.rows import kept_portraits
    from salmu.tasks.personas.stage import sensitive

    read: Counter = Counter()

    def counted(whole: Callable, path, *rest, **more):
        table = whole(path, *rest, **more)
        read[path.parent.name] += getattr(table, "num_rows", 0)
        return table

    files.read_table = partial(counted, files.read_table)
    if today := hasattr(stores.StageView, "once"):
        module.read_row_groups = partial(counted, module.read_row_groups)
    plans = {name: planned(store, name, getattr(settings, name)) for name in ("personas", "captions")}
    read.clear()
    views, start = {name: upstream_views(store, name) for name in plans}, time.process_time()
    for _ in plans["personas"]:
        view = views["personas"]["curation"]
        view.once(sensitive) if today else sensitive(view)
    for shard, _ in plans["captions"]:
        kept_portraits(views["captions"], shard.items) if today else kept_portraits(views["captions"])
    told = {"shards": sum(map(len, plans.values())), "reading": round(time.process_time() - start, 3)}
    rows = {name: store.manifest(name).rows for name in ("curation", "portraits")}
    return told | {f"{name} rows read for each": round(read[name] / rows[name], 2) for name in rows}


def commands(size: int, folder: Path) -> dict[str, float]:
    """CPU seconds of the commands on the run."""
    from salmu.data.gallery.build import build_run
    from salmu.data.publish.publish import publish
    from salmu.evaluation.report.build import build
    from salmu.flows.command_line.plan import plan_rows
    from salmu.flows.command_line.status import parts_of
    from salmu.flows.command_line.verify import checked
    from salmu.flows.running.stages import models_of

    store, settings, times = Store(folder), settings_of(size), 5 if size <= SMALL else 1
    plain = settings.model_dump(mode="json", exclude={"drill"})
    states = {part.part: part.state for part in parts_of(store, settings) if part.part in STAGES}
    assert set(states.values()) == {"done"}, states
    told = {
        "status": cpu(lambda: parts_of(store, settings), times),
        "plan": cpu(lambda: plan_rows(store, settings, 2, 0), times),
        "verify": cpu(lambda: [None for file in checked(store) if file.problem], times),
        "publish": cpu(lambda: publish(store, folder / "dataset", settings.publish, plain, models_of(settings))),
        "report": cpu(lambda: build(folder), times),
        "gallery": cpu(lambda: build_run(folder)),
    }
    told["gallery MB"] = sum(path.stat().st_size for path in (folder / "gallery").rglob("*") if path.is_file()) / 1e6
    told["report MB"] = (folder / "report" / "index.html").stat().st_size / 1e6
    return (
        told | {"peak MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)} | reading(store, settings)
    )


# both sides


def child(path: str, what: str, size: int, folder: Path) -> dict[str, float]:
    """A part of this script in a process of its own, which imports the code at `path`."""
    surroundings = os.environ | {"PYTHONPATH": path}
    words = [sys.executable, __file__, "--child", what, "--sizes", str(size), "--folder", str(folder)]
    return json.loads(
        subprocess.run(words, env=surroundings, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1]
    )


def exponents(rows: dict[str, dict[str, float]]) -> dict[str, float]:
    """Of each measure that grows: the slope of its logarithm over that of the size."""
    sizes = [int(size) for size in rows if int(size) >= SMALL]
    found = {}
    for name in rows[str(sizes[-1])] if len(sizes) > 1 else ():
        values = [rows[str(size)].get(name, 0) for size in sizes]
        if all(value > 0 for value in values):
            found[name] = round(float(np.polyfit(np.log(sizes), np.log(values), 1)[0]), 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 4000, 12500], help="shards")
    parser.add_argument("--commits", type=int, default=10_000, help="the further size at which commits are measured")
    parser.add_argument("--before", default=BEFORE, help="the commit that is the other side")
    parser.add_argument("--most-before", type=int, default=1000, help="shards up to which the other side is measured")
    parser.add_argument("--parts", nargs="+", choices=("commits", "run"), default=["commits", "run"])
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.child:
        told = {"commits": commits, "make": make, "commands": commands}[options.child](options.sizes[0], options.folder)
        print(json.dumps(told))
        return
    earlier = json.loads(options.out.read_text()) if options.out and options.out.is_file() else {}
    result = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "before": options.before,
        "commits": {"before": {}, "now": {}},
        "run": {"before": {}, "now": {}},
    } | {part: rows for part, rows in earlier.items() if part not in options.parts}

    def keep() -> None:
        for part in ("commits", "run"):
            result[f"exponents of {part}"] = {side: exponents(rows) for side, rows in result[part].items() if rows}
        result["load"] = [round(value, 1) for value in os.getloadavg()]
        if options.out:
            options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    with code_of(options.before) as before, code_of(None) as now, tempfile.TemporaryDirectory() as folder:
        for part, size in product(options.parts, sorted({*options.sizes, options.commits})):
            if part == "run" and size not in options.sizes:
                continue
            sides = {"before": before, "now": now} if size <= options.most_before else {"now": now}
            for side, path in sides.items():
                place, told = Path(folder) / f"run-{size}", {}
                for what in ("commits",) if part == "commits" else ("make", "commands"):
                    told |= child(path, what, size, place)
                shutil.rmtree(place)
                result[part][side][str(size)] = told
                print(size, side, json.dumps(told), flush=True)
                keep()


if __name__ == "__main__":
    main()
