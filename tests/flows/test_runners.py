"""The same stage on every runner: the same bytes; a worker that dies costs nothing; threads share an engine."""

import os
import socket
import tempfile
from pathlib import Path

import pytest
from helpers import run_stages
from prefect import flow

from salmu.data.errors import UserError
from salmu.data.store import ShardResult, Store
from salmu.flows.running import runners, shards
from salmu.flows.running.drill import DrillSettings
from salmu.flows.running.runners import task_runner
from salmu.flows.running.stage import run_stage
from salmu.flows.running.stages import STAGES

SHARDS = 6


def settings():
    return STAGES["candidates"].Settings(count=SHARDS, shard_size=1, size=96)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> str:
    """The digest of the stage, made in this process."""
    store = run_stages(Store(tmp_path_factory.mktemp("undisturbed")), {"candidates": settings()})
    return store.manifest("candidates").digest


@pytest.fixture
def surroundings(monkeypatch):
    for name in ("SALMU_RUNNER", "SALMU_WORKERS", "SALMU_ADDRESS", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    here = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", f"{here}{os.pathsep}{here.parent}")  # Ray unpickles the flow from this module

    def choose(**choice):
        for name, value in choice.items():
            monkeypatch.setenv(f"SALMU_{name.upper()}", value)

    return choose


@pytest.fixture
def short_folder():
    """The names of Ray's sockets in it are not too long."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def run_on(store: Store, drill: DrillSettings) -> str:
    @flow(name="on-a-runner", task_runner=task_runner(), persist_result=False)
    def on_a_runner():
        run_stage(store, "candidates", settings(), drill=drill)

    on_a_runner()
    return store.manifest("candidates").digest


@pytest.mark.parametrize("kind, trouble", [("thread", "error"), ("process", "kill"), ("ray", "kill"), ("dask", "kill")])
def test_every_runner_gives_the_same_bytes_even_when_a_worker_dies(
    kind, trouble, surroundings, prefect_server, tmp_path, undisturbed, monkeypatch, short_folder
):
    if kind in ("ray", "dask"):
        pytest.importorskip(f"prefect_{kind}")
    surroundings(runner=kind, workers="2")
    if kind == "ray":  # somebody else's cluster of this machine, which Ray by itself would join, is none of ours
        (short_folder / "ray").mkdir()
        (short_folder / "ray" / "ray_current_cluster").write_text("127.0.0.1:9")
        monkeypatch.setenv("RAY_TMPDIR", str(short_folder))
    monkeypatch.setattr(STAGES["candidates"], "uses_gpu", lambda settings: True)  # asks for one where there is any
    store = Store(tmp_path / kind)
    assert run_on(store, DrillSettings(shard="candidates:2", kind=trouble)) == undisturbed
    assert len(list((tmp_path / kind / ".drill").iterdir())) == 1  # it did happen
    assert not store.orphans("candidates")


def test_the_cluster_of_a_ray_job_is_used(surroundings, monkeypatch):
    pytest.importorskip("prefect_ray")
    surroundings(runner="ray")
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert task_runner().address == "10.0.0.1:6379"
    surroundings(address="10.0.0.2:6379")
    assert task_runner().address == "10.0.0.2:6379"


@pytest.mark.parametrize(
    "kind, address, words",
    [
        ("ray", "127.0.0.1:{port}", "SALMU_ADDRESS: no cluster answers at 127.0.0.1:"),
        ("ray", "ray://127.0.0.1:{port}", "SALMU_ADDRESS: no cluster answers at ray://127.0.0.1:"),
        ("dask", "tcp://127.0.0.1:{port}", "SALMU_ADDRESS: no cluster answers at tcp://127.0.0.1:"),
        ("dask", "tcp://no-such-host.invalid:8786", "SALMU_ADDRESS: no cluster answers at tcp://no-such-host.invalid"),
        ("ray", "head", "SALMU_ADDRESS: 'head' is no address"),
        ("ray", "head:many", "SALMU_ADDRESS: 'head:many' is no address"),
    ],
)
def test_an_address_where_no_cluster_answers_is_one_line(kind, address, words, surroundings):
    surroundings()
    with socket.socket() as silent:  # has the port, but does not listen
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(UserError, match=words):
            runners.choose(kind, None, address.format(port=silent.getsockname()[1]))


@pytest.mark.parametrize("kind", ["ray", "dask"])
def test_a_flow_run_whose_cluster_is_away_ends_at_once(kind, surroundings, prefect_server, tmp_path):
    pytest.importorskip(f"prefect_{kind}")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        surroundings(runner=kind, address=f"tcp://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(UserError, match="SALMU_ADDRESS: no cluster answers at tcp://127.0.0.1:"):
            run_on(Store(tmp_path), DrillSettings())


def test_an_address_where_something_answers_is_taken(surroundings):
    surroundings()
    with socket.create_server(("127.0.0.1", 0)) as server:
        runners.choose("ray", None, "ray://localhost:{1}".format(*server.getsockname()))
    assert runners.cluster_address().startswith("ray://localhost:")


def test_threads_share_one_engine(surroundings, prefect_server, tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr(STAGES["candidates"], "load_engine", lambda settings: loaded.append(1) or "engine")
    monkeypatch.setattr(STAGES["candidates"], "run", lambda shard, settings, views, engine: ShardResult([]))
    shards._engine.cache_clear()
    surroundings(runner="thread", workers="4")
    run_on(Store(tmp_path / "run"), DrillSettings())
    shards._engine.cache_clear()
    assert loaded == [1]


@pytest.mark.parametrize(
    "choice, words",
    [
        ({"runner": "slurm"}, "SALMU_RUNNER: no runner 'slurm'; there are process, thread, ray, dask, workpool"),
        ({"workers": "many"}, "SALMU_WORKERS: must be a number of at least 1, got 'many'"),
        ({"workers": "0"}, "SALMU_WORKERS: must be a number of at least 1"),
    ],
)
def test_a_wrong_choice_is_one_line(choice, words, surroundings):
    surroundings(**choice)
    with pytest.raises(UserError, match=words):
        task_runner()


@pytest.mark.parametrize("kind", ["ray", "dask"])
def test_a_missing_package_names_the_extra(kind, surroundings, monkeypatch):
    surroundings(runner=kind)
    monkeypatch.setattr(runners.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"pip install 'salmu\[{kind}\]'"):
        task_runner()


def test_a_choice_goes_into_the_surroundings_and_none_leaves_them(surroundings):
    surroundings(runner="thread", workers="3")
    runners.choose(None, 2, None)
    assert (runners.kind(), runners.workers()) == ("thread", 2) and "SALMU_ADDRESS" not in os.environ
