"""The methods by name, and what a profile asks of them. A new file with a METHOD in methods/ is found without further
words; outside.py says how one from elsewhere is."""

import functools
import importlib
import os
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import Field

from salmu.data.errors import UserError
from salmu.data.settings import StageSettings, validate
from salmu.data.suggestions import did_you_mean
from salmu.evaluation.unlearning import methods as folder
from salmu.evaluation.unlearning import outside
from salmu.evaluation.unlearning.settings import SPLITS, MethodSettings

if TYPE_CHECKING:
    from salmu.evaluation.unlearning.method import Method


class Catalogue(NamedTuple):
    """All methods that are found, and why the others cannot be used."""

    methods: "dict[str, Method]"
    origins: dict[str, outside.Origin]  # of methods from outside the project
    broken: dict[str, str]  # name -> one line that starts with the place of the error
    held: "dict[str, Method]"  # of those above with made captions held, what has been asked for


@functools.cache
def catalogue() -> Catalogue:
    """The project's methods, those of other distributions, and those that SALMU_METHODS names; of two with one name
    the first is taken. They bring torch, so they load when asked for. Raises UserError for a path that is not there."""
    found = Catalogue({}, {}, {}, {})
    for name in own_names():
        path = Path(folder.__path__[0], f"{name}.py")
        _add(found, name, str(path), _own, path)
    for point in outside.points():
        _add(found, point.name, f"{point.dist.name}: {point.value}", outside.load_point, point)
    for path in outside.files():
        _add(found, path.stem, str(path), outside.load_file, path)
    return found


def methods() -> "dict[str, Method]":
    """Name -> method."""
    return catalogue().methods


def own_names() -> list[str]:
    """Names of the project's own methods, read without loading them."""
    return [info.name for info in pkgutil.iter_modules(folder.__path__)]


def choose(paths: list | None) -> list[str]:
    """Look for methods in these files and folders too, here and in worker processes; None leaves the choice as it is.
    Returns a line for each method that cannot be used. Raises UserError for a path that is not there."""
    outside.choose(paths)
    catalogue.cache_clear()
    return list(catalogue().broken.values())


def take_up(paths: str) -> None:
    """In a worker: look for methods where the process that gave the task looks (`outside.chosen`)."""
    if paths != outside.chosen():
        os.environ[outside.VARIABLE] = paths
        catalogue.cache_clear()


def find(name: str) -> "Method | None":
    """The method of this name; `held_NAME` is NAME with made captions held (held.py). None for one that is unknown or
    broken. Raises UserError for a method that cannot be held."""
    from salmu.evaluation.unlearning.held import PREFIX, held

    found, own = catalogue(), name.removeprefix(PREFIX)
    if name not in found.methods and own != name and own in found.methods:
        return found.held.get(name) or found.held.setdefault(name, held(found.methods[own]))
    return found.methods.get(name)


def get(name: str) -> "Method":
    """As `find`. Raises UserError for a method that is unknown or broken too."""
    from salmu.evaluation.unlearning.held import PREFIX

    if method := find(name):
        return method
    found = catalogue()
    if name in found.broken:
        raise UserError(found.broken[name])
    known = [*found.methods, *(f"{PREFIX}{method}" for method in found.methods)]
    raise UserError(
        f"no unlearning method {name!r}{did_you_mean(name, known)}; there are {', '.join(found.methods)}; "
        f"{PREFIX}METHOD holds made captions; --methods FILE_OR_DIR brings others"
    )


def origin(name: str) -> outside.Origin | None:
    """Where a method from outside the project comes from; None for one of its own."""
    from salmu.evaluation.unlearning.held import PREFIX

    found = catalogue()
    return found.origins.get(name if name in found.methods else name.removeprefix(PREFIX))


def _own(path: Path) -> "tuple[Method | None, None]":
    return getattr(importlib.import_module(f"{folder.__name__}.{path.stem}"), "METHOD", None), None


def _add(found: Catalogue, name: str, place: str, load: Callable, source: Any) -> None:
    """Load one source into the catalogue, as a method or as the reason why it gives none."""
    if name in found.methods:
        found.broken[place] = f"{place}: there is a method {name!r} already; give this one another name"
        return
    try:
        method, its_origin = load(source)
    except (Exception, SystemExit) as error:  # whatever the code of a method may raise
        found.broken[name] = outside.one_line(error, place)
        return
    if problem := _problem(method, name):
        found.broken[name] = f"{place}: {problem}"
        return
    found.methods[name] = method
    if its_origin:
        found.origins[name] = its_origin


def _problem(method: object, name: str) -> str | None:
    """What keeps an object from being the method of this name."""
    from salmu.evaluation.unlearning.method import Method

    if not name.isidentifier():
        return f"{name!r} cannot be the name of a method; letters, digits and _ can"
    if not isinstance(method, Method):
        return f"must define METHOD = Method(name={name!r}, ...)"
    if method.name != name:
        return f"METHOD has the name {method.name!r}, but the file or entry point is {name!r}; give both the same name"
    if not method.sees or not set(method.sees) <= set(SPLITS):
        return f"METHOD.sees must name some of {', '.join(SPLITS)}"
    if not (method.loss or method.edit):
        return "METHOD has neither a loss nor an edit"
    if not (isinstance(method.settings, type) and issubclass(method.settings, MethodSettings)):
        return "METHOD.settings must be a subclass of MethodSettings"
    return None


def folder_of(method: str, budget: float, seed: int) -> str:
    """The name of a run's output folder."""
    return f"{method}-{budget:g}x-s{seed}"


class Run(NamedTuple):
    """One method with one budget and seed; `folder` is the name of its output folder.

    `values` are its settings, checked; plain, since a worker process has not loaded the method yet."""

    folder: str
    method: str
    values: dict[str, Any]

    @property
    def settings(self) -> MethodSettings:
        return get(self.method).settings(**self.values)


class UnlearningSettings(StageSettings):
    """Which methods are run, with which budgets."""

    methods: dict[str, dict[str, Any]] = Field(
        {"finetuning": {}, "negative_gradient": {}, "generic_captions": {}},
        description="Methods to run, each with its own settings where they differ from its defaults.",
    )
    budgets: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (5.0,), min_length=1, description="Budgets to run each method with; see MethodSettings.budget."
    )
    repeats: int = Field(1, ge=1, description="Seeds to run each with: the run's own, and the next ones.")
    requests: int = Field(
        0,
        ge=0,
        description="Also work the forget set as so many erasure requests, one after the other, with every method, in "
        "two orders; 0: not. It takes about three times as long again.",
    )
    batch_size: int = Field(32, ge=4, description="Most pairs of a kind in a step.")
    retain_scenes: int = Field(
        1500, ge=0, description="Procedural pairs added to the retain pairs; see MethodSettings.retain_scenes."
    )
    device: str = Field("cpu", description="Where torch runs: cpu, cuda, cuda:1 …")
    threads: int = Field(1, ge=1, description="Threads of torch; the last bits of the weights depend on it.")

    def runs(self) -> list[Run]:
        """Every method with every budget and seed, in the order of the settings. Raises UserError for an unknown method
        or setting: reading a run's settings does not ask, so that a run can be read where a method of it is missing."""
        return [self.run(*combination) for combination in self.combinations()]

    def combinations(self) -> list[tuple[str, float, int]]:
        """Method, budget and seed of every run, in the order of the settings; nothing is loaded."""
        seeds = range(self.seed, self.seed + self.repeats)
        return [(name, budget, seed) for name in self.methods for budget in self.budgets for seed in seeds]

    def given(self, name: str, budget: float, seed: int) -> dict[str, Any]:
        """What these settings say of a run; the rest are the method's defaults."""
        shared = self.model_dump(include={"batch_size", "retain_scenes", "device", "threads"})
        return shared | {"budget": budget, "seed": seed} | self.methods.get(name, {})

    def run(self, name: str, budget: float, seed: int) -> Run:
        """One run of a method, whether or not it is among those that are run by default. Raises UserError for an
        unknown method."""
        settings = validate(get(name).settings, self.given(name, budget, seed), f"unlearning.methods.{name}")
        return Run(folder_of(name, budget, seed), name, settings.model_dump())
