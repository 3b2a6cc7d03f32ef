"""One process at a time works on a run."""

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path

from salmu.data.errors import UserError
from salmu.data.keyed import digest


def lock_file(folder) -> Path:
    """Where a run's lock lies: in its folder; for a run in an object store, in this machine's folder for temporary
    files."""
    if isinstance(folder, Path):
        return folder / ".lock"
    return Path(tempfile.gettempdir()) / f"salmu-runs-{os.getuid()}" / f"{digest(str(folder))}.lock"


@contextlib.contextmanager
def run_lock(folder):
    """Hold the run; the system lets go of it when the process ends, however it ends. Raises UserError if another
    holds it.

    A run in an object store is guarded against processes of this machine only: start it from one machine at a time."""
    path = lock_file(folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "w")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}; choose another folder with --runs") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{folder}: another process works on this run; wait for it or use another --run NAME"
            ) from None
        yield
