"""The wheel: one package, `salmu`, with every file of it, which works beside a project that has folders of the same
names as its parts."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("data", "evaluation", "flows", "model_training", "prompts", "tasks")


def tracked(*folders: str) -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in listed if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """Built without the network from a copy, since setuptools leaves files beside the source."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked("salmu", *PARTS, "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    command = ["pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(out), str(source)]
    built = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (path,) = out.glob("salmu-*.whl")
    return zipfile.ZipFile(path)


def test_it_puts_one_package_into_site_packages_with_every_file(wheel):
    names = set(wheel.namelist())
    top = {name.partition("/")[0] for name in names}
    (about,) = (name for name in top if name.endswith(".dist-info"))
    assert top == {"salmu", "salmu_torchvision.pth", about}
    expected = {*tracked("salmu"), *(f"salmu/{name}" for name in tracked(*PARTS))}
    assert names - expected == {name for name in names if name.startswith(about)} | {"salmu_torchvision.pth"}
    assert expected <= names


def test_it_works_beside_a_project_with_folders_of_the_same_names(wheel, tmp_path):
    venv.create(tmp_path / "environment", symlinks=True)
    (site,) = (tmp_path / "environment").glob("lib/python*/site-packages")
    wheel.extractall(site)
    (site / "zz_dependencies.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    project = tmp_path / "project"
    for part in PARTS:
        (project / part).mkdir(parents=True)
        (project / part / "__init__.py").write_text(f"raise RuntimeError('{part}/ of the project was imported')")

    def printed(*arguments: str) -> str:
        command, env = [tmp_path / "environment" / "bin" / "python", *arguments], os.environ | {"PYTHONPATH": "."}
        env.pop("PYTHONWARNINGS", None)  # Python reads it with `re`
        done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    slow = "{'re', 'typing', 'pathlib', 'dataclasses'} & set(sys.modules)"  # Python's start imports salmu
    lines = printed("-c", f"import sys; print({slow}); import open_clip, salmu; print(salmu.__file__)").splitlines()
    assert lines == ["set()", str(site / "salmu/__init__.py")]
    assert "publish" in printed("-m", "salmu", "--help")
