"""Shards made on other machines: runs of the deployment `shards/gpu`, one after the other on each worker of its pool.

Each of these runs makes a row of shards with its models kept loaded, and leaves an entry beside each shard's files; the
run that asked for them commits the entries. A run whose machine dies is put on again, once its state says so.
"""

import time
from collections import deque
from collections.abc import Callable

from prefect import flow, get_client
from prefect.client.schemas.objects import StateType
from prefect.deployments import run_deployment

from salmu.data.documents import loaded
from salmu.data.errors import UserError
from salmu.data.files import listed, remove, write_atomic
from salmu.data.store import Entry, Shard, Store
from salmu.flows.running import runners
from salmu.flows.running.drill import DrillSettings
from salmu.flows.running.flow_runs import fails_in_one_line
from salmu.flows.running.shards import make_shards
from salmu.flows.running.stages import STAGES, planned
from salmu.flows.settings import load_run

DEPLOYMENT = "shards/gpu"
LEFT = ".made-"  # how the names of entries begin that are left for another flow run
GROUPS_A_SLOT = 4  # runs a slot: more even out slower machines, fewer load the models less often
POLL = 2.0  # seconds
LOSSES = 3  # runs that may end without their shards, with no shard finished in between


@flow(name="shards", flow_run_name="shards-{stage}-{run}", task_runner=runners.task_runner(), persist_result=False)
@fails_in_one_line
def shards(
    run: str,
    stage: str,
    indices: list[int],
    root: str = "runs",
    drill: DrillSettings = DrillSettings(),
    asker: str = "",
) -> None:
    """Make some shards of a stage for a run that another flow run works on, and leave their entries for it.

    Args:
        run: Name of the run.
        stage: Name of the stage.
        indices: Numbers of the shards.
        root: Folder or URL of all runs, as this machine sees it.
        drill: A failure on purpose.
        asker: Id of the flow run that asked; the drill's count is kept for it.
    """
    store, wanted = Store(f"{root.rstrip('/')}/{run}"), set(indices)
    settings = getattr(load_run(store.folder), stage)
    missing = [(shard, expected) for shard, expected in planned(store, stage, settings) if shard.index in wanted]

    def leave(shard: Shard, entry: Entry) -> None:
        write_atomic(_left(store, stage, shard.index), entry.model_dump_json().encode())

    make_shards(store, stage, settings, missing, leave, drill, asker)


def _left(store: Store, stage: str, index: int):
    return store.stage_folder(stage) / f"{LEFT}{index:05d}.json"


def make_on_work_pool(
    store: Store,
    stage: str,
    missing: list[tuple[Shard, str]],
    commit: Callable[[Shard, Entry], None],
    drill: DrillSettings,
    flow_run: str,
) -> None:
    """Have the missing shards made by runs of the deployment, and commit each as its entry appears.

    Raises UserError if a run fails, or if runs are lost again and again with no shard finished in between."""
    wanted, slots = {shard.index: (shard, expected) for shard, expected in missing}, runners.workers()

    def collect() -> int:
        """Commit what was left; what was left for other settings goes."""
        before = len(wanted)
        for name in sorted(listed(store.stage_folder(stage))):
            if not name.startswith(LEFT):
                continue
            path = store.stage_folder(stage) / name
            entry = loaded(path, Entry)
            shard, expected = wanted.get(entry.index, (None, ""))
            if shard is not None and store.is_done(stage, entry, expected):
                commit(shard, entry)
                del wanted[entry.index]
                store.work(stage, STAGES[stage].SCHEMA, entry.index, expected).clear()
            remove(path)
        return before - len(wanted)

    collect()
    size = max(1, -(-len(wanted) // (slots * GROUPS_A_SLOT)))
    indices = sorted(wanted)
    waiting = deque(indices[start : start + size] for start in range(0, len(indices), size))
    under_way, losses = {}, 0
    with get_client(sync_client=True) as client:
        while wanted:
            while waiting and len(under_way) < slots:
                group = [index for index in waiting.popleft() if index in wanted]
                if group:
                    under_way[_start(store, stage, group, drill, flow_run).id] = group
            time.sleep(POLL)
            ended = {}
            for flow_run_id in under_way:
                state = client.read_flow_run(flow_run_id).state
                if state is not None and state.is_final():
                    ended[flow_run_id] = state
            losses = 0 if collect() else losses
            for flow_run_id, state in ended.items():
                group = [index for index in under_way.pop(flow_run_id) if index in wanted]
                if group and state.type == StateType.FAILED:
                    raise UserError(f"stage {stage}: a run of {DEPLOYMENT} failed: {state.message}")
                if group:
                    losses += 1
                    if losses > LOSSES:
                        raise UserError(
                            f"stage {stage}: {losses} runs of {DEPLOYMENT} ended as {state.name} with no shard "
                            "finished in between; see their logs"
                        )
                    waiting.append(group)


def _start(store: Store, stage: str, indices: list[int], drill: DrillSettings, flow_run: str):
    root, _, run = str(store.folder).rpartition("/")
    try:
        parameters = {"run": run, "stage": stage, "indices": indices, "root": root}
        parameters |= {"drill": drill.model_dump(), "asker": flow_run}
        return run_deployment(DEPLOYMENT, parameters=parameters, timeout=0)
    except Exception as error:
        raise UserError(
            f"stage {stage}: no run of the deployment {DEPLOYMENT} could be started ({error}); make it with: salmu "
            "deploy, and serve its pool: prefect worker start --pool salmu-gpu"
        ) from None
