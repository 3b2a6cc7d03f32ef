"""The benchmark: methods that make Compromised forget, the metrics of every model, leaderboard and report."""

import sys
import time
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from salmu.data.errors import UserError
from salmu.data.files import require_disk
from salmu.data.store import Store
from salmu.data.suggestions import salmu_command
from salmu.data.text import red
from salmu.evaluation.metrics.score import PUBLISHED
from salmu.evaluation.report.build import build
from salmu.evaluation.report.tradeoff import trade_off
from salmu.evaluation.requests.benchmark import ORDERS, work_stream
from salmu.evaluation.scoring.evaluate import EvaluationSettings, evaluate_once
from salmu.evaluation.unlearning.outside import chosen
from salmu.evaluation.unlearning.registry import Run, UnlearningSettings, get, take_up
from salmu.evaluation.unlearning.runner import unlearn
from salmu.evaluation.verdicts.leaderboard import write_leaderboard
from salmu.evaluation.verdicts.soundness import warning
from salmu.evaluation.verdicts.tables import markdown, markdown_table
from salmu.flows.dataset import open_checked
from salmu.flows.forms import filled_in
from salmu.flows.running.artifacts import picture, show_card
from salmu.flows.running.cards import refresh_overview, shown_run
from salmu.flows.running.console import say, warn
from salmu.flows.running.flow_runs import fails_in_one_line
from salmu.flows.running.lock import run_lock
from salmu.flows.running.progress import shown_progress
from salmu.flows.running.runners import task_runner
from salmu.flows.running.worker_pools import Work, submit_with_retry
from salmu.flows.settings import RunSettings, save
from salmu.flows.training import FRAGILE, make_pair, pair_work, side_by_side
from salmu.model_training.export import with_metrics

COMPROMISED = "models/compromised"  # what methods start from


@task(name="unlearn", task_run_name="unlearn-{run.folder}", cache_policy=NO_CACHE, persist_result=False)
def unlearn_model(folder: str, run: Run, place: int, methods: str) -> None:
    """Run one method on Compromised into unlearned/<method>-<budget>x-s<seed>/; kept if it is up to date. `methods`:
    where those from outside the project lie."""
    take_up(methods)
    home = Path(folder)
    source, out = home / "models" / "compromised", home / "unlearned" / run.folder
    with shown_progress(home.name, f"unlearning by {run.folder}", "steps", place) as show:
        unlearn(run.method, run.settings, source, home / "dataset", out, show)


@task(name="evaluate", task_run_name="evaluate-{name}", cache_policy=NO_CACHE, persist_result=False)
def evaluate_model(folder: str, settings: EvaluationSettings, name: str, model: str, place: int) -> None:
    """Score one model into results/<name>.json; kept if it is up to date."""
    home = Path(folder)
    out = home / "results" / f"{name}.json"
    pair = Path(model).parent if model.startswith("models/") else Path("models")
    start = home / pair / "compromised"  # also of the references, which are the controls of the attacks
    with shown_progress(home.name, f"evaluation of {name}", "images", place) as show:
        evaluate_once(settings, home / model, home / "dataset", out, home / "cache", show, start)


@task(name="requests", task_run_name="requests-{run.folder}-o{order}", cache_policy=NO_CACHE, persist_result=False)
def request_stream(folder: str, run: Run, order: int, settings: RunSettings, place: int, methods: str) -> None:
    """Work the forget set as requests by one method; kept if it is up to date."""
    take_up(methods)
    home = Path(folder)
    with shown_progress(home.name, f"requests by {run.folder}, order {order}", "requests", place) as show:
        work_stream(home, run, order, settings.unlearning, settings.evaluation, show)


@task(name="report", task_run_name="report", cache_policy=NO_CACHE, persist_result=False)
def write_report(folder: str) -> str:
    """Write report/index.html from what the run holds; returns its path."""
    return str(build(folder))


def longest_first(runs: list[Run]) -> list[Run]:
    """Methods that prepare captions of their own take up to twenty times as long as the others; then come the highest
    budgets. One that is begun last would keep a single worker busy while the others wait."""
    return sorted(runs, key=lambda run: (get(run.method).prepare is None, -run.values["budget"]))


def models_to_score(settings: RunSettings) -> list[tuple[str, str]]:
    """Name in the leaderboard and folder of each model of the pairs."""
    seeds = [("", ""), *((f"s{number}-", f"s{number}/") for number in range(1, settings.pair.seeds))]
    return [(f"{name}{which}", f"models/{place}{which}") for name, place in seeds for which in settings.pair.models]


def benchmark_work(store: Store, settings: RunSettings) -> list[Work]:
    """The tasks that bring unlearned models and results up to date. Each comes after the model that it reads, by the
    name of its folder; what reads the fragile set comes after FRAGILE."""
    folder, runs = str(store.folder), longest_first(settings.unlearning.runs())
    methods = {"folder": folder, "methods": chosen()}
    orders = ORDERS if settings.unlearning.requests else ()
    streams = [{"run": run, "order": order, "settings": settings} for run in runs for order in orders]
    models = models_to_score(settings) + [(run.folder, f"unlearned/{run.folder}") for run in runs]
    scored = {"folder": folder, "settings": settings.evaluation}
    return [
        *(
            Work(unlearn_model, methods | {"run": run, "place": place}, f"unlearned/{run.folder}", (COMPROMISED,))
            for place, run in enumerate(runs)
        ),
        *(
            Work(request_stream, methods | stream | {"place": place}, after=(COMPROMISED, FRAGILE))
            for place, stream in enumerate(streams)
        ),
        *(
            Work(evaluate_model, scored | {"name": name, "model": model, "place": place}, after=(model, FRAGILE))
            for place, (name, model) in enumerate(models)
        ),
    ]


def make_benchmark(store: Store, settings: RunSettings) -> None:
    """Inside a flow: bring unlearned models, results and leaderboard up to date."""
    require_disk(store.folder)
    for which in settings.pair.models:
        if not (store.folder / "models" / which / "training.json").is_file():
            raise UserError(f"{store.folder / 'models' / which}: no model; run {salmu_command('run', store.folder)}")
    began = time.perf_counter()
    on_gpus = "cuda" in (settings.unlearning.device, settings.evaluation.device)  # any of them; cuda:1 is that one
    submit_with_retry("benchmark", benchmark_work(store, settings), on_gpus=on_gpus)
    _finish_benchmark(store, settings, began)


def make_pair_and_benchmark(store: Store, settings: RunSettings) -> None:
    """Inside a flow: both, without an idle worker between them where they compute on the same devices: methods start
    from Compromised while other models are trained."""
    if not side_by_side(settings) or {settings.unlearning.device, settings.evaluation.device} != {settings.pair.device}:
        make_pair(store, settings)
        make_benchmark(store, settings)
        return
    began = time.perf_counter()
    work = [*pair_work(store, settings), *benchmark_work(store, settings)]
    submit_with_retry("pair and benchmark", work, on_gpus=settings.pair.device == "cuda")
    _finish_benchmark(store, settings, began)


def _finish_benchmark(store: Store, settings: RunSettings, began: float) -> None:
    records = write_leaderboard(store.folder)
    for name, model in models_to_score(settings):
        (row,) = (row for row in records if row["model"] == name)
        measured = {metric: round(row[metric], 4) for metric in PUBLISHED if row[metric] is not None}
        with_metrics(store.folder / model, measured, warning([row]))
    took = f"{len(records)} models scored; {time.perf_counter() - began:.1f} s"
    say(f"{'benchmark':<10} {took}\n\n{markdown_table(records)}")
    if worthless := warning(records):
        warn(red(worthless, sys.stderr))
    plot = picture(trade_off(records), "RetFail against InterIdSim")
    show_card(store.folder.name, "benchmark", f"# Benchmark\n\n{markdown(records)}\n\n{plot}\n", "benchmark")
    refresh_overview()


@flow(name="benchmark", flow_run_name="benchmark-{run}", task_runner=task_runner(), persist_result=False)
@fails_in_one_line
def benchmark(
    run: str = "tiny",
    unlearning: UnlearningSettings | None = None,
    evaluation: EvaluationSettings | None = None,
    overrides: dict[str, Any] | None = None,
    root: str = "runs",
) -> str:
    """Run the unlearning methods on the run's pair, score every model, and write leaderboard and report; returns the
    report's path.

    Args:
        run: Name of the run; its dataset and its pair are taken from its folder.
        unlearning: Methods and budgets; by default those that the run was made with.
        evaluation: Settings of the metrics; by default those that the run was made with.
        overrides: Single settings above all others, {"unlearning.key": value}.
        root: Folder or URL of all runs.
    """
    given = filled_in(filled_in(overrides, evaluation, "evaluation"), unlearning, "unlearning")
    store, settings = open_checked(root, run, None, given, ["benchmark"])
    with run_lock(store.folder), shown_run(store):
        save(settings, store.folder)
        make_benchmark(store, settings)
        return write_report(str(store.folder))
