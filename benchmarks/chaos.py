"""Kill runs at moments spread over their progress, give the same command again, and compare with an undisturbed run.

    python benchmarks/chaos.py --kills 50 --out benchmarks/chaos.json

One small run is made undisturbed, with its gallery and a published copy. Each trial copies it, takes away what one
phase makes, starts the command that makes it, and kills with SIGKILL: the command, one of its workers, the process that
they are forked from, or its Prefect server. In the dataset stages the moments are numbers of committed shards, spread
evenly; in the other phases, shares of the time that the phase took undisturbed, spread evenly from its first file on.
Start-up begins with the command itself.

Told for each trial: what was killed and when, attempts and exit codes until the command succeeded, processes of the
command that were left 10 s after its end, and whether everything is equal to the undisturbed run: manifests, published
files, weights, results without their cost, gallery and copy.
"""

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil
import yaml

from salmu.data.keyed import generator
from salmu.data.store import Store
from salmu.flows.running.stages import STAGES

SETTINGS = {
    "profile": "tiny",
    "seed": 0,
    "candidates": {"source": "procedural", "count": 14, "shard_size": 4},
    "anchors": {"count": 12},
    "portraits": {"per_identity": 8, "short_side": 96, "identities_per_shard": 2},
    "analysis": {"identities_per_shard": 3},
    "curation": {"identities": 8, "retain_identities": 2, "min_portraits": 4},
    "captions": {"shard_size": 2},
    "publish": {"samples_per_tar": 20, "rows_per_file": 20},
    "pair": {"threads": 1, "scenes": 100, "everyday": 10, "epochs": 1},
    "unlearning": {
        "threads": 1,
        "budgets": [0.5],
        "methods": {"finetuning": {"retain_scenes": 60}, "negative_gradient": {"retain_scenes": 60}},
    },
    "evaluation": {"threads": 1, "zero_shot_per_class": 1, "bootstrap_replicates": 100},
}
TARGETS = ("command", "worker", "forkserver", "server")
MARK = "SALMU_CHAOS"  # in the environment of every process of a trial
MOST_ATTEMPTS = 6
GRACE = 10  # seconds in which the processes of a killed command must have ended
TIMES = re.compile("second|memory|content_digest|encoded")  # keys of results that differ from run to run: the cost


class Phase(NamedTuple):
    """What a trial takes away, the command that makes it again, and the files that show where it is."""

    removed: tuple[str, ...]
    command: str
    first: str | None  # of this pattern, files that are there when it has begun; None: it begins with the command
    last: str  # of this pattern, files that are there when it has ended


PHASES = {
    "start-up": Phase(("assembly",), "run --until dataset", None, "assembly/manifest.json"),
    "stages": Phase(tuple(STAGES), "run --until dataset", None, "assembly/manifest.json"),
    "publish": Phase(("dataset",), "run --until dataset", ".dataset.new", "dataset/provenance.json"),
    "pair": Phase(("models",), "run --until pair", "models", "models/*/training.json"),
    "unlearning": Phase(("unlearned",), "run", "unlearned", "unlearned/*/unlearning.json"),
    "evaluation": Phase(("results", "cache"), "run", "cache", "results/*.json"),
    "report": Phase(("report", "leaderboard.jsonl"), "run", "leaderboard.jsonl", "report/index.html"),
    "gallery": Phase(("gallery",), "gallery", None, "gallery/index.html"),
    "publish --to": Phase(("copy",), "publish", None, "copy/provenance.json"),
}
ROUND = (*PHASES, "stages", "start-up", "stages", "pair")  # the phases of the trials, over and over


def words(command: str, folder: Path) -> list[str]:
    """A command of the command line on a run."""
    more = ["--to", str(folder / "copy")] if command == "publish" else []
    return [sys.executable, "-m", "salmu", *command.split(), "--run", folder.name, "--runs", str(folder.parent), *more]


def started(command: list[str], mark: str, log: Path) -> subprocess.Popen:
    surroundings = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"} | {MARK: mark}
    surroundings["PREFECT_HOME"] = str(log.with_name("prefect"))  # of all trials, as a person has one
    with log.open("a") as output:
        return subprocess.Popen(command, env=surroundings, stdout=output, stderr=output)


def marked(mark: str) -> list[psutil.Process]:
    """The living processes of a trial, whoever is their parent now."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def left_over(mark: str) -> int:
    """How many processes are left after GRACE seconds; they are ended then."""
    deadline = time.monotonic() + GRACE
    while (found := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.5)
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.kill()
    return len(found)


def committed(folder: Path) -> int:
    """Shards that the manifests name."""
    return sum(len(Store(folder).manifest(stage).shards) for stage in STAGES)


def count(folder: Path, pattern: str) -> int:
    return sum(1 for _ in folder.glob(pattern))


def await_moment(phase: str, share: float, folder: Path, whole: Path, seconds: float, alive: Callable) -> None:
    """Return at the moment of the kill, or when the command has ended."""
    _, _, first, last = PHASES[phase]
    if phase == "stages":
        shards = share * committed(whole)
        while alive() and committed(folder) < shards:
            time.sleep(0.05)
        return
    while alive() and first and not count(folder, first):
        time.sleep(0.02)
    deadline = time.monotonic() + share * seconds
    while alive() and time.monotonic() < deadline and count(folder, last) < count(whole, last):
        time.sleep(0.02)


def strike(target: str, command: subprocess.Popen, mark: str) -> str:
    """Kill the target; returns what was killed, which is the command where there is no such process at this moment."""
    for process in marked(mark):
        with contextlib.suppress(psutil.Error):
            line, parent = " ".join(process.cmdline()), process.ppid()
            forked = "multiprocessing.forkserver" in line
            is_of = {
                "server": "salmu.flows.running.processes" in line,
                "forkserver": forked and parent == command.pid,
                "worker": forked and parent != command.pid,
            }
            if is_of.get(target):
                process.kill()
                return target
    command.send_signal(signal.SIGKILL)
    return "command"


def fingerprints(folder: Path) -> dict[str, str]:
    """What must be equal: name -> digest."""
    found = {f"manifest of {stage}": Store(folder).manifest(stage).digest for stage in STAGES}
    for place in ("dataset", "copy", "gallery", "models", "unlearned", "results"):
        for path in sorted((folder / place).rglob("*")):
            name = path.relative_to(folder).as_posix()
            if not path.is_file() or path.name in ("training.json", "unlearning.json") or "/logs/" in name:
                continue
            if place == "models" and path.name == "README.md":  # it tells the seconds, and metrics once there are any
                continue
            content = path.read_bytes()
            if place == "results":
                content = json.dumps(without_times(json.loads(content)), sort_keys=True).encode()
            found[name] = hashlib.sha256(content).hexdigest()
    return found


def without_times(value):
    if isinstance(value, dict):
        return {key: without_times(inner) for key, inner in value.items() if not TIMES.search(key)}
    return [without_times(inner) for inner in value] if isinstance(value, list) else value


def undisturbed(folder: Path) -> dict[str, float]:
    """Make the run whole, with gallery and copy, then each phase once more. Returns the seconds of each phase."""
    profile, log = folder.with_suffix(".yaml"), folder.with_suffix(".log")
    profile.write_text(yaml.safe_dump(SETTINGS), encoding="utf-8")
    for command in ("run", "gallery", "publish"):
        more = ["--profile", str(profile)] if command == "run" else []
        if started([*words(command, folder), *more], "undisturbed", log).wait():
            raise SystemExit(log.read_text())
    return {phase: lasted(phase, folder) for phase in PHASES if phase != "stages"}


def lasted(phase: str, whole: Path) -> float:
    """Seconds of a phase that nobody disturbs, from its first file on."""
    folder = whole.parent / "undisturbed" / whole.name
    without(phase, whole, folder)
    command = started(words(PHASES[phase].command, folder), "undisturbed", whole.with_suffix(".log"))
    await_moment(phase, 0.0, folder, whole, 0.0, lambda: command.poll() is None)
    began = time.monotonic()
    await_moment(phase, 1.0, folder, whole, float("inf"), lambda: command.poll() is None)
    seconds = time.monotonic() - began
    if command.wait():
        raise SystemExit(whole.with_suffix(".log").read_text())
    shutil.rmtree(folder.parent)
    return round(seconds, 2)


def without(phase: str, whole: Path, folder: Path) -> None:
    """A copy of the whole run that lacks what the phase makes."""
    shutil.copytree(whole, folder)
    for name in PHASES[phase].removed:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def trial(number: int, seed: int, trials: int, folder: Path, whole: Path, seconds: dict[str, float]) -> dict:
    """One kill, and the same command until it succeeds."""
    phase = ROUND[number % len(ROUND)]
    same = [other for other in range(trials) if ROUND[other % len(ROUND)] == phase]
    share = (same.index(number) + 0.5) / len(same)
    target = TARGETS[int(generator(seed, "chaos", number).integers(len(TARGETS)))]
    without(phase, whole, folder)
    mark, log, began = str(folder), folder.parent.with_suffix(".log"), time.perf_counter()
    command = started(words(PHASES[phase].command, folder), mark, log)
    await_moment(phase, share, folder, whole, seconds.get(phase, 0.0), lambda: command.poll() is None)
    row = {"trial": number, "phase": phase, "share": round(share, 3), "second": round(time.perf_counter() - began, 1)}
    row |= {"committed": committed(folder), "killed": "nothing: it had ended"}
    if command.poll() is None:
        row["killed"] = strike(target, command, mark)
    codes = [command.wait()]
    left = left_over(mark)
    while codes[-1] != 0 and len(codes) < MOST_ATTEMPTS:
        codes.append(started(words(PHASES[phase].command, folder), mark, log).wait())
    left += left_over(mark)
    theirs, ours = fingerprints(whole), fingerprints(folder)
    differing = sorted(name for name in theirs.keys() | ours.keys() if theirs.get(name) != ours.get(name))
    orphans = sum(len(Store(folder).orphans(stage)) for stage in STAGES)
    row |= {"exit_codes": codes, "processes_left": left, "orphans": orphans, "equal": not differing}
    return row | ({"differing": differing[:5]} if differing else {})


def summary(rows: list[dict], seconds: dict[str, float], asked: int) -> dict:
    return {
        "settings": SETTINGS,
        "seconds_undisturbed": seconds,
        "trials_asked_for": asked,
        "trials": len(rows),
        "kills": sum(row["killed"] in TARGETS for row in rows),
        "killed": Counter(row["killed"] for row in rows),
        "phases": Counter(row["phase"] for row in rows),
        "equal": sum(row["equal"] for row in rows),
        "processes_left": sum(row["processes_left"] for row in rows),
        "orphans": sum(row["orphans"] for row in rows),
        "attempts": Counter(len(row["exit_codes"]) for row in rows),
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--first", type=int, default=0, help="number of the first trial, where several share the work")
    parser.add_argument("--last", type=int, help="number of the last trial")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="written after every trial")
    options = parser.parse_args()
    home, rows = Path(tempfile.mkdtemp(prefix="salmu-chaos-")), []
    seconds = undisturbed(home / "whole")
    print(json.dumps(seconds), flush=True)
    for number in range(options.first, options.kills if options.last is None else options.last + 1):
        folder = home / f"trial-{number}" / "whole"  # pages show the run's name
        row = trial(number, options.seed, options.kills, folder, home / "whole", seconds)
        print(json.dumps(row), flush=True)
        rows.append(row)
        if options.out:
            told = summary(rows, seconds, options.kills)
            options.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        if row["equal"]:
            shutil.rmtree(folder.parent)
    if all(row["equal"] for row in rows):
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
