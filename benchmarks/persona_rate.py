"""What a persona costs and how the cost grows: CPU seconds of one thread at several sizes, and the most memory held.

    python benchmarks/persona_rate.py [--sizes 2000 20000] [--against PYTHON] [--repeats 5]

`--against`: the Python of an environment with another version of the project, measured in turns with this one; both
must make the same personas. Prints a Markdown table and writes benchmarks/persona_rate.json. What a further
persona costs is the difference of the largest and the smallest size: each process reads its tables once. A million on
two cores follows from it; a larger size of --sizes shows whether it stays the same."""

import argparse
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from salmu.data.identities import identity_id
from salmu.data.schemas import AGE_GROUPS, GENDERS, REGIONS
from salmu.tasks.personas import stage

OUT = Path(__file__).with_suffix(".json")
MILLION = 10**6


def make(count: int) -> dict:
    """Make personas in the order of their ids, as shards do."""
    settings = stage.Settings()
    fake, found = stage.load_engine(settings), hashlib.sha256()
    people = sorted(
        (identity_id(0, n), GENDERS[n % 2], AGE_GROUPS[n % len(AGE_GROUPS)], REGIONS[n % len(REGIONS)])
        for n in range(count)
    )
    traits = [dict(zip(stage.TRAITS, person, strict=True)) for person in people]
    stage.persona(traits[0], settings, fake)  # reads the tables
    began = time.thread_time()
    for one in traits:
        found.update(json.dumps(stage.persona(one, settings, fake)).encode())
    return {
        "seconds": time.thread_time() - began,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "digest": found.hexdigest()[:16],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[2000, 20_000])
    parser.add_argument("--against", help="Python of an environment with another version")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--make", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        print(json.dumps(make(options.make)))
        return
    pythons = {"before": options.against, "now": sys.executable} if options.against else {"now": sys.executable}
    runs: dict[tuple[str, int], list[dict]] = {}
    for size in options.sizes:
        for _ in range(options.repeats):
            for name, python in pythons.items():
                command = [python, __file__, "--make", str(size)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                runs.setdefault((name, size), []).append(json.loads(done.stdout))
        assert len({run["digest"] for name in pythons for run in runs[name, size]}) == 1, "other personas"
    record = {"load": round(os.getloadavg()[0], 1), "cores": os.cpu_count(), "repeats": options.repeats}
    print("| version | personas | µs each | memory MB |\n|---|---|---|---|")
    for name in pythons:
        seconds = {size: statistics.median(run["seconds"] for run in runs[name, size]) for size in options.sizes}
        record[name] = {
            size: {
                "microseconds_each": round(seconds[size] / size * 1e6, 1),
                "memory_mb": max(run["memory_mb"] for run in runs[name, size]),
            }
            for size in options.sizes
        }
        first, last = options.sizes[0], options.sizes[-1]
        each = (seconds[last] - seconds[first]) / (last - first)
        record[name] |= {
            "further_microseconds_each": round(each * 1e6, 1),
            "million_on_two_cores_s": round((seconds[last] + each * (MILLION - last)) / 2),
        }
        for size in options.sizes:
            print(
                f"| {name} | {size:,} | {record[name][size]['microseconds_each']} | {record[name][size]['memory_mb']} |"
            )
        print(f"| {name} | 1,000,000, on two cores | {record[name]['million_on_two_cores_s']} s | |")
    OUT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
