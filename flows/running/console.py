"""What a run says in the terminal while it works."""

import os
import sys


def quiet() -> bool:
    """Whether errors and the final result are all that is wanted (--quiet)."""
    return os.environ.get("SALMU_QUIET") == "1"


def warn(text: str) -> None:
    """A line that must not be overlooked; it leaves the result on stdout alone."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


def say(text: str) -> None:
    """A line about what was done, unless the run is quiet."""
    if not quiet():
        print(text, flush=True)
