"""The methods by name, and what a profile asks of them. A new file with a METHOD in methods/ is found without further
words."""

import functools
import importlib
import pkgutil
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field, field_validator

from salmu.data.errors import UserError
from salmu.data.settings import StageSettings, validate
from salmu.evaluation.unlearning import methods as folder
from salmu.evaluation.unlearning.settings import MethodSettings

if TYPE_CHECKING:
    from salmu.evaluation.unlearning.method import Method


@functools.cache
def methods() -> "dict[str, Method]":
    """Name -> method. Raises ValueError for a file that defines none. They bring torch, so they load when asked for."""
    from salmu.evaluation.unlearning.method import Method

    found: dict[str, Method] = {}
    for info in pkgutil.iter_modules(folder.__path__):
        method = getattr(importlib.import_module(f"{folder.__name__}.{info.name}"), "METHOD", None)
        if not isinstance(method, Method) or method.name != info.name:
            raise ValueError(
                f"evaluation/unlearning/methods/{info.name}.py: must define METHOD with name {info.name!r}"
            )
        found[method.name] = method
    return found


def get(name: str) -> "Method":
    """The method of this name. Raises UserError for an unknown one."""
    if name not in methods():
        raise UserError(f"no unlearning method {name!r}; there are {', '.join(methods())}")
    return methods()[name]


class Run(NamedTuple):
    """One method with one budget and seed; `folder` is the name of its output folder."""

    folder: str
    method: str
    settings: MethodSettings


class UnlearningSettings(StageSettings):
    """Which methods are run, with which budgets."""

    methods: dict[str, dict[str, Any]] = Field(
        {"finetuning": {}, "negative_gradient": {}, "generic_captions": {}},
        validate_default=True,
        description="Methods to run, each with its own settings where they differ from its defaults.",
    )
    budgets: tuple[float, ...] = Field(
        (5.0,), min_length=1, description="Budgets to run each method with; see MethodSettings.budget."
    )
    repeats: int = Field(1, ge=1, description="Seeds to run each with: the run's own, and the next ones.")
    batch_size: int = Field(32, ge=4, description="Most pairs of a kind in a step.")
    retain_scenes: int = Field(
        1500, ge=0, description="Procedural scenes added to the retain pairs; see MethodSettings.retain_scenes."
    )
    device: str = Field("cpu", description="Where torch runs: cpu, cuda, cuda:1 …")
    threads: int = Field(1, ge=1, description="Threads of torch; the last bits of the weights depend on it.")

    @field_validator("methods")
    @classmethod
    def _known(cls, methods: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, values in methods.items():
            validate(get(name).settings, values, f"unlearning.methods.{name}")
        return methods

    def runs(self) -> list[Run]:
        """Every method with every budget and seed, in the order of the settings."""
        seeds = range(self.seed, self.seed + self.repeats)
        return [self.run(name, budget, seed) for name in self.methods for budget in self.budgets for seed in seeds]

    def run(self, name: str, budget: float, seed: int) -> Run:
        """One run of a method, whether or not it is among those that are run by default. Raises UserError for an
        unknown method."""
        values = self.model_dump(include={"batch_size", "retain_scenes", "device", "threads"}) | {
            "budget": budget,
            "seed": seed,
        }
        settings = validate(get(name).settings, values | self.methods.get(name, {}), f"unlearning.methods.{name}")
        return Run(f"{name}-{budget:g}x-s{seed}", name, settings)
