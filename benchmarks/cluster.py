"""A stage on a cluster of several nodes that is simulated on one machine: nodes by Ray's own cluster utility, Prefect's
records in Postgres, the run in an S3-compatible store (moto). The engine sleeps, so that nodes need no cores.

    python benchmarks/cluster.py [--nodes 4] [--sizes 200 800 3200] --out benchmarks/cluster.json

1. A run that nothing disturbs, and the same run while a node is killed after a third of its shards and another joins
   after two thirds: seconds, and whether the digests are equal.
2. The cost of shards that take no time, against their number: CPU seconds and peak memory of the coordinator, commits a
   second, and of each measure the slope of its logarithm over that of the size.

Needs the extra ray, moto and Postgres' server programs (Debian: postgresql)."""

import argparse
import contextlib
import json
import os
import platform
import pwd
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from both_sides import ROOT

HERE = Path(__file__).parent
WORKERS = 2  # of a node
POLL_SECONDS = 0.5


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int) -> None:
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.2)


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """A database of its own on a free port: the URL for Prefect."""
    found = [*filter(None, [shutil.which("initdb")]), *sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    if not found:
        raise SystemExit("no initdb here: install Postgres' server programs")
    binaries, port = Path(found[-1]).resolve().parent, free_port()
    with tempfile.TemporaryDirectory() as folder:
        account = {}
        if os.getuid() == 0:  # Postgres refuses to be root
            account = {"user": "nobody"}
            os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
        made = [binaries / "initdb", "-D", f"{folder}/data", "-U", "prefect", "-A", "trust", "-E", "UTF8"]
        subprocess.run(made, cwd=folder, stdout=subprocess.DEVNULL, check=True, **account)
        options = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": folder,
            "max_connections": 200,
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        server = subprocess.Popen(
            [binaries / "postgres", "-D", f"{folder}/data", *words], cwd=folder, stderr=subprocess.DEVNULL, **account
        )
        try:
            wait_for(port)
            yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/postgres"
        finally:
            server.terminate()
            server.wait(30)


@contextlib.contextmanager
def object_store() -> Iterator[dict[str, str]]:
    """A server in a process of its own: the surroundings in which fsspec finds it."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port)
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "simulated",
            "AWS_SECRET_ACCESS_KEY": "simulated",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        server.terminate()
        server.wait(30)


def coordinate(job: dict) -> dict:
    """In a process of its own: the stage on the cluster at an address."""
    from overhead import SleepingSettings, register
    from prefect import flow
    from prefect_ray import RayTaskRunner

    from salmu.data.store import Store
    from salmu.flows.running.processes import api_server
    from salmu.flows.running.stage import run_stage

    register()
    store, settings = Store(job["store"]), SleepingSettings(**job["settings"])
    hook = {"worker_process_setup_hook": "overhead.register"}
    runner = RayTaskRunner(
        address=job["address"], init_kwargs={"runtime_env": hook, "log_to_driver": False, "configure_logging": False}
    )

    @flow(name="cluster", task_runner=runner, persist_result=False)
    def on_the_cluster():
        run_stage(store, "sleeping", settings)

    with api_server():
        before, start = time.process_time(), time.perf_counter()
        on_the_cluster()
        seconds, cpu = time.perf_counter() - start, time.process_time() - before
    return {
        "seconds": round(seconds, 2),
        "coordinator CPU seconds": round(cpu, 2),
        "coordinator MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "commits a second": round(settings.shards / seconds, 2),
        "digest": store.manifest("sleeping").digest,
    }


def one_run(name: str, settings: dict, nodes: int, disturb: bool) -> dict:
    """A run on a new cluster: what the coordinator tells, and when nodes went and came."""
    import fsspec
    from ray.cluster_utils import Cluster

    from salmu.data.store import Store

    fsspec.filesystem("s3").mkdir(name)
    store = Store(f"s3://{name}/run")
    with postgres() as url, tempfile.TemporaryDirectory() as home:
        own = os.environ | {"PREFECT_HOME": home, "PREFECT_API_DATABASE_CONNECTION_URL": url, "SALMU_RUNNER": "ray"}
        nodes_too = {"PYTHONPATH": f"{HERE}{os.pathsep}{ROOT}", "RAY_TMPDIR": home}
        own |= {"PREFECT_LOGGING_LEVEL": "ERROR"} | nodes_too
        os.environ |= nodes_too
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        members = [cluster.add_node(num_cpus=WORKERS) for _ in range(nodes)]
        job = {"store": str(store.folder), "address": cluster.address, "settings": settings}
        words, told, start = [sys.executable, __file__, "--job", json.dumps(job)], {}, time.perf_counter()
        coordinator = subprocess.Popen(words, env=own, stdout=subprocess.PIPE, text=True)

        def reached(share: float) -> None:
            while coordinator.poll() is None and len(store.manifest("sleeping").shards) < share * settings["shards"]:
                time.sleep(POLL_SECONDS)

        try:
            if disturb:
                reached(1 / 3)
                cluster.remove_node(members[0], allow_graceful=False)
                told["a node killed at, s"] = round(time.perf_counter() - start, 1)
                reached(2 / 3)
                cluster.add_node(num_cpus=WORKERS)
                told["another added at, s"] = round(time.perf_counter() - start, 1)
            output, _ = coordinator.communicate()
        finally:
            coordinator.kill()
            cluster.shutdown()
    if coordinator.returncode:
        raise SystemExit(f"the run {name} failed with code {coordinator.returncode}")
    return json.loads(output.splitlines()[-1]) | told


def exponents(sizes: dict[str, dict]) -> dict[str, float]:
    """Of each measure: the slope of its logarithm over that of the size."""
    found = {}
    for name in ("seconds", "coordinator CPU seconds", "coordinator MB"):
        values = [told[name] for told in sizes.values()]
        found[name] = round(float(np.polyfit(np.log([int(size) for size in sizes]), np.log(values), 1)[0]), 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--shards", type=int, default=240, help="of the disturbed run")
    parser.add_argument("--seconds", type=float, default=2.0, help="that each of them takes")
    parser.add_argument("--sizes", type=int, nargs="*", default=[200, 800, 3200], help="shards that take no time")
    parser.add_argument("--parts", nargs="+", choices=("runs", "sizes"), default=["runs", "sizes"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(coordinate(options.job)))
        return
    result = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "nodes": options.nodes,
        "workers of a node": WORKERS,
        "shards": options.shards,
        "seconds of a shard": options.seconds,
        "runs": {},
        "sizes": {},
    }
    if options.out and options.out.is_file():
        earlier = json.loads(options.out.read_text(encoding="utf-8"))
        result |= {part: found for part, found in earlier.items() if part not in options.parts}

    def keep() -> None:
        result["load"] = [round(value, 1) for value in os.getloadavg()]
        if options.out:
            options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    with object_store() as keys:
        os.environ |= keys
        shards = {"shards": options.shards, "portraits": 1, "seconds": options.seconds}
        kinds = (("undisturbed", False), ("a node killed, another added", True))
        for number, (name, disturb) in enumerate(kinds if "runs" in options.parts else ()):
            result["runs"][name] = told = one_run(f"run-{number}", shards, options.nodes, disturb)
            print(name, json.dumps(told), flush=True)
            keep()
        result["equal"] = len({told["digest"] for told in result["runs"].values()}) == 1
        result["seconds of the engine alone"] = options.shards * options.seconds / (options.nodes * WORKERS)
        for size in options.sizes if "sizes" in options.parts else ():
            result["sizes"][str(size)] = told = one_run(f"size-{size}", {"shards": size}, options.nodes, disturb=False)
            print(size, json.dumps(told), flush=True)
            keep()
        if len(result["sizes"]) > 1:
            result["exponents"] = exponents(result["sizes"])
    keep()
    if not result["equal"]:
        raise SystemExit("the digests differ")


if __name__ == "__main__":
    main()
