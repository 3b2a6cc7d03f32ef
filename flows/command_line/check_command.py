"""`salmu check`: before GPU-hours are paid for, try what a run will use."""

import sys
from typing import Any

from salmu.data.errors import UserError
from salmu.flows.command_line.opening import overrides
from salmu.flows.command_line.output import show, text_table
from salmu.flows.command_line.plan import plan_rows, rate_of, totals
from salmu.flows.machine_check import check as machine_check
from salmu.flows.machine_check.findings import FAILED, NOT_CHECKED, counted
from salmu.flows.machine_check.measured_rates import FILE, keep
from salmu.flows.names import parts_until
from salmu.flows.settings import open_run, require_run

ENGINES = "one item of each engine, then as many at once as the settings and the time allow"
MILLION = 1_000_000


def check(options) -> None:
    """Raises UserError if something failed."""
    if options.run:
        require_run(options.runs, options.run, options.profile)
    store, settings = open_run(options.runs, options.run, options.profile, overrides(options))
    before = plan_rows(store, settings, options.workers, options.gpus)
    parts, say = parts_until(options.until), _progress(options.quiet)
    before = [row for row in before if row["stage"] in parts]
    megabytes = sum(row["MB"] for row in before)
    found = machine_check.check(settings, store.folder, options.runs, megabytes, options.limit, parts, say)
    after = plan_rows(store, settings, options.workers, options.gpus, found.rates)[: len(before)]
    compared = compare(before, after, {stage: rate_of(stage, settings).seconds for stage in found.rates}, found)
    sums = [totals(rows, options.workers, options.gpus, options.gpu_price) for rows in (before, after)]
    document = {
        "run": store.folder.name,
        "findings": [finding._asdict() for finding in found.findings],
        "engines": found.engines,
        "placeholder_forms": found.forms,
        "plan": {"rates": compared, "by_tabled_rates": before, "by_measured_rates": after},
        "failed": sum(finding.state == FAILED for finding in found.all),
        "not_checked": sum(finding.state == NOT_CHECKED for finding in found.all),
    }
    show(options, document, as_text(found, compared, sums, settings.pair.epochs))
    if options.keep and found.rates:
        keep(store.folder, settings, found.rates)
        print(f"note: salmu plan takes its rates from {store.folder / FILE} now", file=sys.stderr)
    if document["failed"]:
        raise UserError(f"check: {counted(found.all)}; the lines that failed say what to do")


def _progress(quiet: bool):
    return lambda part: None if quiet else print(f"checking {part} ...", file=sys.stderr, flush=True)


def compare(
    before: list[dict], after: list[dict], tabled: dict[str, float], found: machine_check.Check
) -> list[dict[str, Any]]:
    """One row for each stage that was measured: what an item and the stage take by the tabled rate, and by what was
    measured."""
    return [
        {
            "stage": old["stage"],
            "engine": old["engine"],
            "to make": old["to make"],
            "tabled s": round(tabled[old["stage"]], 5),
            "on": old["on"],
            "hours": old["hours of work"],
            "measured s": round(found.rates[old["stage"]].seconds, 5),
            "measured on": new["on"],
            "measured hours": new["hours of work"],
        }
        for old, new in zip(before, after, strict=True)
        if old["stage"] in found.rates
    ]


def as_text(found: machine_check.Check, compared: list[dict], sums: list[str], epochs: int) -> str:
    """The findings, the engines and the plans, for people."""
    sections = [text_table([finding._asdict() for finding in found.findings])]
    sections.append(f"{ENGINES}:\n{text_table(found.engines)}")
    if found.forms:
        sections.append("\n".join(["placeholders, as the language model keeps them:", *found.forms]))
    if compared:
        sections.append(f"the plan, by the tabled rates and by what was measured:\n{text_table(compared)}")
        sections += [f"by the tabled rates {sums[0]}", f"by the measured ones {sums[1]}"]
    training = next((row for row in found.engines if row["tried"] == "training"), None)
    if training and training["s an item"] != "":
        hours = training["s an item"] * MILLION * epochs / 3600
        text = f"training: {1 / training['s an item']:,.0f} pairs a second; a million pairs take {hours:,.1f} hours"
        sections.append(f"{text} in {epochs} epochs on one such device, for each model")
    sections.append(counted(found.all))
    return "\n\n".join(sections)
