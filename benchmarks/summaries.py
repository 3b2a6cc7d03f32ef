"""What the summary of each stage costs beside the work that it sums up.

    python benchmarks/summaries.py RUN [--before COMMIT] [--shards 1] --out benchmarks/summaries.json

In a process of its own on each side, before a change and now: some shards of each stage of a finished run are made
again with a loaded engine, and written elsewhere; then the stage is summarised. CPU seconds of the process: of the work
those of a shard times the number of shards; of a summary the median of five after a first one, which loads what it
needs. Both sides summarise the same files; what the work of today notes for the summary is added to them."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from both_sides import code_of

from salmu.data.store import Store
from salmu.flows.running.stages import STAGES, planned, upstream_views
from salmu.flows.settings import load_run

BEFORE = "efe407b"
REPEATS = 5


def costs(run: Path, most: int, elsewhere: Path) -> dict[str, dict]:
    """Stage -> CPU seconds of its work and of its summary."""
    store, settings, found = Store(run), load_run(run), {}
    for name, module in STAGES.items():
        own, plan = getattr(settings, name), planned(store, name, getattr(settings, name))
        some = [(shard, expected) for shard, expected in plan if shard.items][:most]
        engine = module.load_engine(own) if hasattr(module, "load_engine") else None
        views, work, entries = upstream_views(store, name), [], []
        for shard, expected in some[:1] + some:  # the first once more: it loads what the work needs
            more = [Store(elsewhere).work(name, module.SCHEMA, shard.index, expected)]
            start = time.process_time()
            result = module.run(shard, own, views, engine, *more[: getattr(module, "KEEPS_WORK", False)])
            entry = Store(elsewhere).write_shard(name, module.SCHEMA, shard, result, expected, 0.0)
            work.append(time.process_time() - start)
            entries.append(entry)
        view = store.view(name, module.KEY)
        if len(plan) == 1 and some and getattr(entries[-1], "notes", None):  # as a run of today leaves them
            view.manifest.shards[0].notes = entries[-1].notes
        told = []
        for _ in range(REPEATS + 1):
            start = time.process_time()
            module.summarise(own, view, upstream_views(store, name))
            told.append(time.process_time() - start)
        whole = sum(work[1:]) / max(len(some), 1) * len(plan)
        summary = statistics.median(told[1:])
        found[name] = {"work": round(whole, 3), "summary": round(summary, 3), "first summary": round(told[0], 3)}
        if whole:
            found[name]["share"] = round(summary / whole, 3)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a finished run; it is read, never changed")
    parser.add_argument("--before", default=BEFORE, help="the commit that is the other side")
    parser.add_argument("--shards", type=int, default=1, help="shards of a stage that are made")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.child:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(costs(options.run, options.shards, Path(folder))))
        return
    result = {"load": [round(value, 1) for value in os.getloadavg()], "before": {}, "now": {}}
    for side, commit in (("before", options.before), ("now", None)):
        with code_of(commit) as path:
            words = [sys.executable, __file__, str(options.run), "--child", "--shards", str(options.shards)]
            done = subprocess.run(words, env=os.environ | {"PYTHONPATH": path}, check=True, stdout=subprocess.PIPE)
            result[side] = json.loads(done.stdout.splitlines()[-1])
    for name, now in result["now"].items():
        before = result["before"][name]
        told = f"summary before {before['summary']:.2f} s, now {now['summary']:.2f} s"
        print(f"{name:<11} work {now['work']:8.2f} s; {told}")
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
