"""Runs the parts of a check in processes of their own, within a time."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from salmu.flows.settings import RunSettings

SURROUNDINGS = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}


class Outcome(NamedTuple):
    """What a part said, and why it did not get to its end; empty if it did."""

    records: list[dict[str, Any]]
    problem: str = ""


def isolated(name: str, settings: RunSettings, limit: float) -> Outcome:
    """A part of the check (see __main__.py), ended with all of its processes after `limit` seconds. Nothing is fetched
    from the hub."""
    with tempfile.TemporaryDirectory(prefix="salmu-check-") as folder:
        home = Path(folder)
        (home / "settings.json").write_text(settings.model_dump_json(), encoding="utf-8")
        command = [sys.executable, "-m", "salmu.flows.machine_check", name]
        command += [str(home / "settings.json"), str(home / "records.jsonl")]
        with open(home / "log", "wb") as log:
            process = subprocess.Popen(
                command,
                env=os.environ | SURROUNDINGS,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                process.wait(limit)
                problem = ""
            except subprocess.TimeoutExpired:
                problem = f"not finished within {limit:g} s (--limit)"
            finally:
                _end(process)
        records = _records(home / "records.jsonl")
        told = [record["problem"] for record in records if "problem" in record]
        problem = problem or (told[0] if told else _why(process.returncode, home / "log"))
        return Outcome([record for record in records if "problem" not in record], problem)


def _end(process: subprocess.Popen) -> None:
    """With everything that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def _records(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file; the last one may be cut off."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _why(code: int, log: Path) -> str:
    """Why a process ended with this code; empty if it ended well."""
    if code == 0:
        return ""
    if code == -signal.SIGKILL:
        return "killed by the system, most likely because the memory of this machine is too small"
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"{lines[-1][:300]}" if lines else f"ended with {code}"
