"""Methods from outside the project: files named by a person, and entry points of another distribution."""

import json
import re
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from prefect import flow

from salmu.data.errors import UserError
from salmu.evaluation.unlearning import registry
from salmu.evaluation.unlearning.outside import VARIABLE, chosen
from salmu.evaluation.unlearning.registry import UnlearningSettings
from salmu.evaluation.unlearning.runner import unlearn
from salmu.flows.benchmark import unlearn_model
from salmu.flows.running.runners import task_runner
from salmu.flows.running.worker_pools import Work, submit_with_retry

EXAMPLE = (Path(__file__).parents[2] / "docs" / "examples" / "similarity_floor.py").read_text(encoding="utf-8")
SMALL = {"methods": {"similarity_floor": {"floor": 0.2, "retain_scenes": 0}}, "batch_size": 8, "retain_scenes": 0}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder of the person's, with one method; what a test names is forgotten after it."""
    monkeypatch.setenv(VARIABLE, "")
    path = tmp_path / "private" / "similarity_floor.py"
    path.parent.mkdir()
    path.write_text(EXAMPLE)
    yield path.parent
    registry.catalogue.cache_clear()


def record(out: Path) -> dict:
    return json.loads((out / "unlearning.json").read_text())


def test_a_file_is_a_method_like_the_others_also_in_worker_processes(folder, dataset_dir, model_dir, tmp_path):
    assert registry.choose([folder / "similarity_floor.py"]) == []
    assert registry.get("similarity_floor").description.startswith("Pushes") and "scrub" in registry.methods()
    run = UnlearningSettings(**SMALL).run("similarity_floor", 0.5, 0)
    assert run.settings.floor == 0.2
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(unlearn_here, run, model_dir, dataset_dir, tmp_path / "out").result()
    written = record(tmp_path / "out")
    assert written["from_outside"] == {"name": "similarity_floor.py", "digest": registry.origin("similarity_floor")[1]}
    assert str(tmp_path) not in json.dumps(written) and written["settings"]["floor"] == 0.2


def test_a_cluster_that_was_there_before_finds_it_too(folder, dataset_dir, model_dir, prefect_server, monkeypatch):
    pytest.importorskip("prefect_dask")
    from distributed import LocalCluster

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # where the workers find the flow
    home = folder.parent / "run"
    shutil.copytree(dataset_dir, home / "dataset")
    shutil.copytree(model_dir, home / "models" / "compromised")
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, memory_limit=0) as cluster:
        registry.choose([folder])
        monkeypatch.setenv("SALMU_RUNNER", "dask")
        monkeypatch.setenv("SALMU_ADDRESS", cluster.scheduler_address)
        run = UnlearningSettings(**SMALL).run("similarity_floor", 0.5, 0)

        @flow(name="a-method-on-a-cluster", task_runner=task_runner(), persist_result=False)
        def alone(methods: str):
            work = {"folder": str(home), "run": run, "place": 0, "methods": methods}
            submit_with_retry("benchmark", [Work(unlearn_model, work)])

        alone(chosen())
        assert record(home / "unlearned" / run.folder)["from_outside"]["name"] == "similarity_floor.py"
        with pytest.raises(UserError, match="methods: /nowhere.py: no such file or folder"):
            alone("/nowhere.py")


def unlearn_here(run: registry.Run, model: Path, dataset: Path, out: Path) -> None:
    unlearn(run.method, run.settings, model, dataset, out)


def test_a_changed_file_makes_its_result_anew_and_a_moved_one_does_not(folder, dataset_dir, model_dir, tmp_path):
    def fingerprint(path: Path) -> str:
        registry.choose([path])
        run = UnlearningSettings(**SMALL).run("similarity_floor", 0.5, 0)
        unlearn(run.method, run.settings, model_dir, dataset_dir, tmp_path / "out")
        return record(tmp_path / "out")["fingerprint"]

    first = fingerprint(folder)
    written = (tmp_path / "out" / "unlearning.json").stat().st_mtime_ns
    moved = folder.rename(tmp_path / "elsewhere")
    assert fingerprint(moved / "similarity_floor.py") == first
    assert (tmp_path / "out" / "unlearning.json").stat().st_mtime_ns == written
    (moved / "similarity_floor.py").write_text(EXAMPLE.replace("min=0", "min=0.01"))
    assert fingerprint(moved) != first


def test_a_file_that_cannot_be_used_is_told_in_one_line_with_its_line_and_the_others_work(folder):
    broken = {
        "late.py": ("import torch\n\nvalue = torch.nonsense(\n    1)\n", r":3: AttributeError: .*nonsense.*"),
        "syntax.py": ("a = 1\ndef f(:\n", r":2: SyntaxError: invalid syntax"),
        "missing.py": ("\nimport no_such_package\n", r":2: ModuleNotFoundError: No module named 'no_such_package'"),
        "leaves.py": ("raise SystemExit(\n 'bye\\nbye')\n", r":1: SystemExit: bye bye"),
        "binary.py": ("\0", r": (SyntaxError|ValueError): source code .*null bytes"),  # by the version of Python
        "other.py": (EXAMPLE, r": METHOD has the name 'similarity_floor', but the file or entry point is 'other'; .*"),
        "blind.py": (
            EXAMPLE.replace('"similarity_floor"', '"blind"').replace('"forget", "retain"', '"holdout_identity"'),
            r": METHOD.sees must name some of forget, retain",
        ),
        "scrub.py": (EXAMPLE.replace("similarity_floor", "scrub"), r": there is a method 'scrub' already; .*"),
    }
    for name, (text, _) in broken.items():
        (folder / name).write_text(text)
    (folder / "_helper.py").write_text("raise RuntimeError")
    told = registry.choose([folder])
    for name, (_, said) in broken.items():
        (line,) = [line for line in told if line.startswith(str(folder / name))]
        assert re.fullmatch(said, line.removeprefix(str(folder / name))), line
    assert len(told) == len(broken)
    assert {"similarity_floor", "scrub"} <= set(registry.methods()) and registry.origin("scrub") is None
    with pytest.raises(UserError, match=r"late.py:3: AttributeError"):
        registry.get("late")


def test_a_path_that_is_not_there_is_refused(folder):
    for path, said in (
        (folder / "nowhere.py", "nowhere.py: no such file or folder"),
        (folder.parent, "a Python file, or a folder with some, is expected"),
    ):
        with pytest.raises(UserError, match=said):
            registry.choose([path])


def test_a_run_can_be_read_where_its_method_is_missing_but_not_run(folder):
    settings = UnlearningSettings(**SMALL)
    with pytest.raises(UserError, match="no unlearning method 'similarity_floor'.*--methods FILE_OR_DIR"):
        settings.runs()


def test_the_method_of_another_distribution_is_found(folder, monkeypatch):
    """An installed package announces it; here the folder is made one, as pip would leave it."""
    package, about = folder / "foreign" / "methods", folder / "foreign-1.2.dist-info"
    package.mkdir(parents=True), about.mkdir()
    (folder / "foreign" / "__init__.py").write_text("")
    (folder / "similarity_floor.py").rename(package / "similarity_floor.py")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.2\n")
    points = ["similarity_floor = foreign.methods.similarity_floor:METHOD", "gone = foreign.methods.gone:METHOD"]
    (about / "entry_points.txt").write_text("\n".join(["[salmu.methods]", *points]))
    monkeypatch.syspath_prepend(folder)
    registry.catalogue.cache_clear()
    assert set(registry.methods()) - set(registry.own_names()) == {"similarity_floor"}
    assert registry.get("similarity_floor").name == "similarity_floor"
    origin = registry.origin("similarity_floor")
    assert origin.name == "foreign 1.2" and str(folder) not in origin.digest
    assert re.fullmatch(
        "foreign: foreign.methods.gone:METHOD .*: No module named .*", registry.catalogue().broken["gone"]
    )
