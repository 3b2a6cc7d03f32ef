"""The command line: salmu run | stage | status | plan | verify | evaluate | unlearn | report."""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault(
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL"
)  # the terminal shows bars and one-line errors; logs are in the UI

from data.errors import UserError  # noqa: E402
from data.store import Store  # noqa: E402
from flows.settings import load_profile, load_run, parse_assignment, profiles  # noqa: E402
from flows.stages import STAGES  # noqa: E402
from flows.status import plan_rows, status_rows, text_table, verify  # noqa: E402


def parser() -> argparse.ArgumentParser:
    """The arguments of every command."""
    root = argparse.ArgumentParser(
        prog="salmu",
        description="Make a dataset of fictitious people, train a pair of CLIP models on it, and "
        "measure what unlearning forgets and what it breaks.",
    )
    commands = root.add_subparsers(dest="command", required=True)

    def command(
        name: str, help: str, run: bool = True, change: bool = False, work: bool = False
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        if run:
            sub.add_argument("--run", metavar="NAME", help="name of the run (default: the profile's name, or tiny)")
            sub.add_argument("--runs", metavar="DIR", default="runs", help="folder of all runs (default: runs)")
        if change:
            sub.add_argument(
                "--set",
                metavar="KEY=VALUE",
                action="append",
                default=[],
                dest="assignments",
                help="change a setting, for instance portraits.per_identity=40; may be given many times",
            )
        if work:
            sub.add_argument(
                "--workers", type=int, default=os.cpu_count(), help="worker processes (default: all cores)"
            )
        return sub

    run = command("run", "the whole chain: dataset, model pair, benchmark, report", change=True, work=True)
    run.add_argument(
        "--profile", help=f"{', '.join(profiles())}, or a YAML file (default: the run's own settings, else tiny)"
    )
    run.add_argument(
        "--until", choices=["dataset", "pair", "benchmark"], default="benchmark", help="stop after this part"
    )
    stage = command("stage", "one stage of a run, with what is above it taken from the run", change=True, work=True)
    stage.add_argument("stage", choices=list(STAGES))
    command("status", "what a run has done")
    plan = command("plan", "what a run would do, and what it costs, before anything runs", change=True, work=True)
    plan.add_argument("--profile", help="plan this profile rather than the run's own settings")
    command("verify", "check every file of a run against its manifest")
    command("report", "write a run's HTML report again")
    evaluate = command("evaluate", "score a model with the benchmark's metrics", run=False, change=True)
    evaluate.add_argument(
        "--model", required=True, help="folder in open_clip's layout, or any name that open_clip knows"
    )
    evaluate.add_argument("--dataset", required=True, help="published dataset folder")
    evaluate.add_argument("--out", required=True, help="JSON file to write")
    unlearn = command("unlearn", "make a model that forgot", run=False, change=True)
    unlearn.add_argument("method")
    unlearn.add_argument("--model", required=True, help="folder of the model that shall forget, in open_clip's layout")
    unlearn.add_argument("--dataset", required=True, help="published dataset folder")
    unlearn.add_argument(
        "--budget", type=float, default=5.0, help="pairs seen, as a multiple of the forget set (default: 5)"
    )
    unlearn.add_argument("--seed", type=int, default=0)
    unlearn.add_argument("--out", required=True, help="folder to write")
    return root


def main(arguments: list[str] | None = None) -> None:
    """Entry point. Exit code 0: done; 2: an error that the person can mend, told in one line; 130: interrupted."""
    options = parser().parse_args(arguments)
    try:
        COMMANDS[options.command](options)
    except UserError as error:
        sys.exit(_fail(error))
    except KeyboardInterrupt:
        sys.exit(_fail("stopped; what is finished is kept, run the same command again to go on", 130))
    except BrokenPipeError:
        os._exit(0)


def _fail(message, code: int = 2) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def _overrides(options) -> dict:
    return dict(parse_assignment(text) for text in options.assignments)


def _run(options) -> None:
    from flows.everything import run_everything

    if options.profile:
        load_profile(options.profile, _overrides(options))  # refuse bad settings before a server starts
    start = time.perf_counter()
    report = run_everything(
        options.run or options.profile or "tiny",
        options.profile,
        _overrides(options),
        options.runs,
        options.until,
        options.workers,
    )
    print(f"done in {time.perf_counter() - start:.0f} s; report: {report}")


def _stage(options) -> None:
    from flows.dataset import run_stage_alone

    run = options.run or "tiny"
    stale = run_stage_alone(options.stage, run, _overrides(options), options.runs, options.workers)
    print(
        f"stage {options.stage} of {run} is up to date"
        + (f"; stale now: {', '.join(stale)} (salmu run --run {run})" if stale else "")
    )


def _opened(options) -> tuple[Store, object]:
    folder = Path(options.runs) / (options.run or "tiny")
    return Store(folder), load_run(folder)


def _status(options) -> None:
    print(text_table(status_rows(*_opened(options))))


def _plan(options) -> None:
    folder = Path(options.runs) / (options.run or options.profile or "tiny")
    known = (folder / "settings.yaml").is_file() and not options.profile
    settings = (
        load_run(folder, _overrides(options)) if known else load_profile(options.profile or "tiny", _overrides(options))
    )
    rows = plan_rows(Store(folder), settings, options.workers)
    print(text_table(rows))
    print(
        f"in all about {sum(row['seconds'] for row in rows):.0f} s on {options.workers} cores and "
        f"{sum(row['MB'] for row in rows):.0f} MB for the stages, before the model pair"
    )


def _verify(options) -> None:
    store, _ = _opened(options)
    print(f"{verify(store)} files agree with their manifests")


def _report(options) -> None:
    from evaluation.report.build import build

    store, _ = _opened(options)
    print(f"report: {build(store.folder)}")


def _evaluate(options) -> None:
    from evaluation.evaluate import evaluate_once
    from flows.training import progress_bar

    settings = load_profile("tiny", _overrides(options)).evaluation
    evaluate_once(settings, options.model, Path(options.dataset), Path(options.out), progress=progress_bar("evaluate"))
    print(f"results: {options.out}")


def _unlearn(options) -> None:
    from evaluation.unlearning.runner import unlearn
    from flows.training import progress_bar

    settings = load_profile("tiny", _overrides(options)).unlearning
    run = settings.run(options.method, options.budget, options.seed)
    folders = (Path(folder) for folder in (options.model, options.dataset, options.out))
    unlearn(run.method, run.settings, *folders, progress_bar(run.method))
    print(f"model: {options.out}")


COMMANDS = {
    "run": _run,
    "stage": _stage,
    "status": _status,
    "plan": _plan,
    "verify": _verify,
    "report": _report,
    "evaluate": _evaluate,
    "unlearn": _unlearn,
}

if __name__ == "__main__":
    main()
