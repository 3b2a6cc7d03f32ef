"""Kill runs of the dataset at random moments, resume them, and compare with an undisturbed run.

    python benchmarks/chaos.py --runs 50 --out benchmarks/chaos.json [--set candidates.count=14 ...]

Each run is killed once with SIGKILL, at a moment drawn over the length of an undisturbed run: the process of the flow,
one of its workers, or the Prefect server (started again 3 s later on the same database). Then the same command is given
until it succeeds. A run that ended before its moment does not count; it shortens the length for the others. Told for
each: attempts, seconds, whether the dataset's digest is that of the undisturbed run, files that no manifest names, and
shards whose file was written again after their commit.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

import psutil

from salmu.data.keyed import generator
from salmu.data.store import Store
from salmu.flows.running.stages import STAGES

TARGETS = ("flow", "worker", "server")
MOST_ATTEMPTS = 6


class Server:
    """A Prefect server on one port and one database, that can be killed and started again."""

    def __init__(self, home: Path):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.surroundings = os.environ | {"PREFECT_HOME": str(home), "PREFECT_API_URL": self.url}
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "salmu.flows.running.processes", str(self.port)]
        surroundings = self.surroundings | {"PREFECT__SERVER_EPHEMERAL": "1"}
        self.process = subprocess.Popen(command, env=surroundings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            with contextlib.suppress(OSError):
                if urllib.request.urlopen(f"{self.url}/health", timeout=5).status == 200:
                    return
            time.sleep(0.3)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def run_command(folder: Path, arguments: list[str]) -> list[str]:
    command = ["run", "--run", folder.name, "--runs", str(folder.parent), "--profile", "tiny", "--until", "dataset"]
    return [sys.executable, "-m", "salmu", *command, *arguments]


def digest_of(folder: Path) -> str:
    return json.loads((folder / "dataset" / "provenance.json").read_text())["dataset_digest"]


def commits(folder: Path) -> dict[tuple[str, str], int]:
    """(stage, fingerprint) of each committed shard -> when its file was written, in nanoseconds."""
    store, found = Store(folder), {}
    for stage in STAGES:
        for entry in store.manifest(stage).shards:
            with contextlib.suppress(FileNotFoundError):
                written = store.part_path(stage, entry.index).stat().st_mtime_ns
                found[stage, entry.fingerprint] = written
    return found


def strike(target: str, run: subprocess.Popen, server: Server, rng) -> str:
    """Kill the target; returns what was killed, which is the flow where there is no worker at this moment."""
    if target == "server":
        server.kill()
        time.sleep(3)
        server.start()
        return "server"
    with contextlib.suppress(psutil.NoSuchProcess):
        children = psutil.Process(run.pid).children(recursive=True)
        workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        if target == "worker" and workers:
            workers[int(rng.integers(len(workers)))].kill()
            return "worker"
    run.send_signal(signal.SIGKILL)
    return "flow"


def disturbed(number: int, seed: int, folder: Path, arguments: list[str], length: float, server: Server) -> dict:
    rng = generator(seed, "chaos", number)
    target, moment = TARGETS[int(rng.integers(len(TARGETS)))], float(rng.uniform(0.0, 1.0)) * length
    began, errors = time.perf_counter(), []
    log = folder.with_suffix(".log")
    with log.open("w") as output:
        run = subprocess.Popen(run_command(folder, arguments), env=server.surroundings, stdout=output, stderr=output)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(moment)
        ended_before = run.poll() is not None
        before = commits(folder)
        killed = None if ended_before else strike(target, run, server, rng)
        code, attempts = run.wait(), 1
        while code != 0 and attempts < MOST_ATTEMPTS:
            errors.append(code)
            run = subprocess.Popen(
                run_command(folder, arguments), env=server.surroundings, stdout=output, stderr=output
            )
            code, attempts = run.wait(), attempts + 1
    after, store = commits(folder), Store(folder)
    return {
        "run": number,
        "killed": killed,
        "at_second": round(moment, 1),
        "committed_then": len(before),
        "attempts": attempts,
        "exit_codes": [*errors, code],
        "seconds": round(time.perf_counter() - began, 1),
        "digest": digest_of(folder) if code == 0 else None,
        "orphans": sum(len(store.orphans(stage)) for stage in STAGES),
        "made_again": sum(after.get(key) != written for key, written in before.items()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    arguments = [word for assignment in options.assignments for word in ("--set", assignment)]
    arguments += ["--workers", str(options.workers)]
    home = Path(tempfile.mkdtemp(prefix="salmu-chaos-"))
    server = Server(home / "prefect")
    try:
        start = time.perf_counter()
        command = run_command(home / "undisturbed", arguments)
        subprocess.run(command, env=server.surroundings, check=True, stdout=subprocess.DEVNULL)
        length, expected = time.perf_counter() - start, digest_of(home / "undisturbed")
        print(f"undisturbed: {length:.1f} s, {expected}", flush=True)
        rows, number, spared = [], 0, 0
        while len(rows) < options.runs:
            row = disturbed(number, options.seed, home / f"run-{number}", arguments, length, server)
            row["equal"] = row.pop("digest") == expected
            print(json.dumps(row), flush=True)
            if row["equal"]:
                shutil.rmtree(home / f"run-{number}")
            number += 1
            if row["killed"] or not row["equal"]:
                rows.append(row)
            else:
                spared, length = spared + 1, min(length, row["seconds"])
        result = {
            "settings": ["profile tiny, until dataset", *options.assignments],
            "workers": options.workers,
            "undisturbed_seconds": round(length, 1),
            "runs": len(rows),
            "ended_before_their_moment": spared,
            "killed": Counter(str(row["killed"]) for row in rows),
            "equal_digests": sum(row["equal"] for row in rows),
            "orphans": sum(row["orphans"] for row in rows),
            "shards_made_again_after_their_commit": sum(row["made_again"] for row in rows),
            "attempts": Counter(row["attempts"] for row in rows),
            "rows": rows,
        }
        print(json.dumps({key: value for key, value in result.items() if key != "rows"}, indent=1))
        if options.out:
            options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    finally:
        server.kill()
        if not any(home.glob("run-*/")):
            shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
