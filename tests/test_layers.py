"""Imports point down the table of folders only, and Prefect stays in flows/."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "flows": {"flows", "tasks", "prompts", "data", "model_training", "evaluation"},
    "tasks": {"tasks", "prompts", "data"},
    "prompts": {"prompts", "data"},
    "data": {"data"},
    "model_training": {"model_training", "data"},
    "evaluation": {"evaluation", "model_training", "tasks", "prompts", "data"},  # methods word captions of their own
}
FILES = [path.relative_to(ROOT) for folder in MAY_IMPORT for path in sorted((ROOT / folder).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_down(path):
    folder = path.parts[0]
    names = imported(path)
    assert names & set(MAY_IMPORT) <= MAY_IMPORT[folder]
    assert folder == "flows" or not any(name.startswith("prefect") for name in names)


@pytest.mark.parametrize("module", ["flows.cli", "flows.stages"])  # the command line; what every worker loads
def test_it_loads_without_what_only_the_work_needs(module):
    heavy = ["matplotlib", "open_clip", "transformers", "diffusers", "sklearn", "scipy.stats", "onnxruntime"]
    heavy += ["prefect.flows", "torch"]
    command = f"import {module}, sys; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, cwd=ROOT, check=True)
    assert found.stdout.strip() == "[]"
