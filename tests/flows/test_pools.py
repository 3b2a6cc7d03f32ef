"""Workers that die give their shards back; a GPU belongs to one worker at a time."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest
from helpers import process_pool, run_stages
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from salmu.data.errors import UserError
from salmu.data.store import Store
from salmu.flows.running import shards
from salmu.flows.running import worker_pools as pools
from salmu.flows.running.stage import run_stage
from salmu.flows.running.stages import STAGES

CLAIM = """
import os, sys, time
from salmu.flows.running import worker_pools
worker_pools.begin_worker = lambda: None  # this process is no worker of a pool
worker_pools.claim_gpus([[device] for device in sys.argv[1].split(",")])
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
time.sleep(600)
"""


@pytest.fixture
def claims(tmp_path):
    """Starts a process that claims one of the GPUs; gives the process."""
    started = []

    def claim(devices: str) -> subprocess.Popen:
        surroundings = os.environ | {"TMPDIR": str(tmp_path)}
        command = [sys.executable, "-c", CLAIM, devices]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=surroundings))
        return started[-1]

    yield claim
    for process in started:
        process.kill()
        process.wait()


def test_two_workers_get_two_gpus_and_a_third_one_gets_that_of_the_first_to_die(claims):
    first, second = claims("4,7"), claims("4,7")
    taken = {process: process.stdout.readline().strip() for process in (first, second)}
    assert set(taken.values()) == {"4", "7"}
    third = claims("4,7")
    time.sleep(2)
    assert third.poll() is None
    second.send_signal(signal.SIGKILL)
    assert third.stdout.readline().strip() == taken[second]


def test_a_model_on_two_gpus_waits_until_both_are_free(tmp_path, monkeypatch):
    claimed = []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(pools, "begin_worker", lambda: None)
    monkeypatch.setattr(pools, "_claimed", claimed)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    pools.claim_gpus([["5"]])
    pools.claim_gpus([["4", "5"], ["6", "7"]])
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "6,7"
    waiting = threading.Thread(target=pools.claim_gpus, args=([["4", "5"]],), daemon=True)
    waiting.start()
    time.sleep(0.7)
    assert waiting.is_alive()
    pools.claim_gpus([["4"]])  # who waits for both holds neither
    for file in claimed:
        file.close()
    waiting.join(5)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,5"


def test_the_gpus_are_those_that_the_surroundings_name(monkeypatch):
    for named, expected in (("", []), ("-1", []), ("0,2", ["0", "2"]), ("GPU-abc", ["GPU-abc"])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        assert pools.gpus() == expected


def test_a_gpu_that_does_not_exist_does_not_answer():
    assert not pools.answers("99")


def stage_settings(**values):
    return STAGES["candidates"].Settings(count=8, shard_size=1, size=96, **values)


def run_with(store: Store, settings, disturb) -> str:
    """Run the stage candidates on two worker processes; `disturb(worker processes)` once the first shard is there."""

    @flow(name="disturbed", task_runner=process_pool(2), persist_result=False)
    def disturbed():
        run_stage(store, "candidates", settings)

    threading.Thread(target=_when_begun, args=(store, disturb), daemon=True).start()
    disturbed()
    return store.manifest("candidates").digest


def _when_begun(store: Store, disturb) -> None:
    while not store.manifest("candidates").shards:
        time.sleep(0.02)
    disturb(workers())


def workers() -> list[psutil.Process]:
    found = []
    for child in multiprocessing.active_children():
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(child.pid))
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> str:
    """The digest of the stage, made in this process."""
    store = run_stages(Store(tmp_path_factory.mktemp("undisturbed")), {"candidates": stage_settings()})
    return store.manifest("candidates").digest


def test_the_shard_of_a_killed_worker_goes_to_another_one_and_nothing_changes(prefect_server, tmp_path, undisturbed):
    killed = []

    def kill_one(processes):
        killed.append(processes[0].pid)
        processes[0].kill()

    disturbed = run_with(Store(tmp_path / "disturbed"), stage_settings(), kill_one)
    assert killed and disturbed == undisturbed
    assert not list(Path(tmp_path / "disturbed").rglob(".*.tmp"))


def test_workers_that_die_again_and_again_end_the_run_with_one_line(prefect_server, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "PAUSES", (0, 0, 0))
    monkeypatch.setattr(pools, "PAUSES", (0, 0, 0))
    store, settings, done = Store(tmp_path / "run"), stage_settings(), threading.Event()

    @flow(name="doomed", task_runner=process_pool(1), persist_result=False)
    def doomed():
        run_stage(store, "candidates", settings)

    def kill_all():
        while not done.is_set():
            for worker in workers():
                worker.kill()
            time.sleep(0.2)

    killer = threading.Thread(target=kill_all, daemon=True)
    killer.start()
    try:
        with pytest.raises(UserError, match="workers were lost 4 times with nothing finished in between"):
            doomed()
    finally:
        done.set()
        killer.join()


def test_a_stage_on_gpus_has_one_worker_each_and_goes_on_with_those_that_are_left(
    prefect_server, tmp_path, monkeypatch, capsys, undisturbed
):
    seen, killed = [], []

    def kill_one(processes):
        seen.extend(processes)
        killed.append(processes[0].pid)
        processes[0].kill()

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(pools, "gpus", lambda: ["0", "1", "2"])
    monkeypatch.setattr(pools, "answers", lambda device: device != "1")
    monkeypatch.setattr(STAGES["candidates"], "uses_gpu", lambda settings: True, raising=False)
    on_gpus = run_with(Store(tmp_path / "gpus"), stage_settings(), kill_one)
    assert killed and len(seen) <= 3 and on_gpus == undisturbed
    assert "continuing with 2 of 3 GPUs" in capsys.readouterr().out
    assert len(list(tmp_path.glob("salmu-gpus-*/*.lock"))) >= 2


@task(cache_policy=NO_CACHE, persist_result=False)
def gpu_of(number: int) -> tuple[int, str]:
    time.sleep(1)  # so that the other worker gets one too
    return number, os.environ.get("CUDA_VISIBLE_DEVICES", "")


def test_trainings_methods_and_evaluations_spread_over_the_gpus(prefect_server, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(pools, "gpus", lambda: ["4", "7"])

    told = []
    work = [pools.Work(gpu_of, {"number": number}) for number in range(5)]
    work = [pools.Work(gpu_of, {"number": 5}, after=("first", "of another call")), *work]
    work.append(work.pop(1)._replace(name="first", then=lambda: told.append("the first is done")))

    @flow(name="spread", task_runner=process_pool(1), persist_result=False)
    def spread():
        futures = pools.submit_with_retry("work", work, on_gpus=True)
        return [future.result() for future in futures]

    found = spread()
    assert sorted(number for number, _ in found) == list(range(6))
    assert {device for _, device in found} == {"4", "7"}
    assert found[-1][0] == 5 and told == ["the first is done"]
