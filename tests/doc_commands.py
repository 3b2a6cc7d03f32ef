"""One command of the documentation, done in a process that has torch, open_clip and Prefect loaded already: a fork of
Python's fork server. Each command starts from the same state, as in a shell, without the seconds of its imports."""

import multiprocessing
import os
import runpy
import sys
from pathlib import Path

PRELOADED = [
    "salmu",
    "torch",
    "open_clip",
    "prefect.flows",
    "sklearn.linear_model",
    "scipy.stats",
    "datasets",
    "insightface",
]
MODULES = {"salmu": "salmu", "pytest": "pytest"}


def run(words: list[str], folder: Path, env: dict[str, str], seconds: int) -> tuple[int, str]:
    """Exit code and output of `salmu …`, `pytest …` or `python FILE …` in a folder, whose packages come first."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    log = folder / "output.log"
    process = context.Process(target=_become, args=(words, folder, env, log))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode, log.read_text(encoding="utf-8", errors="replace")


def _become(words: list[str], folder: Path, env: dict[str, str], log: Path) -> None:
    with open(log, "wb", buffering=0) as sink:
        for stream in (1, 2):
            os.dup2(sink.fileno(), stream)
    os.chdir(folder)
    for name in [name for name in os.environ if name.startswith("PYTEST_")]:
        del os.environ[name]
    os.environ.update(env)
    sys.path.insert(0, str(folder))
    program, *arguments = words
    if program == "python":
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")
    else:
        sys.argv = [program, *arguments]
        runpy.run_module(MODULES[program], run_name="__main__", alter_sys=True)
