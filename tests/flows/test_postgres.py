"""A run whose Prefect server keeps its records in Postgres, where Postgres is installed."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from salmu.flows.settings import load_profile, save

FOUND = [*filter(None, [shutil.which("initdb")]), *sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
ACCOUNT = {"user": "nobody"} if os.getuid() == 0 else {}  # Postgres refuses to be root


@pytest.fixture
def postgres():
    """A cluster of its own on a free port; gives a function that asks it."""
    made = subprocess.run(
        ["mktemp", "-d"], capture_output=True, text=True, check=True, **ACCOUNT
    )  # owned by that account
    binaries, folder = Path(FOUND[-1]).resolve().parent, Path(made.stdout.strip())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    subprocess.run(
        [binaries / "initdb", "-D", folder / "data", "-U", "prefect", "-A", "trust", "-E", "UTF8", "--no-sync"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        check=True,
        **ACCOUNT,
    )
    options = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": folder, "fsync": "off"}
    words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    server = subprocess.Popen(
        [binaries / "postgres", "-D", folder / "data", *words], cwd=folder, stderr=subprocess.DEVNULL, **ACCOUNT
    )

    def ask(query: str) -> str:
        command = [binaries / "psql", "-h", "127.0.0.1", "-p", str(port), "-U", "prefect", "-tAc", query, "postgres"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    ask.url = f"postgresql+asyncpg://prefect@127.0.0.1:{port}/postgres"
    ready = [binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), "-t", "1"]
    while subprocess.run(ready).returncode and server.poll() is None:
        pass
    yield ask
    server.terminate()
    server.wait(20)
    shutil.rmtree(folder)


@pytest.mark.skipif(not FOUND, reason="no Postgres here")
def test_a_run_is_recorded_in_postgres(postgres, tmp_path):
    save(load_profile("tiny", {"candidates.count": 6, "anchors.count": 5}), tmp_path / "one")
    command = ["stage", "candidates", "--run", "one", "--runs", str(tmp_path), "--runner", "thread"]
    surroundings = os.environ | {"PREFECT_API_URL": "", "PREFECT_API_DATABASE_CONNECTION_URL": postgres.url}
    done = subprocess.run(
        [sys.executable, "-m", "salmu", *command], env=surroundings, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and "stage candidates of one is up to date" in done.stdout, done.stderr
    assert postgres("select name, state_type from flow_run") == "candidates-one|COMPLETED"
    assert "one-candidates" in postgres("select key from artifact")
