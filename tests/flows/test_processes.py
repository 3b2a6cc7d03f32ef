"""Server and workers end with the run, even if it is killed."""

import os
import signal
import subprocess
import sys
import time

import httpx

from flows.processes import api_server

CHILD = """
import flows, os, sys, time
from flows.processes import api_server, exit_with_parent
from prefect.settings import PREFECT_API_URL
with api_server():
    print(PREFECT_API_URL.value(), flush=True)
    time.sleep(600)
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


def test_the_server_runs_offline_and_a_configured_one_is_used(prefect_server):
    assert answers(prefect_server)
    with api_server():  # configured already: no second server, and this one stays
        pass
    assert answers(prefect_server)
