"""Commands about a run: run, stage, status, plan, inspect, clean, report."""

import sys
import time
from itertools import islice
from pathlib import Path

from salmu.data.errors import UserError
from salmu.data.files import listed, remove, size
from salmu.data.suggestions import salmu_command
from salmu.flows.checks import check_before_start
from salmu.flows.command_line.opening import existing, note_if_under_way, note_methods_left_out, opened, overrides
from salmu.flows.command_line.output import show, text_table
from salmu.flows.command_line.plan import plan_rows, totals
from salmu.flows.command_line.status import as_text, parts_of
from salmu.flows.machine_check.measured_rates import kept
from salmu.flows.names import parts_until
from salmu.flows.running.console import warn
from salmu.flows.running.lock import holder, require_free, run_lock
from salmu.flows.running.stages import STAGES, models_of
from salmu.flows.settings import open_run, require_run, run_name


def run(options) -> None:
    from salmu.flows.running import runners
    from salmu.flows.running.processes import server_ahead

    runners.choose(options.runner, options.workers, options.address)
    name, changes = run_name(options.run, options.profile), overrides(options)
    store, settings = open_run(options.runs, name, options.profile, changes)
    check_before_start(settings, parts_until(options.until))  # before a server starts
    if options.methods:
        note_methods_left_out(settings)
    require_free(store.folder)
    with server_ahead():
        from salmu.flows.everything import run_everything

        start = time.perf_counter()
        report = run_everything(name, options.profile, changes, options.runs, options.until)
    print(f"done in {time.perf_counter() - start:.0f} s; report: {report}")


def stage(options) -> None:
    from salmu.flows.running import runners
    from salmu.flows.running.processes import server_ahead

    runners.choose(options.runner, options.workers, options.address)
    name, changes = run_name(options.run, options.profile), overrides(options)
    require_run(options.runs, name, options.profile)
    store, settings = open_run(options.runs, name, options.profile, changes)
    check_before_start(settings, [options.stage])  # before a server starts
    require_free(store.folder)
    with server_ahead():
        from salmu.flows.dataset import run_stage_alone

        stale = run_stage_alone(options.stage, name, changes, options.runs, options.profile)
    print(f"stage {options.stage} of {name} is up to date")
    if stale:
        print(f"stale now: {', '.join(stale)}; bring them up to date: {salmu_command('run', store.folder)}")


def status(options) -> None:
    store, settings = opened(options)
    parts, worker = parts_of(store, settings), holder(store.folder)
    document = {
        "run": store.folder.name,
        "folder": str(store.folder),
        "worker": worker and worker._asdict(),
        "parts": [part._asdict() for part in parts],
    }
    show(options, document, as_text(parts, worker, store.folder))


def plan(options) -> None:
    if options.run:
        require_run(options.runs, options.run, options.profile)
    store, settings = open_run(options.runs, options.run, options.profile, overrides(options))
    notes = check_before_start(settings, here=False)
    if options.methods:
        note_methods_left_out(settings)
    rows = plan_rows(store, settings, options.workers, options.gpus, kept(store.folder, settings))
    weights = [
        {"model": m.name, "for": m.use, "licence": m.licence} for m in models_of(settings) if m.name != "embedded"
    ]
    text = f"{text_table(rows)}\n{totals(rows, options.workers, options.gpus, options.gpu_price)}"
    if weights:
        text += f"\n\nweights that come under licences of their own:\n{text_table(weights)}"
    text += "".join(f"\n\nwarning: {note}" for note in notes)
    show(options, {"stages": rows, "weights": weights, "warnings": notes}, text)


def inspect(options) -> None:
    from salmu.flows.command_line.inspect_items import as_page, as_plain, as_text, select, write_page

    store = existing(options)
    where = {name: value for name, _, value in (text.partition("=") for text in options.where)}
    found = list(islice(select(store, options.stage, options.item, where, options.rejects), options.rows + 1))
    rows, more = found[: options.rows], len(found) > options.rows
    kind = "reject" if options.rejects else "row"
    if not rows:
        raise UserError(f"stage {options.stage}: no such {kind}; remove a condition, or correct the key")
    several = f"{len(rows)} {kind}s" if len(rows) > 1 else kind
    told = f"the first {several}; --rows shows more" if more else f"{len(rows)} {kind}{'s' * (len(rows) > 1)}"
    if options.html:
        title = f"{store.folder.name}: {options.stage}" + (", rejects" if options.rejects else "")
        write_page(Path(options.html), as_page(rows, title, told))
        print(f"page: {options.html} ({told})")
    else:
        show(options, [as_plain(row) for row in rows], as_text(rows))
        if more and not options.quiet:
            print(f"note: {told}", file=sys.stderr)


def clean(options) -> None:
    store = existing(options)
    with run_lock(store.folder):
        found = [path for stage in STAGES for path in store.orphans(stage)]
        freed = sum(sum(filter(None, listed(path).values())) if path.is_dir() else size(path) or 0 for path in found)
        for path in found:
            print(path)
            if not options.dry_run:
                remove(path)
    print(f"{len(found)} {'would be ' if options.dry_run else ''}removed, {freed / 1e6:.1f} MB")


def report(options) -> None:
    from salmu.data.text import red
    from salmu.evaluation.report.build import build
    from salmu.evaluation.verdicts.leaderboard import records_of
    from salmu.evaluation.verdicts.soundness import warning

    store, _ = opened(options)
    note_if_under_way(store.folder)
    print(f"report: {build(store.folder)}")
    if worthless := warning(records_of(store.folder)):
        warn(red(worthless, sys.stderr))
