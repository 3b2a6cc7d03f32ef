"""One process at a time works on a run, and every other process can see which one."""

import contextlib
import fcntl
import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from salmu.data.documents import parsed
from salmu.data.errors import UserError
from salmu.data.keyed import digest
from salmu.data.text import printable

TRIES, PAUSE = 5, 0.1  # seconds; whoever looks at a lock holds it for an instant

LONGEST = 2**16  # bytes that are read of a lock; it has about 100


class Holder(NamedTuple):
    """The process that works on a run, or, where `alive` is false, one that died while it did."""

    host: str
    pid: int
    since: str  # local time, ISO 8601
    alive: bool

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since.replace('T', ' ')}" if self.pid else "just begun"


def lock_file(folder) -> Path:
    """Where a run's lock lies: in its folder; for a run in an object store, in this machine's folder for temporary
    files."""
    if isinstance(folder, Path):
        return folder / ".lock"
    return Path(tempfile.gettempdir()) / f"salmu-runs-{os.getuid()}" / f"{digest(str(folder))}.lock"


@contextlib.contextmanager
def run_lock(folder) -> Iterator[None]:
    """Hold the run; the system lets go of it when the process ends, however it ends. Raises UserError if another
    holds it.

    A run in an object store is guarded against processes of this machine only: start it from one machine at a time."""
    path = lock_file(folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}; choose another folder with --runs") from None
    with file:
        for pause in (*[PAUSE] * (TRIES - 1), None):
            if _locked(file, fcntl.LOCK_EX):
                break
            if pause is None:
                raise _refusal(folder, holder(folder))
            time.sleep(pause)
        _write(file, {"host": socket.gethostname(), "pid": os.getpid(), "since": f"{datetime.now():%FT%T}"})
        try:
            yield
        finally:
            _write(file, None)


def holder(folder) -> Holder | None:
    """Who works on the run now; or who did when it died, if nobody has worked on it since. None: nobody."""
    try:
        with open(lock_file(folder), "rb") as file:
            alive = not _locked(file, fcntl.LOCK_SH)
            content = file.read(LONGEST)
    except OSError:
        return None
    try:
        known = parsed(content)
        return Holder(printable(str(known["host"])), int(known["pid"]), printable(str(known["since"])), alive)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        # an empty file, one that is just being written, or a damaged one
        return Holder("", 0, "", True) if alive else None


def require_free(folder) -> None:
    """Raises UserError if a process works on the run."""
    found = holder(folder)
    if found and found.alive:
        raise _refusal(folder, found)


def _refusal(folder, found: Holder | None) -> UserError:
    who = f" ({found})" if found else ""
    return UserError(f"{folder}: another process works on this run{who}; wait for it or use another --run NAME")


def _locked(file, kind: int) -> bool:
    """Whether this process got the lock; it lets go of it when the file is closed."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(file, content: dict | None) -> None:
    """What others read of the holder; nothing once it has let go."""
    file.truncate(0)
    file.write(json.dumps(content) if content else "")
    file.flush()
