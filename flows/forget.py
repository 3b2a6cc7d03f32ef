"""Erasure requests as a flow: the deployment forget/requests, by hand, on a schedule or when an event says so."""

from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from salmu.data.errors import UserError
from salmu.data.files import require_disk
from salmu.data.text import markdown_cell
from salmu.evaluation.report.receipts import write_pages
from salmu.evaluation.requests.evidence import AWAY
from salmu.evaluation.requests.settings import ForgetSettings
from salmu.evaluation.requests.stream import Stream
from salmu.flows.erasure import finish, names_of, open_stream, rows_of
from salmu.flows.running.artifacts import show_card
from salmu.flows.running.console import say
from salmu.flows.running.flow_runs import fails_in_one_line, may_help, require_absolute
from salmu.flows.running.lock import run_lock
from salmu.flows.running.progress import shown_progress
from salmu.flows.settings import run_folder


@task(
    name="forget",
    task_run_name="forget-{name}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=10,
    retry_condition_fn=may_help,
)
def forget_group(stream: Stream, place: int, name: str) -> None:
    """Work one request, or those that are worked together, and show their receipts."""
    with shown_progress(stream.folder.name, f"forgetting of {name}", "steps") as show:
        records = stream.work(stream.groups[place], show)
    write_pages(stream.folder)
    for record in records:
        show_card(
            stream.folder.name, f"receipt {record['request']}", receipt_card(record), f"receipt {record['request']}"
        )


def receipt_card(record: dict[str, Any]) -> str:
    """A receipt in short, in Markdown."""
    proof, change = record["evidence"], record["evidence"]["request"]
    before, after = (change[when]["caption"] for when in ("before", "after"))
    kept = [part["change"] for part in proof["kept"]]
    figures = {
        "pairs": record["asked"]["pairs"],
        "own caption before, mean reciprocal rank": f"{before['value']:.3f}",
        "after": f"{after['value']:.3f} (95 of 100 random orders give less than {change['limit']:.3f})",
        "kept captions": ", ".join(
            f"{one['before']['caption']['value']:.3f} → {one['after']['caption']['value']:.3f}" for one in kept
        ),
        "earlier requests found again": sum(one["state"] not in (*AWAY, None) for one in proof["earlier"]),
        "model before": record["model_before"],
        "model after": record["model_after"],
        "record": record["content_digest"],
        "seconds": round(record["method_seconds"] + record["evidence_seconds"], 1),
    }
    rows = "\n".join(f"| {name} | {markdown_cell(str(value))} |" for name, value in figures.items())
    title = markdown_cell(record["request"])
    return f"# Receipt of request {title}\n\n**{proof['state'].capitalize()}.**\n\n| | |\n|---|---|\n{rows}\n"


@flow(name="forget", flow_run_name="forget-{run}", persist_result=False)
@fails_in_one_line
def forget(
    run: str = "tiny",
    requests: str = "requests.csv",
    model: str | None = None,
    dataset: str | None = None,
    out: str = "forget",
    forgetting: ForgetSettings | None = None,
    overrides: dict[str, Any] | None = None,
    root: str = "runs",
) -> list[dict[str, Any]]:
    """Work the requests of a file that are new; finished ones are never touched again, so that a schedule may name the
    same growing file each time. A request that fails is tried again alone, and the others do not wait for it.

    Args:
        run: Name of the run in whose folder the other paths lie, unless they are absolute.
        requests: CSV or JSONL of requests, or a folder of pictures with captions.
        model: The model that the first request begins with; by default the run's Compromised.
        dataset: The pairs that may be seen; by default the run's dataset.
        out: Folder of models, records and receipts.
        forgetting: Method, budget, and whether all new requests are worked together.
        overrides: Settings of the method, {"unlearning.methods.METHOD.key": value}.
        root: Folder of all runs.
    """
    require_absolute(root)
    home = run_folder(root, run)
    require_disk(home)
    places = [home / place for place in (requests, model or "models/compromised", dataset or "dataset", out)]
    given = (forgetting or ForgetSettings()).model_dump(exclude_unset=True)
    failed = []
    with run_lock(places[3]):
        stream = open_stream(*places, given, overrides)
        for place, group in enumerate(stream.groups):
            name = names_of(group)
            state = forget_group(stream, place, name, return_state=True)
            if not state.is_completed():
                failed.append(f"{name}: {state.message}")
        finish(stream)
    rows = rows_of(stream, failed)
    wrong = [row for row in rows if row["state"] in ("refused", "failed")]
    for row in rows:
        say(f"request {row['request']}: {row['state']}")
    if wrong:
        raise UserError(f"{len(wrong)} of {len(rows)} requests are not done: {wrong[0]['reason']}")
    return rows
