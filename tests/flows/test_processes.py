"""Server and workers end with the run, even if it is killed; a worker keeps what every task needs."""

import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import psutil
import pytest
from prefect import get_client
from prefect.context import SyncClientContext, serialize_context
from prefect.settings import PREFECT_API_URL, temporary_settings

from salmu.data.errors import UserError
from salmu.flows.running import processes
from salmu.flows.running.processes import api_server, kept_context

CHILD = """
import salmu.flows, os, sys, time
from salmu.flows.running.processes import api_server
from prefect.settings import PREFECT_API_URL
with api_server():
    print(PREFECT_API_URL.value(), flush=True)
    time.sleep(600)
"""


KILLED_EARLY = """
import multiprocessing, os, signal
from concurrent.futures import ProcessPoolExecutor
import salmu.flows
from salmu.flows.running import processes

def killed(url, server, errors):
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("forkserver"), processes.begin_worker)
    pool.submit(print)
    print(server.pid, *(child.pid for child in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

processes._wait_until_healthy = killed
with processes.api_server():
    pass
"""


AHEAD = """
import psutil
import salmu.flows
from salmu.flows.running import processes

def servers():
    return [child.pid for child in psutil.Process().children()]

with processes.server_ahead():
    ahead = servers()
    with processes.api_server():
        print(len(ahead), servers() == ahead)
with processes.server_ahead():
    unused = psutil.Process(servers()[-1])
print(not unused.is_running())
"""


KILLED_WHILE_IT_WROTE = """
import salmu.flows
from salmu.flows.running.processes import WorkerProcesses

with WorkerProcesses(max_workers=1) as runner:
    runner._subprocess_message_queue._wlock.acquire()  # what such a worker leaves behind
print("ended")
"""


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_killed_run_leaves_no_server_behind():
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True, env=os.environ | {"PREFECT_API_URL": ""}
    )
    url = child.stdout.readline().strip()
    try:
        assert answers(url)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    deadline = time.monotonic() + 30
    while answers(url) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not answers(url)


def test_a_server_that_dies_is_started_again_on_its_port_and_ends_with_the_run():
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD.replace("time.sleep(600)", "sys.stdin.readline()")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"PREFECT_API_URL": ""},
    )  # fmt: skip
    url = child.stdout.readline().strip()
    (server,) = psutil.Process(child.pid).children()
    server.kill()
    server.wait()
    deadline = time.monotonic() + 180
    while not answers(url) and time.monotonic() < deadline:
        time.sleep(0.3)
    assert answers(url)
    child.communicate("the run has ended\n", timeout=120)
    assert child.returncode == 0 and not answers(url)


def test_a_run_killed_while_its_server_and_a_worker_start_leaves_neither_behind():
    command = [sys.executable, "-c", KILLED_EARLY]
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PREFECT_API_URL": ""}).stdout
    children = [psutil.Process(int(pid)) for pid in out.split() if psutil.pid_exists(int(pid))]
    assert len(out.split()) == 2
    assert not psutil.wait_procs(children, timeout=60)[1]


def test_a_server_that_is_started_ahead_is_the_one_of_the_run_and_ends_if_nobody_wants_it():
    command = [sys.executable, "-c", AHEAD]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PREFECT_API_URL": ""})
    assert done.returncode == 0 and done.stdout.split() == ["1", "True", "True"]


def test_the_server_runs_offline_and_a_configured_one_is_used(prefect_server):
    assert answers(prefect_server)
    pages_ask = httpx.get(prefect_server.removesuffix("/api") + "/ui-settings").json()["api_url"]
    assert pages_ask == prefect_server
    with api_server():  # configured already: no second server, and this one stays
        pass
    assert answers(prefect_server)


def seen_from(url: str) -> tuple[str, str, int]:
    """What a worker sees of a task's surroundings: the server's address, where its client sends, and which client."""
    with temporary_settings({PREFECT_API_URL: url}):
        told = serialize_context()
    with kept_context(told), get_client(sync_client=True) as client:
        return PREFECT_API_URL.value(), str(client.api_url).rstrip("/"), id(client)


def test_a_worker_keeps_its_client_from_task_to_task_until_the_run_is_another(prefect_server, monkeypatch):
    monkeypatch.setattr(processes, "_kept", {})
    there = PREFECT_API_URL.value()
    try:
        first, again = seen_from(there), seen_from(there)
        other = seen_from(there.replace("127.0.0.1", "localhost"))
        assert first == again and first[:2] == (there, there)
        assert other[0] == other[1] == there.replace("127.0.0.1", "localhost")
    finally:
        processes._kept.pop("entered").close()


def test_a_worker_whose_server_is_away_keeps_nothing(prefect_server, monkeypatch):
    monkeypatch.setattr(processes, "_kept", {})
    with pytest.raises(httpx.TransportError):
        seen_from("http://127.0.0.1:9/api")
    assert processes._kept == {} and SyncClientContext.get() is None
    assert seen_from(PREFECT_API_URL.value())[0] == PREFECT_API_URL.value()
    processes._kept.pop("entered").close()


def test_a_run_ends_although_a_worker_was_killed_while_it_wrote_a_message():
    child = subprocess.run([sys.executable, "-c", KILLED_WHILE_IT_WROTE], capture_output=True, text=True, timeout=120)
    assert child.returncode == 0 and child.stdout == "ended\n", child.stderr


@pytest.mark.parametrize(
    "answer, words",
    [
        (None, "Connection refused"),
        ("", "timed out"),
        ("<html>Welcome</html>", "Failed to reach API"),
        ('"2.20.1"', "incompatible versions: client: 3.*, server: 2.20.1"),
    ],
)
def test_a_configured_server_that_does_not_answer_or_fit_is_one_line(answer, words, monkeypatch):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *words):
            pass

    monkeypatch.setattr(processes, "ANSWER_SECONDS", 0.5)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:  # takes connections, but does not answer yet
        port = server.server_port
        if answer:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        elif answer is None:
            server.server_close()
        with temporary_settings({PREFECT_API_URL: f"http://somebody:secret@127.0.0.1:{port}/api"}):
            with pytest.raises(UserError, match=words) as caught, api_server():
                pass
        if answer:
            server.shutdown()
    assert f"answers at http://127.0.0.1:{port}/api (" in str(caught.value) and "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "surroundings, words",
    [
        (
            {"PREFECT_API_DATABASE_CONNECTION_URL": "mysql://somebody:secret@127.0.0.1/prefect"},
            "the Prefect server did not start (ValueError: Unable to infer database configuration",
        ),
        ({"PREFECT_SERVER_API_PORT": "secret"}, "Prefect's settings cannot be read (ServerAPISettings, port"),
    ],
)
def test_surroundings_that_prefect_cannot_use_are_one_line(surroundings, words, tmp_path):
    command = [sys.executable, "-m", "salmu", "stage", "candidates", "--profile", "tiny", "--runs", str(tmp_path)]
    own = os.environ | {"PREFECT_API_URL": ""} | surroundings
    done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=120)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 2 and last.startswith(f"error: {words}"), done.stderr
    assert "Traceback" not in done.stderr and "secret" not in last
