"""The tiny dataset on each runner: seconds from command to end, and whether the digests are equal.

python benchmarks/runners.py --out benchmarks/runners.json
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNNERS = ("process", "thread", "ray", "dask")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    changes = [word for assignment in options.assignments for word in ("--set", assignment)]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for runner in RUNNERS:
            command = [sys.executable, "-m", "salmu", "run", "--profile", "tiny", "--until", "dataset"]
            command += ["--run", runner, "--runs", folder, "--runner", runner, "--workers", str(options.workers)]
            start = time.perf_counter()
            subprocess.run([*command, *changes], check=True, stdout=subprocess.DEVNULL)
            seconds = round(time.perf_counter() - start, 1)
            provenance = json.loads((Path(folder) / runner / "dataset" / "provenance.json").read_text())
            rows.append({"runner": runner, "seconds": seconds, "dataset_digest": provenance["dataset_digest"]})
            print(json.dumps(rows[-1]), flush=True)
    result = {
        "workers": options.workers,
        "settings": options.assignments,
        "equal": len({row["dataset_digest"] for row in rows}) == 1,
        "rows": rows,
    }
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
