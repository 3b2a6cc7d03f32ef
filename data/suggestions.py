"""What an error message suggests: the command that helps, and the name that was probably meant."""

import difflib
import shlex
from collections.abc import Iterable
from pathlib import Path


def salmu_command(words: str, folder) -> str:
    """A command about the run in this folder: salmu_command("stage captions", Path("/data/runs/mine")) is
    "salmu stage captions --run mine --runs /data/runs". The option --runs is left out where its default, `runs` in the
    working directory, is right."""
    text = f"salmu {words} --run {shlex.quote(folder.name)}"
    if isinstance(folder, Path) and folder.parent.resolve() == Path("runs").resolve():
        return text
    return f"{text} --runs {shlex.quote(str(folder.parent))}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """'; did you mean X?' for a name that is close to a known one, else nothing."""
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
