#!/usr/bin/env bash
# prefect-ray 0.6.0 with ray 2.60.0: RayTaskRunner() without an address sends its tasks to a Ray cluster of somebody else
# that runs on the machine. With init_kwargs={"num_cpus": 1}, as one gives for a cluster of one's own, it fails there.
#
# Guess before the run: a temporary cluster for the flow run, as the docstring says ("if one is not provided, a temporary
# instance will be created").
# Seen: ray.init() without an address looks for a running cluster first and joins it; a temporary one is made only
# where there is none. The log says "Creating a local Ray instance" in both cases. With num_cpus the flow ends with
# ValueError: "When connecting to an existing cluster, num_cpus and num_gpus must not be provided".
# address="local" does what the docstring says, though the log then says "Connecting to an existing Ray instance at
# local".
# It matters on shared machines: the same flow runs on its own cluster one day, waits for the CPUs of another person's
# cluster the next day, or fails.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile prefect==3.9.1 prefect-ray==0.6.0 ray==2.60.0
cat > "$folder/where.py" <<'PYTHON'
import importlib.metadata
import sys

import ray
from prefect import flow, task
from prefect_ray import RayTaskRunner


@task
def mark() -> float:
    return ray.cluster_resources().get("mark of somebody else", 0)


def mark_seen(**choice) -> float:
    """What a task sees of the resource that only the other cluster has."""

    @flow(task_runner=RayTaskRunner(**choice))
    def asked():
        return mark.submit().result()

    return asked()


if __name__ == "__main__":
    from ray.cluster_utils import Cluster

    for package in ("prefect", "prefect-ray", "ray"):
        print(package, importlib.metadata.version(package))
    quiet = {"include_dashboard": False, "log_to_driver": False, "configure_logging": False}
    own = {"address": "local", "init_kwargs": {"num_cpus": 1, **quiet}}
    assert mark_seen(**own) == 0
    other = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, "resources": {"mark of somebody else": 1}},
    )
    try:
        seen = mark_seen(init_kwargs={"log_to_driver": False})
        print("no address: the task sees the other cluster's mark", seen)
        assert seen == 1
        try:
            mark_seen(init_kwargs={"num_cpus": 1, **quiet})
        except ValueError as error:
            print("no address, num_cpus:", error)
            assert "existing cluster" in str(error)
        else:
            sys.exit("num_cpus was taken")
        seen = mark_seen(**own)
        print("address='local': the task sees", seen)
        assert seen == 0
    finally:
        other.shutdown()
PYTHON
export PREFECT_HOME="$folder/prefect" RAY_TMPDIR="$folder/ray" HOME="$folder"
export PREFECT_LOGGING_LEVEL=ERROR PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=300
mkdir "$folder/ray"
"$folder/venv/bin/python" "$folder/where.py" 2> "$folder/messages" || { tail -20 "$folder/messages"; exit 1; }
