"""The whole picture in one flow run: dataset, model pair, benchmark, report."""

from typing import Any, Literal

from prefect import flow

from flows.benchmark import make_benchmark, write_report
from flows.dataset import make_dataset, open_run
from flows.lock import run_lock
from flows.processes import api_server, worker_pool
from flows.settings import save
from flows.training import make_pair

Part = Literal["dataset", "pair", "benchmark"]


@flow(name="everything", flow_run_name="everything-{run}", task_runner=worker_pool(), persist_result=False)
def everything(
    run: str = "tiny",
    profile: str | None = None,
    overrides: dict[str, Any] | None = None,
    root: str = "runs",
    until: Part = "benchmark",
) -> str:
    """Make a run, from anchors to the report; only what is missing or stale is made. Returns the path of the report.

    Args:
        run: Name of the run; its folder lies in `root`.
        profile: Name of a profile or path of a YAML file; by default the settings that the run was made with, else
        `tiny`.
        overrides: Settings to change, {"stage.key": value}.
        root: Folder of all runs.
        until: The last part to make.
    """
    store, settings = open_run(root, run, profile, overrides)
    with run_lock(store.folder):
        save(settings, store.folder)
        make_dataset(store, settings)
        if until in ("pair", "benchmark"):
            make_pair(store, settings)
        if until == "benchmark":
            make_benchmark(store, settings)
        return write_report(str(store.folder))


def run_everything(
    run: str, profile: str | None, overrides: dict[str, Any], root: str, until: Part, workers: int
) -> str:
    """`salmu run`: the flow, with so many worker processes."""
    with api_server():
        return everything.with_options(task_runner=worker_pool(workers))(run, profile, overrides, root, until)
