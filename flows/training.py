"""The model pair, Clean and Compromised, and the Retrained models: trained side by side from the same dataset."""

import time
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from salmu.data.errors import UserError
from salmu.data.files import require_disk
from salmu.data.provenance import read_provenance
from salmu.data.publish.fragile import write_fragile_set
from salmu.data.store import Store
from salmu.data.suggestions import salmu_command
from salmu.evaluation.encoding.fragile import fragile_set, measure_strengths
from salmu.evaluation.report.plots import training_curves
from salmu.evaluation.scoring.monitor import monitor
from salmu.flows.dataset import open_checked
from salmu.flows.forms import filled_in
from salmu.flows.running.artifacts import picture, show_card
from salmu.flows.running.cards import refresh_overview, shown_run
from salmu.flows.running.console import say
from salmu.flows.running.flow_runs import fails_in_one_line
from salmu.flows.running.lock import run_lock
from salmu.flows.running.progress import shown_progress
from salmu.flows.running.runners import task_runner
from salmu.flows.running.worker_pools import Work, submit_with_retry
from salmu.flows.settings import RunSettings, save
from salmu.model_training.distributed import start
from salmu.model_training.pair import PairSettings, model_folder, planned, train, write_plan

FRAGILE = "fragile set"  # the name of the last work of a pair


@task(name="plan", task_run_name="plan-pair", cache_policy=NO_CACHE, persist_result=False)
def plan_pair(folder: str, settings: PairSettings) -> None:
    """Index the retain files once, before both trainings ask for it."""
    models = Path(folder) / "models"
    write_plan(planned(settings, Path(folder) / "dataset", models / "clean"), models)


@task(name="train", task_run_name="train-{which}-{number}", cache_policy=NO_CACHE, persist_result=False)
def train_model(folder: str, settings: PairSettings, which: str, number: int, place: int) -> None:
    """Train one model of a pair into models/<which>/, or models/s<number>/<which>/; by torchrun where it takes several
    processes."""
    home, models = Path(folder), Path(folder) / "models"
    title = f"training of {which}" + (f", pair {number}" if number else "")
    with shown_progress(home.name, title, "steps", place) as show:
        if settings.processes > 1:
            places = ["--settings", home / "settings.yaml", "--dataset", home / "dataset", "--models", models]
            which_one = ["--which", which, "--number", number, "--monitor", "salmu.evaluation.scoring.monitor:monitor"]
            return start(settings.processes, [str(part) for part in places + which_one], show)
        train(
            settings,
            home / "dataset",
            model_folder(models, which, number),
            which,
            show,
            monitor(home / "dataset", settings.seed) if settings.monitor else None,
            number,
            models / "index",
        )


@task(name="fragile set", task_run_name="fragile-set", cache_policy=NO_CACHE, persist_result=False)
def measure_pair(folder: str, settings: RunSettings) -> None:
    """Measure what the first pair has learned least into models/fragile_set.json; kept if it is up to date."""
    home = Path(folder)
    with shown_progress(home.name, "choice of the fragile set", "images", 0) as show:
        places = (home / "models", settings.pair.models, home / "dataset", home / "cache")
        measure_strengths(settings.evaluation, *places, show)


def pair_work(store: Store, settings: RunSettings) -> list[Work]:
    """The tasks that bring all models up to date with the dataset, each by the name of its model's folder, such as
    models/clean, and last the one that has them choose the fragile set, FRAGILE."""
    require_disk(store.folder)
    if not (store.folder / "dataset" / "provenance.json").is_file():
        raise UserError(f"{store.folder / 'dataset'}: no dataset to train on; run {salmu_command('run', store.folder)}")
    shared = {"folder": str(store.folder), "settings": settings.pair}
    every = [(which, number) for number in range(settings.pair.seeds) for which in settings.pair.models]
    names = [model_folder(store.folder / "models", *one).relative_to(store.folder).as_posix() for one in every]
    plans = [Work(plan_pair, shared, "plan")] if settings.pair.retain else []
    trainings = [
        Work(train_model, shared | {"which": which, "number": number, "place": place}, name, ("plan",))
        for place, (name, (which, number)) in enumerate(zip(names, every, strict=True))
    ]
    if not side_by_side(settings):
        trainings = [one._replace(after=("plan", *names[:place])) for place, one in enumerate(trainings)]
    finish = partial(_finish_pair, store, settings, len(names), time.perf_counter())
    measuring = {"folder": str(store.folder), "settings": settings}
    return [*plans, *trainings, Work(measure_pair, measuring, FRAGILE, (*names,), finish)]


def side_by_side(settings: RunSettings) -> bool:
    """Whether several models can be trained at a time; else one has the GPUs to itself."""
    return settings.pair.processes == 1 and settings.pair.device in ("cpu", "cuda")


def make_pair(store: Store, settings: RunSettings) -> None:
    """Inside a flow: bring all models up to date with the dataset, as many at a time as there are workers."""
    *trainings, measuring = pair_work(store, settings)
    on_gpus = side_by_side(settings) and settings.pair.device == "cuda"
    submit_with_retry("training", trainings, on_gpus=on_gpus)
    submit_with_retry("fragile set", [measuring], on_gpus="cuda" in settings.evaluation.device)


def _finish_pair(store: Store, settings: RunSettings, models: int, began: float) -> None:
    dataset = store.folder / "dataset"
    digest = read_provenance(dataset).dataset_digest
    write_fragile_set(dataset, fragile_set(store.folder / "models", settings.pair.fragile_share, digest))
    say(f"{'pair':<10} {models} models are up to date; {time.perf_counter() - began:.1f} s")
    curves = picture(training_curves(store.folder / "models"), "Training loss of all models")
    show_card(store.folder.name, "pair", f"# Models of the pair\n\n{curves}\n", "model pair")
    refresh_overview()


@flow(name="pair", flow_run_name="pair-{run}", task_runner=task_runner(), persist_result=False)
@fails_in_one_line
def pair(
    run: str = "tiny", settings: PairSettings | None = None, overrides: dict[str, Any] | None = None, root: str = "runs"
) -> None:
    """Train Clean, Compromised and Retrained on the run's dataset; a model that is up to date is kept.

    Args:
        run: Name of the run; its dataset is taken from its folder.
        settings: Settings of the training; by default those that the run was made with.
        overrides: Single settings above all others, {"pair.key": value}.
        root: Folder or URL of all runs.
    """
    store, chosen = open_checked(root, run, None, filled_in(overrides, settings, "pair"), ["pair"])
    with run_lock(store.folder), shown_run(store):
        save(chosen, store.folder)
        make_pair(store, chosen)
