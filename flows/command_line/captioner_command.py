"""The command `salmu captioner`: what do captioners on the image towers of a run say of forgotten people?"""

from salmu.flows.command_line.opening import existing, overrides
from salmu.flows.command_line.output import show, text_table


def captioner(options) -> None:
    from salmu.evaluation.captioner.captioner import caption
    from salmu.evaluation.report.build import build
    from salmu.evaluation.report.captioner import rows_of, told
    from salmu.flows.running.lock import run_lock
    from salmu.flows.running.progress import terminal_progress
    from salmu.flows.settings import load_run

    folder = existing(options).folder
    settings = load_run(folder, overrides(options))
    with run_lock(folder), terminal_progress("captioner", "towers") as progress:
        results = caption(folder, settings.evaluation, progress)
        report = build(folder)
    rows = [
        {"captioner": title} | {group: f"{one['digits']['value']:.2f}" for group, one in found.items()}
        for title, found in rows_of(results)
    ]
    text = "\n\n".join([f"share of digits right\n{text_table(rows)}", *told(results)])
    show(options, results, f"{text}\nreport: {report.with_name('captioner.html')}")
