"""The processes of a run: its workers, and a Prefect server where none is configured. All of them end with the run,
even if it is killed."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ProcessPoolExecutor
from typing import IO

import httpx
import prefect.context
import prefect.engine
from prefect import get_client
from prefect.context import SettingsContext, SyncClientContext, hydrated_context, refresh_global_settings_context
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.task_runners import ProcessPoolTaskRunner

from salmu.data.errors import UserError
from salmu.data.private import told_of

SERVER_START = 180  # seconds; the very first start makes the database
SERVER_STARTS = 5  # of one run, at most
ANSWER_SECONDS = 20  # that a configured server has to answer
_ahead: list[tuple[subprocess.Popen, int, IO[bytes]]] = []  # a server that was started before it was wanted
_kept = {}  # in a worker: Prefect's settings as the run told them, and what was entered with them


def exit_with_parent(parent: int) -> None:
    """End this process when its parent is gone; a thread watches. `parent`: the parent's pid, as the parent gave it.

    Imports take seconds. A child that asked the system for the pid after them would miss a parent that died before."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="exit-with-parent").start()


@contextlib.contextmanager
def plain_errors(*_):
    """Stands for Prefect's `handle_engine_signals` in worker processes. That one turns an error of Prefect's own, such
    as a server that is away when a task begins, into SystemExit; the thread of the parent that passes results on dies
    of it, and the run waits for good."""
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        raise RuntimeError(f"{type(error).__name__}: {error}") from None


@contextlib.contextmanager
def kept_context(context: dict | None = None, client=None):
    """Stands for Prefect's `hydrated_context` in worker processes. That one reads all settings and makes two clients
    with their TLS contexts for every task, half of what a task run costs; here they stay for the tasks of one run."""
    told = (context or {}).get("settings_context")
    if told and told != _kept.get("told"):
        if _kept:
            _kept.pop("entered").close()
            _kept.clear()
        with contextlib.ExitStack() as stack:
            stack.enter_context(SettingsContext(**told))
            try:
                stack.enter_context(SyncClientContext.get_or_create())
            except RuntimeError as error:  # Prefect's word for a server that is away
                raise (error.__cause__ if isinstance(error.__cause__, httpx.TransportError) else error) from None
            _kept.update(told=told, entered=stack.pop_all())
    with hydrated_context(context and context | {"settings_context": None}, client):
        yield


def begin_worker() -> None:
    """What a worker process does first: it ends with its parent, which alone hears Ctrl-C."""
    run = multiprocessing.parent_process().sentinel  # of the run, also where another process forked this one
    threading.Thread(target=_exit_after, args=(run,), daemon=True, name="exit-with-run").start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prefect.engine.handle_engine_signals = plain_errors
    prefect.context.hydrated_context = kept_context


def _exit_after(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


class WorkerProcesses(ProcessPoolTaskRunner):
    """Prefect's process pool, whose workers are forks of one process that has torch, Prefect and the stages loaded
    (preload.py) and does nothing else: they need not import them again. Prefect's own are new processes that do."""

    def __enter__(self):
        super().__enter__()
        # A worker that is killed while it writes a message keeps the queue's lock for good. Python would wait for that
        # lock when this process ends; nothing that the process itself writes there is worth it.
        self._subprocess_message_queue.cancel_join_thread()
        spawning = self._executor  # it starts no process before its first task
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["salmu.flows.running.preload"])
        begin = (dict(os.environ), spawning._initializer, spawning._initargs)
        self._executor = ProcessPoolExecutor(spawning._max_workers, context, _begin_fork, begin)
        return self


def _begin_fork(environment: dict[str, str], initializer, arguments: tuple) -> None:
    """The surroundings are those of now, not of when the first worker was wanted."""
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # as TMPDIR says now
    initializer(*arguments)


@contextlib.contextmanager
def interruptible():
    """Inside, Ctrl-C ends the worker processes first, so that nobody waits for a shard of minutes, then the run.

    Libraries may turn the interrupt into an error of their own (pydantic does while it serialises); it stays one."""
    interrupted = False

    def stop(*_) -> None:
        nonlocal interrupted
        interrupted = True
        for child in multiprocessing.active_children():
            child.terminate()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    except Exception:
        if interrupted:
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def server_ahead():
    """Inside, the server that `api_server` is going to start is on its way already: it takes as long to come up as the
    flows take to import. It ends with the block if nobody wanted it."""
    if not PREFECT_API_URL.value():
        _ahead.append(_own())
    try:
        yield
    finally:
        while _ahead:
            server, _, _ = _ahead.pop()
            server.kill()
            server.wait()


@contextlib.contextmanager
def api_server():
    """The configured Prefect server, or one of our own on a free local port for as long as the block lasts.

    A server of our own that dies is started again on the same port. Prefect's clients try again for about a minute, so
    the run goes on; without a server they would still try when the run has ended, for minutes. Raises UserError if the
    configured one does not answer, or does not fit."""
    if PREFECT_API_URL.value():
        require_server()
        yield
        return
    server, port, errors = _ahead.pop() if _ahead else _own()
    url = f"http://127.0.0.1:{port}/api"
    servers, ended = [server], threading.Event()
    watch = threading.Thread(target=_start_again, args=(servers, port, ended), daemon=True, name="server-watch")
    try:
        _wait_until_healthy(url, servers[0], errors)
        watch.start()
        os.environ["PREFECT_API_URL"] = url  # for every thread and worker
        refresh_global_settings_context()
        yield
    finally:
        APILogHandler().flush()  # the last lines, before the server goes
        ended.set()
        if watch.is_alive():
            watch.join()
        os.environ.pop("PREFECT_API_URL", None)
        refresh_global_settings_context()
        servers[-1].terminate()
        try:
            servers[-1].wait(10)
        except subprocess.TimeoutExpired:
            servers[-1].kill()


def require_server() -> None:
    """Raises UserError if the configured Prefect server does not answer, or is not of this version."""
    url = PREFECT_API_URL.value()
    try:
        with (
            temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
            get_client(httpx_settings={"timeout": ANSWER_SECONDS}, sync_client=True) as client,
        ):
            if problem := client.api_healthcheck():
                raise problem
            client.raise_for_api_version_mismatch()
    except Exception as error:  # of httpx, of Prefect, of whatever else answers there
        raise UserError(
            f"PREFECT_API_URL: no Prefect server that fits answers at {url} "
            f"({told_of(url, error)}); start it with prefect server start, or unset "
            "PREFECT_API_URL (also: prefect config unset PREFECT_API_URL), then each run starts a server of its own"
        ) from None


def _own() -> tuple[subprocess.Popen, int, IO[bytes]]:
    """A server that has just been started on a free port, the port, and what it writes to stderr."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    errors = tempfile.TemporaryFile()
    return _started(port, errors), port, errors


def _started(port: int, errors: IO[bytes] | int = subprocess.DEVNULL) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "salmu.flows.running.processes", str(port), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        env={name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
        | {"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR"},
        start_new_session=True,  # Ctrl-C is not for the server, which still has to hear how the run ended
    )


def _start_again(servers: list[subprocess.Popen], port: int, ended: threading.Event) -> None:
    """Until the run has ended, replace the last of `servers` when it dies."""
    while len(servers) < SERVER_STARTS and not ended.wait(0.5):
        if servers[-1].poll() is not None:
            servers.append(_started(port))


def _wait_until_healthy(url: str, server: subprocess.Popen, errors: IO[bytes]) -> None:
    deadline = time.monotonic() + SERVER_START
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        time.sleep(0.3)
    errors.seek(0)
    lines = errors.read().decode(errors="replace").splitlines()
    said = [line for line in lines if re.match(r"[\w.]+(Error|Exception): ", line)] or ["it gives no reason"]
    raise UserError(
        f"the Prefect server did not start ({said[-1]}); it keeps its database in PREFECT_HOME, by default ~/.prefect, "
        "or at PREFECT_API_DATABASE_CONNECTION_URL; prefect server start shows more"
    )


def serve(port: int, parent: int) -> None:
    """Be the server, until the parent ends."""
    exit_with_parent(parent)
    import uvicorn

    os.environ.setdefault("PREFECT_SERVER_UI_API_URL", f"http://127.0.0.1:{port}/api")  # where the UI's pages ask
    refresh_global_settings_context()
    uvicorn.run("prefect.server.api.server:create_app", factory=True, host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    serve(port=int(sys.argv[1]), parent=int(sys.argv[2]))
