"""The command `salmu generator`: does what Compromised learned travel into a generator that is built on it?"""

from salmu.flows.command_line.opening import existing, overrides
from salmu.flows.command_line.output import show, text_table


def generator(options) -> None:
    from salmu.evaluation.propagation.propagate import propagate
    from salmu.evaluation.report.build import build
    from salmu.evaluation.report.generator import told
    from salmu.flows.running.lock import run_lock
    from salmu.flows.running.progress import terminal_progress
    from salmu.flows.settings import load_run

    folder = existing(options).folder
    settings = load_run(folder, overrides(options))
    with run_lock(folder), terminal_progress("generator", "steps") as tell:
        results = propagate(folder, settings.evaluation, settings.analysis.faces, tell)
        report = build(folder)
    tables = [f"{way}\n{text_table(_rows(results, way))}" for way in results["settings"]["ways"]]
    text = "\n\n".join([*tables, *told(results)])
    show(options, results, f"{text}\nreport: {report.with_name('generator.html')}")


def _rows(results: dict, way: str) -> list[dict]:
    """Share of the drawings recognised as the person asked for, a row a tower."""
    rows = []
    for tower, found in results["towers"].items():
        shares = {question: part["recognised"] for question, part in found["ways"][way].items()}
        rows.append({"text tower": tower} | {question: f"{share['value']:.2f}" for question, share in shares.items()})
    return rows
