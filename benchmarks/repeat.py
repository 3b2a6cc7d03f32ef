"""Run the tests that touch threads, processes or sockets again and again: does one of them fail once in a while?

    python benchmarks/repeat.py tests/flows/test_pools.py tests/flows/test_cli.py [--times 20] [--json FILE]

The first pass runs all tests of the files and watches which of them start a thread or a process or make a socket; the
others run those alone. Each pass is a pytest of its own; the run that several files share is made once. The JSON has a
row a file and is written after every pass; what a later command does is added to it, so the work can be done in several
sittings: a row counts the passes of each commit. Exits with 1 if a test failed."""

import argparse
import json
import multiprocessing.process
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PASS_SECONDS = 2700
WATCHED = (
    (threading.Thread, "start"),
    (subprocess.Popen, "__init__"),
    (multiprocessing.process.BaseProcess, "start"),
    (socket.socket, "__init__"),
)


class Watch:
    """The plugin of the first pass: writes the names of the tests that touch something of WATCHED, one a line."""

    def __init__(self, place: Path):
        self.place, self.test, self.found = place, None, {}
        for owner, name in WATCHED:
            self._watch(owner, name)

    def _watch(self, owner: type, name: str) -> None:
        function = getattr(owner, name)

        def noted(*arguments, **options):
            if self.test:
                self.found[self.test] = None
            return function(*arguments, **options)

        setattr(owner, name, noted)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self.test = item.nodeid
        try:
            return (yield)
        finally:
            self.test = None

    def pytest_sessionfinish(self):
        self.place.write_text("\n".join(self.found), encoding="utf-8")


class Chosen:
    """The plugin of the other passes: keeps the tests that the first one found."""

    def __init__(self, place: Path):
        self.names = set(place.read_text(encoding="utf-8").splitlines())

    def pytest_collection_modifyitems(self, config, items):
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in self.names])
        items[:] = [item for item in items if item.nodeid in self.names]


def pytest_configure(config):
    """This module is the plugin of a pass (-p benchmarks.repeat)."""
    place = Path(os.environ["SALMU_REPEAT"])
    config.pluginmanager.register(Chosen(place) if place.is_file() else Watch(place))


class Outcome(NamedTuple):
    file: str  # the module's name, as tests.flows.test_pools
    test: str
    failed: bool


def one_pass(files: list[str], names: Path, home: Path) -> list[Outcome]:
    """What became of the tests. `names`: the file of the chosen ones; the first pass writes it."""
    report = home / "report.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "benchmarks.repeat", f"--junitxml={report}", *files]
    surroundings = os.environ | {"SALMU_REPEAT": str(names), "SALMU_SMOKE_RUN": str(home), "PYTHONPATH": str(ROOT)}
    with (home / "output.txt").open("w") as output:
        try:
            subprocess.run(command, cwd=ROOT, env=surroundings, stdout=output, stderr=output, timeout=PASS_SECONDS)
        except subprocess.TimeoutExpired:
            raise SystemExit(f"a pass did not end within {PASS_SECONDS} s:\n{output_of(home)}") from None
    if not report.is_file():
        raise SystemExit(output_of(home))
    return [
        Outcome(case.get("classname"), case.get("name"), bool({"failure", "error"} & {part.tag for part in case}))
        for case in ElementTree.parse(report).iter("testcase")  # our own pytest wrote it
    ]


def added(row: dict[str, Any] | None, outcomes: list[Outcome], revision: str) -> dict[str, Any]:
    """The row of a file after one more pass. `tests`: those of the last pass."""
    row = row or {"passes": {}, "failed": []}
    return {
        "tests": len(outcomes),
        "passes": row["passes"] | {revision: row["passes"].get(revision, 0) + 1},
        "failed": row["failed"] + [one.test for one in outcomes if one.failed],
    }


def output_of(home: Path) -> str:
    return (home / "output.txt").read_text(encoding="utf-8", errors="replace")[-2000:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="files of tests")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    known = options.json and options.json.is_file()
    told: dict[str, Any] = json.loads(options.json.read_text(encoding="utf-8")) if known else {}
    command = ["git", "rev-parse", "--short", "HEAD"]
    revision = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="salmu-repeat-") as folder:
        names = Path(folder) / "names.txt"
        for number in range(1, options.times + 1):
            began = time.perf_counter()
            outcomes = one_pass(options.files, names, Path(folder))
            found += outcomes
            failed = [outcome.test for outcome in outcomes if outcome.failed]
            print(
                f"pass {number}: {len(outcomes)} tests, {time.perf_counter() - began:.0f} s, failed: {failed}",
                flush=True,
            )
            for file in sorted({outcome.file for outcome in outcomes}):
                told[file] = added(told.get(file), [one for one in outcomes if one.file == file], revision)
            if options.json:
                options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    sys.exit(any(outcome.failed for outcome in found))


if __name__ == "__main__":
    main()
