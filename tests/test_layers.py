"""Imports point down the table of folders only, without a circle, and Prefect stays in flows/."""

import ast
import subprocess
import sys
import tomllib
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "flows": {"flows", "tasks", "prompts", "data", "model_training", "evaluation"},
    "evaluation": {"evaluation", "model_training", "tasks", "prompts", "data"},  # methods word captions of their own
    "tasks": {"tasks", "model_training", "prompts", "data"},  # models to load
    "model_training": {"model_training", "data"},
    "prompts": {"prompts", "data"},
    "data": {"data"},
}
# Of evaluation/, in the order of their imports.
ROOMS = [
    "encoding",
    "metrics",
    "unlearning",
    "selection",
    "attacks",
    "propagation",
    "concepts",
    "granularity",
    "captioner",
    "scoring",
    "verdicts",
    "requests",
    "report",
]
FILES = [path.relative_to(ROOT) for folder in MAY_IMPORT for path in sorted((ROOT / folder).rglob("*.py"))]
MODULES = {".".join(("salmu", *path.with_suffix("").parts)).removesuffix(".__init__") for path in FILES}


@cache
def imported(path: Path) -> frozenset[str]:
    """Every module that a file imports, anywhere in it, for types only as well."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in MODULES else node.module for name in inner}
    return frozenset(names)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_down(path):
    folder = path.parts[0]
    names = imported(path)
    assert {name.split(".")[1] for name in names if name.startswith("salmu.")} <= MAY_IMPORT[folder]
    assert "salmu" not in names, "the parts do not import the public interface"
    assert not {name.split(".")[0] for name in names} & set(MAY_IMPORT), "a part is named salmu.PART"
    assert folder == "flows" or not any(name.startswith("prefect") for name in names)


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[:-1][:1] == ("evaluation",)], ids=str)
def test_inside_evaluation_a_room_imports_those_before_it(path):
    above = {name.split(".")[2] for name in imported(path) if name.startswith("salmu.evaluation.")}
    if len(path.parts) == 2:
        assert path.name == "__init__.py" and not above, "evaluation/ holds rooms only"
    else:
        assert above <= set(ROOMS[: ROOMS.index(path.parts[1]) + 1])


def test_no_imports_form_a_circle():
    graph = {}
    for path in FILES:
        module = ".".join(("salmu", *path.with_suffix("").parts)).removesuffix(".__init__")
        graph[module] = {name for name in imported(path) if name.startswith("salmu.") and name != module}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_the_distribution_lists_every_package_and_installs_only_salmu():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    found = {".".join(("salmu", *path.parent.parts)) for path in FILES if path.name == "__init__.py"}
    assert set(setuptools["packages"]) == found | {"salmu"}
    assert setuptools["package-dir"] == {f"salmu.{folder}": folder for folder in sorted(MAY_IMPORT)}


WORK = ["matplotlib", "open_clip", "transformers", "diffusers", "sklearn", "scipy.stats", "onnxruntime"]
HEAVY = [*WORK, "prefect.flows", "torch"]
LOADED = "import sys; print([name for name in sys.argv[1:] if name in sys.modules])"


@pytest.mark.parametrize(
    "loading, light",
    [
        ("import salmu.flows.running.stages", HEAVY),  # what every worker loads
        ("import salmu.flows.everything", WORK),  # the process of a run, whose workers do the work
        ("from salmu.flows.command_line import cli; cli.parser()", [*HEAVY, "prefect", "pydantic", "pyarrow", "numpy"]),
        ("from salmu.flows.command_line import cli; cli.main(['plan', '--json'])", [*HEAVY, "prefect"]),
        ("from salmu.flows.command_line import cli; cli.command('status')", [*HEAVY, "prefect"]),
    ],
    ids=["workers", "run", "help", "plan", "status"],
)
def test_it_loads_without_what_only_the_work_needs(loading, light):
    command = [sys.executable, "-c", f"{loading}; {LOADED}", *light]
    found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert found.stdout.splitlines()[-1] == "[]"
