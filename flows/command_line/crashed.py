"""Flow runs that nobody works on any more: `salmu crashed`.

A machine that dies cannot tell the server: its flow run stays in Running for good, and cannot be retried."""

from collections.abc import Callable, Iterator
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
    FlowRunFilterTags,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType, TaskRun
from prefect.client.schemas.sorting import FlowRunSort, TaskRunSort
from prefect.events.filters import EventAnyResourceFilter, EventFilter
from prefect.states import AwaitingRetry, Crashed
from pydantic import BaseModel, Field, ValidationError

from salmu.data.errors import UserError
from salmu.data.text import printable
from salmu.flows.running.flow_runs import TAG
from salmu.flows.running.lock import holder
from salmu.flows.running.stages import STAGES
from salmu.flows.settings import run_folder

FLOWS = ["everything", "dataset", "pair", "benchmark", "shards", *(f"stage-{name}" for name in STAGES)]
AT_WORK = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
PAGE = 200  # runs that the server hands out at once


class Parameters(BaseModel):
    """Which run a flow run works on, as far as its parameters say."""

    run: str = Field("tiny", min_length=1, pattern=r"^[^\x00-\x1f]+$")
    root: str = Field("runs", min_length=1, pattern=r"^[^\x00-\x1f]+$")


class Lost(NamedTuple):
    """A flow run at work by its state, with no sign of life on the server for a while."""

    flow_run: FlowRun
    silent: timedelta
    left: str | None  # why it must be left alone after all


def find_lost(client: SyncPrefectClient, silent: timedelta) -> list[Lost]:
    """The project's flow runs, by their tag and the name of their flow, that have given no sign of life for longer than
    `silent`: no state, no heartbeat, no event of a task run."""
    found = [(run, datetime.now(UTC) - _last_sign(client, run)) for run in list(_flow_runs_at_work(client))]
    return [Lost(run, since, _why_left(run.parameters)) for run, since in found if since > silent]


def _flow_runs_at_work(client: SyncPrefectClient) -> Iterator[FlowRun]:
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=AT_WORK))
    return _pages(
        client.read_flow_runs,
        flow_filter=FlowFilter(name=FlowFilterName(any_=FLOWS)),
        flow_run_filter=FlowRunFilter(state=state, tags=FlowRunFilterTags(all_=[TAG])),
        sort=FlowRunSort.ID_DESC,
    )


def mark_crashed(client: SyncPrefectClient, lost: Lost, retry: bool, dry_run: bool = False) -> str:
    """Mark the flow run and its task runs as Crashed and, if wanted, start it again; returns what was done."""
    if lost.left:
        return f"left: {lost.left}"
    if dry_run:
        return "nothing: --dry-run"
    flow_run = lost.flow_run
    message = f"Gave no sign of life for {lost.silent.total_seconds():.0f} s; marked by salmu crashed."
    client.set_flow_run_state(flow_run.id, Crashed(message=message), force=True)
    for task_run in list(_task_runs_at_work(client, flow_run)):
        client.set_task_run_state(task_run.id, Crashed(message="Its flow run crashed."), force=True)
    if not retry:
        return "marked Crashed"
    if flow_run.deployment_id is None:
        return "marked Crashed; it was started from the command line: run that command again"
    client.set_flow_run_state(flow_run.id, AwaitingRetry())
    return "marked Crashed, started again"


def mark_all(silent: float, retry: bool, dry_run: bool) -> list[dict[str, Any]]:
    """Find and mark; one row a flow run. `silent`: in seconds."""
    with get_client(sync_client=True) as client:
        return [
            {
                "flow run": printable(lost.flow_run.name),
                "id": str(lost.flow_run.id),
                "state": lost.flow_run.state_name,
                "silent": f"{lost.silent.total_seconds():.0f} s",
                "done": mark_crashed(client, lost, retry, dry_run),
            }
            for lost in find_lost(client, timedelta(seconds=silent))
        ]


def _last_sign(client: SyncPrefectClient, flow_run: FlowRun) -> datetime:
    any_resource = EventAnyResourceFilter(id=[f"prefect.flow-run.{flow_run.id}"])
    events = client.read_events(EventFilter(any_resource=any_resource), limit=1).events
    return max([flow_run.state.timestamp, *(event.occurred for event in events)])


def _why_left(parameters: dict[str, Any]) -> str | None:
    try:
        place = Parameters.model_validate(parameters)
        found = holder(run_folder(place.root, place.run))
    except ValidationError as error:
        return f"its parameters name no run ({', '.join(str(each['loc'][0]) for each in error.errors())})"
    except UserError:  # a kind of storage that is not installed here: a run of another machine
        return None
    return f"a process of this machine works on its run ({found})" if found and found.alive else None


def _task_runs_at_work(client: SyncPrefectClient, flow_run: FlowRun) -> Iterator[TaskRun]:
    state = TaskRunFilterState(type=TaskRunFilterStateType(any_=AT_WORK))
    return _pages(
        client.read_task_runs,
        flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run.id])),
        task_run_filter=TaskRunFilter(state=state),
        sort=TaskRunSort.ID_DESC,
    )


def _pages(read: Callable[..., list], **query) -> Iterator:
    offset = 0
    while page := read(**query, limit=PAGE, offset=offset):
        yield from page
        offset += len(page)
