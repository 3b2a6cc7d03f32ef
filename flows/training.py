"""The model pair, Clean and Compromised, and the Retrained models: trained side by side from the same dataset."""

import time
from collections.abc import Sequence
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
from salmu.flows.running.runners import kind, task_runner, workers
from salmu.flows.running.worker_pools import Work, submit_with_retry
from salmu.flows.settings import RunSettings, save
from salmu.model_training.distributed import start
from salmu.model_training.pair import PairSettings, model_folder, planned, train, write_plan
from salmu.model_training.record import RECORD


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


def make_pair(store: Store, settings: RunSettings, beside: Sequence[Work] = ()) -> None:
    """Inside a flow: bring all models up to date with the dataset, as many at a time as there are workers, and name in
    the dataset the fragile set that they choose.

    `beside`: work that needs the first Compromised and nothing else of the pair. It fills workers that would be idle
    while the last models are trained."""
    require_disk(store.folder)
    if not (store.folder / "dataset" / "provenance.json").is_file():
        raise UserError(f"{store.folder / 'dataset'}: no dataset to train on; run {salmu_command('run', store.folder)}")
    began, folder = time.perf_counter(), str(store.folder)
    if settings.pair.retain:
        submit_with_retry("plan of the pair", [(plan_pair, {"folder": folder, "settings": settings.pair})])
    models = [(which, number) for number in range(settings.pair.seeds) for which in settings.pair.models]
    shared = {"folder": folder, "settings": settings.pair}
    folders = [model_folder(store.folder / "models", *one) for one in models]
    trainings = [
        (train_model, shared | {"which": which, "number": number, "place": place})
        for place, (which, number) in enumerate(models)
    ]
    if settings.pair.processes == 1 and settings.pair.device in ("cpu", "cuda"):
        on_gpus, few = settings.pair.device == "cuda", kind() == "process" and workers() < len(trainings)
        missing = any(not (folder / RECORD).is_file() for folder in folders)
        together = few and missing and beside and settings.unlearning.device == settings.pair.device
        first = 2 if together else len(trainings)  # Clean and Compromised at least
        submit_with_retry("training", trainings[:first], on_gpus=on_gpus)
        if together:
            submit_with_retry("training", [*trainings[first:], *beside], on_gpus=on_gpus)
    else:
        for training in trainings:  # one has the GPUs to itself
            submit_with_retry("training", [training])
    on_gpus = "cuda" in settings.evaluation.device
    submit_with_retry("fragile set", [(measure_pair, {"folder": folder, "settings": settings})], on_gpus=on_gpus)
    dataset = store.folder / "dataset"
    digest = read_provenance(dataset).dataset_digest
    write_fragile_set(dataset, fragile_set(store.folder / "models", settings.pair.fragile_share, digest))
    say(f"{'pair':<10} {len(models)} models are up to date; {time.perf_counter() - began:.1f} s")
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
