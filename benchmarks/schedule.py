"""How busy two workers are in pair and benchmark: the work lists of the flows, dealt out by a clock that is simulated,
with the seconds that each task took in a run.

    python benchmarks/schedule.py runs/tiny [--training 158] [--fragile 5] [--workers 2]

A method takes the CPU seconds of its unlearning.json. Each evaluation takes those of the quickest one in the run, each
training the given seconds: their records hold wall time, which other work on the machine lengthens. "before": the
phases that the flows had until 2026-11, each of which waited for the last task of the one before. Prints a Markdown
table and writes benchmarks/schedule.json."""

import argparse
import heapq
import json
from collections.abc import Callable
from pathlib import Path

from salmu.data.store import Store
from salmu.flows.benchmark import benchmark_work, evaluate_model, unlearn_model
from salmu.flows.running.worker_pools import Work
from salmu.flows.settings import open_run
from salmu.flows.training import measure_pair, pair_work, train_model

OUT = Path(__file__).with_suffix(".json")


def dealt(work: list[Work], seconds: Callable[[Work], float], workers: int, began: float = 0.0) -> list[tuple]:
    """(work, begin, end) of each task: as submit_with_retry has them done by workers that take the oldest first."""
    waiting, undone, queue, running, done = list(work), {one.name for one in work}, [], [], []
    now, free = began, workers
    while waiting or queue or running:
        ready = [one for one in waiting if not undone.intersection(one.after)]
        waiting = [one for one in waiting if one not in ready]
        queue += ready
        while queue and free:
            one, free = queue.pop(0), free - 1
            heapq.heappush(running, (now + seconds(one), len(done), one, now))
            done.append(one)
        now, _, one, _ = finished = heapq.heappop(running)
        undone.discard(one.name)
        free += 1
        done[finished[1]] = (one, finished[3], now)
    return done


def in_phases(work: list[Work], seconds: Callable[[Work], float], workers: int) -> list[tuple]:
    """As it was: the first two trainings; the others with the methods in their order; the fragile set; the scores of
    the pair; those of the methods."""
    kinds = {kind: [one for one in work if one.task is kind] for kind in (train_model, unlearn_model, measure_pair)}
    scores = [one for one in work if one.task is evaluate_model]
    pair = [one for one in scores if one.parameters["model"].startswith("models/")]
    quickest_first = sorted(kinds[unlearn_model], key=seconds)  # the profile names the longest method last
    phases = [
        kinds[train_model][:2],
        kinds[train_model][2:] + quickest_first,
        kinds[measure_pair],
        pair,
        [one for one in scores if one not in pair],
    ]
    done, now = [], 0.0
    for phase in phases:
        done += dealt([one._replace(after=()) for one in phase], seconds, workers, now)
        now = max(end for _, _, end in done)
    return done


def busy(done: list[tuple], workers: int) -> dict[str, float]:
    """Of the time from the first method's begin to the end."""
    begin = min(begin for one, begin, _ in done if one.task is unlearn_model)
    end = max(end for _, _, end in done)
    worked = sum(max(0.0, last - max(first, begin)) for _, first, last in done)
    return {
        "all_s": round(end, 1),
        "benchmark_s": round(end - begin, 1),
        "busy": round(worked / workers / (end - begin), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--training", type=float, default=158.0, help="seconds of a training")
    parser.add_argument("--fragile", type=float, default=5.0, help="seconds of the choice of the fragile set")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    store, (_, settings) = Store(options.run), open_run(str(options.run.parent), options.run.name, None, {})
    results = sorted((options.run / "results").glob("*.json"))
    score = min(json.loads(path.read_text())["extended"]["cost"]["seconds"] for path in results)

    def seconds(one: Work) -> float:
        if one.task is unlearn_model:
            record = options.run / "unlearned" / one.parameters["run"].folder / "unlearning.json"
            return json.loads(record.read_text())["cpu_seconds"]
        return {train_model: options.training, evaluate_model: score, measure_pair: options.fragile}[one.task]

    work = [*pair_work(store, settings), *benchmark_work(store, settings)]
    record = {"training_s": options.training, "evaluation_s": score, "workers": options.workers}
    record["methods_s"] = {one.parameters["run"].folder: seconds(one) for one in work if one.task is unlearn_model}
    record["before"] = busy(in_phases(work, seconds, options.workers), options.workers)
    record["now"] = busy(dealt(work, seconds, options.workers), options.workers)
    OUT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print("| | pair and benchmark, s | from the first method on, s | workers busy |\n|---|---|---|---|")
    for name in ("before", "now"):
        found = record[name]
        print(f"| {name} | {found['all_s']} | {found['benchmark_s']} | {found['busy']:.0%} |")


if __name__ == "__main__":
    main()
