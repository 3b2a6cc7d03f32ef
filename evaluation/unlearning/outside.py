"""Methods from outside the project: files that a person names, and entry points of other distributions.

    salmu unlearn my_method --methods my_method.py …         the file defines METHOD, as those in methods/ do
    [project.entry-points."salmu.methods"]                   in the pyproject.toml of another distribution
    my_method = "my_package.my_method:METHOD"

The paths stand in SALMU_METHODS, so that worker processes load them too; workers of a cluster that was there before are
told with their task, and need the file under the same path. Naming a file runs its code; nothing that a
run's folder or a dataset says can name one."""

import os
import sys
import traceback
import types
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import NamedTuple

from salmu.data.errors import UserError
from salmu.data.keyed import digest

GROUP = "salmu.methods"
VARIABLE = "SALMU_METHODS"  # paths, separated as in PATH
MODULE = "salmu_methods_from_outside"  # the modules of files stand in sys.modules as MODULE.<name>


class Origin(NamedTuple):
    """Where a method from outside comes from."""

    name: str  # file name, or distribution and version; no folder
    digest: str  # of its source


def choose(paths: list[str | Path] | None) -> None:
    """Name the files and folders for this process and those that it starts; None leaves the choice as it is.

    Raises UserError for a path that is not there or cannot hold a method."""
    if paths is not None:
        list(_checked(map(str, paths)))
        os.environ[VARIABLE] = os.pathsep.join(str(Path(path).absolute()) for path in paths)


def chosen() -> str:
    """What SALMU_METHODS says, for `registry.take_up` in a worker that was started elsewhere."""
    return os.environ.get(VARIABLE, "")


def files() -> list[Path]:
    """The files that SALMU_METHODS names, itself or by their folder. Raises UserError as `choose` does."""
    return list(_checked(path for path in chosen().split(os.pathsep) if path))


def points() -> list[EntryPoint]:
    """The entry points of other distributions, by name."""
    return sorted(entry_points(group=GROUP), key=lambda point: point.name)


def _checked(paths: Iterator[str]) -> Iterator[Path]:
    for path in map(Path, paths):
        found = sorted(path.glob("[!_]*.py")) if path.is_dir() else [path]
        if not path.exists() or os.pathsep in str(path):
            raise UserError(f"methods: {path}: no such file or folder")
        if not found or not all(one.suffix == ".py" and one.is_file() for one in found):
            raise UserError(f"methods: {path}: a Python file, or a folder with some, is expected")
        yield from found


def load_file(path: Path) -> tuple[object, Origin]:
    """What a file calls METHOD, None where it calls nothing so. Raises whatever its code raises."""
    module = types.ModuleType(f"{MODULE}.{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where the classes of the file look for their names
    try:
        source = path.read_bytes()  # what runs is what the digest is of, never an older .pyc
        exec(compile(source, str(path), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[module.__name__]
        raise
    return getattr(module, "METHOD", None), Origin(path.name, digest(source.decode("utf-8", "replace")))


def load_point(point: EntryPoint) -> tuple[object, Origin]:
    """What an entry point names, and where it is from: the digest is of its package's whole source. Raises whatever its
    code raises."""
    found, top = point.load(), sys.modules[point.module.partition(".")[0]]
    folders = [Path(folder) for folder in getattr(top, "__path__", [])]
    content = {
        path.relative_to(folder).as_posix(): path.read_text("utf-8", "replace")
        for folder in folders
        for path in sorted(folder.rglob("*.py"))
    } or Path(top.__file__).read_text("utf-8", "replace")
    return found, Origin(f"{point.dist.name} {point.dist.version}", digest(content))


def one_line(error: BaseException, place: str) -> str:
    """`FILE:LINE: error` for what the code at `place` raised: the last line of that file that was running, or, where
    `place` is no file, the last line of all."""
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((error.filename, error.lineno))
    own = [line for name, line in frames if name == place]
    where = (
        f"{place}:{own[-1]}"
        if own
        else place
        if Path(place).is_file()
        else f"{place} ({':'.join(map(str, frames[-1]))})"
    )
    message = error.msg if isinstance(error, SyntaxError) else error
    return " ".join(f"{where}: {type(error).__name__}: {message}".split())
