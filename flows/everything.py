"""The whole picture in one flow run: dataset, model pair, benchmark, report."""

from typing import Any, Literal

from prefect import flow, tags

from salmu.data.files import require_disk
from salmu.flows.benchmark import make_pair_and_benchmark, write_report
from salmu.flows.dataset import make_dataset, open_checked
from salmu.flows.forms import Profile, Sections, filled_in
from salmu.flows.names import PARTS, STAGES, parts_until
from salmu.flows.running.cards import shown_run
from salmu.flows.running.flow_runs import TAG, absolute_root, fails_in_one_line
from salmu.flows.running.lock import require_free, run_lock
from salmu.flows.running.processes import api_server, interruptible
from salmu.flows.running.runners import task_runner
from salmu.flows.settings import run_folder, save
from salmu.flows.training import make_pair

Part = Literal[*PARTS]


@flow(name="everything", flow_run_name="everything-{run}", task_runner=task_runner(), persist_result=False)
@fails_in_one_line
def everything(
    run: str = "tiny",
    profile: Profile | None = None,
    settings: Sections | None = None,
    overrides: dict[str, Any] | None = None,
    root: str = "runs",
    until: Part = "benchmark",
) -> str:
    """Make a run, from the candidates to the report; only what is missing or stale is made. Returns the report's path.

    Args:
        run: Name of the run; its folder lies in `root`.
        profile: A profile by name or YAML file; by default the settings that the run was made with, else tiny.
        settings: Sections that stand above those of the profile or the run.
        overrides: Single settings above all others, {"stage.key": value}.
        root: Folder or URL of all runs.
        until: The last part to make.
    """
    store, chosen = open_checked(root, run, profile, filled_in(overrides, settings), parts_until(until))
    if until == "benchmark":
        chosen.unlearning.runs()  # refuses a method that is missing before anything is made
    if until in ("pair", "benchmark"):
        require_disk(store.folder)
    with run_lock(store.folder), shown_run(store):
        save(chosen, store.folder)
        make_dataset(store, chosen, until if until in STAGES else None)
        if until == "pair":
            make_pair(store, chosen)
        elif until == "benchmark":
            make_pair_and_benchmark(store, chosen)
        return write_report(str(store.folder))


def run_everything(run: str, profile: str | None, overrides: dict[str, Any], root: str, until: Part) -> str:
    """`salmu run`: the flow on the chosen runner. Refused before a server starts if another process holds the run."""
    require_free(run_folder(root, run))
    with interruptible(), api_server(), tags(TAG):
        return everything.with_options(task_runner=task_runner())(
            run, profile, overrides=overrides, root=absolute_root(root), until=until
        )
