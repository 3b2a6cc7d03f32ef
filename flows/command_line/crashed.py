"""Flow runs that nobody works on any more: `salmu crashed`.

A machine that dies cannot tell the server: its flow run stays in Running for good, and cannot be retried."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events.filters import EventAnyResourceFilter, EventFilter
from prefect.states import AwaitingRetry, Crashed

from salmu.data.files import location
from salmu.flows.running.lock import holder
from salmu.flows.running.stages import STAGES

FLOWS = ["everything", "dataset", "pair", "benchmark", "shards", *(f"stage-{name}" for name in STAGES)]
AT_WORK = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
PAGE = 200  # runs that the server hands out at once


class Lost(NamedTuple):
    """A flow run at work by its state, with no sign of life on the server for a while."""

    flow_run: FlowRun
    silent: timedelta
    held: bool  # whether a process of this machine works on its run, after all


def find_lost(client: SyncPrefectClient, silent: timedelta) -> list[Lost]:
    """The project's flow runs that have given no sign of life for longer than `silent`: no state, no heartbeat, no
    event of a task run."""
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=AT_WORK))
    found = client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=FLOWS)), flow_run_filter=FlowRunFilter(state=state), limit=PAGE
    )
    silences = [(flow_run, datetime.now(UTC) - _last_sign(client, flow_run)) for flow_run in found]
    return [Lost(flow_run, since, _held(flow_run.parameters)) for flow_run, since in silences if since > silent]


def mark_crashed(client: SyncPrefectClient, lost: Lost, retry: bool) -> str:
    """Mark the flow run and its task runs as Crashed and, if wanted, have it done again; returns what was done."""
    if lost.held:
        return "left: a process of this machine works on its run"
    flow_run = lost.flow_run
    message = f"Gave no sign of life for {lost.silent.total_seconds():.0f} s; marked by salmu crashed."
    client.set_flow_run_state(flow_run.id, Crashed(message=message), force=True)
    for task_run in list(_task_runs_at_work(client, flow_run)):
        client.set_task_run_state(task_run.id, Crashed(message="Its flow run crashed."), force=True)
    if not retry:
        return "marked Crashed"
    if flow_run.deployment_id is None:
        return "marked Crashed; it came from the command line: give that command again"
    client.set_flow_run_state(flow_run.id, AwaitingRetry())
    return "marked Crashed, put on again"


def mark_all(silent: float, retry: bool, dry_run: bool) -> list[dict[str, Any]]:
    """Find and mark; one row a flow run. `silent`: in seconds."""
    with get_client(sync_client=True) as client:
        return [
            {
                "flow run": lost.flow_run.name,
                "id": str(lost.flow_run.id),
                "state": lost.flow_run.state_name,
                "silent": f"{lost.silent.total_seconds():.0f} s",
                "done": "nothing: --dry-run" if dry_run else mark_crashed(client, lost, retry),
            }
            for lost in find_lost(client, timedelta(seconds=silent))
        ]


def _last_sign(client: SyncPrefectClient, flow_run: FlowRun) -> datetime:
    any_resource = EventAnyResourceFilter(id=[f"prefect.flow-run.{flow_run.id}"])
    events = client.read_events(EventFilter(any_resource=any_resource), limit=1).events
    return max([flow_run.state.timestamp, *(event.occurred for event in events)])


def _held(parameters: dict[str, Any]) -> bool:
    folder = location(parameters.get("root", "runs")) / parameters.get("run", "tiny")
    found = holder(folder)  # none where the folder is on another machine
    return found is not None and found.alive


def _task_runs_at_work(client: SyncPrefectClient, flow_run: FlowRun) -> Iterator:
    state = TaskRunFilterState(type=TaskRunFilterStateType(any_=AT_WORK))
    offset = 0
    while True:
        page = client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run.id])),
            task_run_filter=TaskRunFilter(state=state),
            limit=PAGE,
            offset=offset,
        )
        yield from page
        if len(page) < PAGE:
            return
        offset += PAGE
