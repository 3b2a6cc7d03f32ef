"""The command `salmu granularity`: what do models that forgot the exact facts still know coarsely?"""

from salmu.flows.command_line.opening import existing, overrides
from salmu.flows.command_line.output import show, text_table


def granularity(options) -> None:
    from salmu.evaluation.granularity.granularity import granularity as measure
    from salmu.evaluation.granularity.results import MEASURES
    from salmu.evaluation.report.build import build
    from salmu.evaluation.report.granularity import told
    from salmu.flows.running.lock import run_lock
    from salmu.flows.running.progress import terminal_progress
    from salmu.flows.settings import load_run

    folder = existing(options).folder
    settings = load_run(folder, overrides(options))
    with (
        run_lock(folder),
        terminal_progress("training of the coarse model", "steps") as training,
        terminal_progress("granularity", "models", 1) as progress,
    ):
        results = measure(folder, settings.evaluation, settings.pair, training, progress)
        report = build(folder)
    rows = [
        {"model": name} | {one: _shown(model["measures"][one]["own"]) for one in MEASURES}
        for name, model in results["models"].items()
    ]
    text = "\n\n".join([text_table(rows), *told(results)])
    show(options, results, f"{text}\nreport: {report.with_name('granularity.html')}")


def _shown(rank: dict) -> str:
    low, high = rank["interval"] or (float("nan"), float("nan"))
    return f"{rank['value']:.3f} [{low:.3f}, {high:.3f}], chance {rank['chance']:.3f}"
