"""One process at a time works on a run."""

import contextlib
import fcntl
from pathlib import Path

from data.errors import UserError


@contextlib.contextmanager
def run_lock(folder: Path):
    """Hold the run; the system lets go of it when the process ends, however it ends. Raises UserError if another
    holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / ".lock", "w")
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
