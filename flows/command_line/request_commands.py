"""Commands about erasure requests: forget, and verify --receipt."""

from pathlib import Path

from salmu.data.errors import UserError
from salmu.data.files import remove
from salmu.flows.command_line.opening import overrides
from salmu.flows.command_line.output import show, text_table


def forget(options) -> None:
    from salmu.evaluation.requests.settings import ForgetSettings
    from salmu.flows.erasure import finish, open_stream, rows_of, work_all
    from salmu.flows.running.lock import run_lock
    from salmu.flows.running.progress import terminal_progress

    given = {name: getattr(options, name, None) for name in ForgetSettings.model_fields}
    given = {name: value for name, value in given.items() if value is not None}
    out, there = Path(options.out), Path(options.out).exists()
    files = (options.requests, options.model, options.dataset)
    with run_lock(out):
        try:
            stream = open_stream(*files, out, given, overrides(options))
        except UserError:
            _nothing_left(out, there)
            raise
        if options.dry_run:
            _nothing_left(out, there)
            rows, failed = rows_of(stream), []
        else:
            with terminal_progress("forget", "steps") as tell:
                failed = work_all(stream, lambda name, done, total: tell(done, total))
            finish(stream, options.show_facts)
            rows = rows_of(stream, failed)
    about = {"dry_run": options.dry_run, "out": str(out), "requests": rows}
    table = text_table([{key: value for key, value in row.items() if key != "reason"} for row in rows])
    reasons = [row["reason"] for row in rows if row["reason"]]
    show(options, about, "\n".join([table, *reasons, *[f"receipts: {out}/requests.html"] * bool(stream.records)]))
    wrong = [row for row in rows if row["state"] in ("refused", "failed")]
    if wrong:
        raise UserError(f"{len(wrong)} of {len(rows)} requests are not done: {wrong[0]['reason']}")


def _nothing_left(out: Path, there: bool) -> None:
    """A command that does no work leaves no folder that was not there."""
    if not there:
        remove(out)


def verify_receipt(options) -> None:
    from salmu.evaluation.report.receipts import check_page
    from salmu.evaluation.requests.receipt import check_receipt

    path = Path(options.receipt)
    found = check_receipt(path) | {"page": check_page(path)}
    show(options, {"path": str(path), **found}, "\n".join(f"{what}: {how}" for what, how in found.items()))
