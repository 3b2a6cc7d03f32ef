"""A run of the whole chain that several files of tests share: the profile smoke with more shards, pairs and methods."""

import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

CHANGES = [
    "portraits.identities_per_shard=3",
    "captions.shard_size=4",
    "pair.seeds=2",
    "unlearning.methods={negative_gradient: {}, as_retrained: "
    "{strangers: 20, others: 100, scenes: 60, made_portraits: 20}}",
]
UMASK = 0o027  # of the process that makes it


def words_of(run: str, runs: Path, *more: str) -> list[str]:
    """The command `salmu run` with these settings."""
    changes = [word for assignment in CHANGES for word in ("--set", assignment)]
    return ["run", "--profile", "smoke", "--run", run, "--runs", str(runs), *more, *changes]


def made_once(folder: Path) -> Path:
    """The run in `folder`, made by the first process that asks."""
    run = folder / "smoke" / "whole"
    with FileLock(folder / "smoke.lock"):
        if not (run / "report" / "index.html").is_file():
            shutil.rmtree(run, ignore_errors=True)
            command = [sys.executable, "-m", "salmu", *words_of(run.name, run.parent, "--workers", "2")]
            made = subprocess.run(command, capture_output=True, text=True, umask=UMASK, timeout=600)
            assert made.returncode == 0 and "report:" in made.stdout, made.stderr[-2000:]
    return run
