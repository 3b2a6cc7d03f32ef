"""The model pair: Clean and Compromised, trained side by side from the same dataset."""

import time
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_image_artifact
from prefect.cache_policies import NO_CACHE
from tqdm import tqdm

from data.errors import UserError
from data.store import Store
from evaluation.report.plots import training_curves
from flows.artifacts import data_uri
from flows.dataset import open_run
from flows.lock import run_lock
from flows.processes import worker_pool
from flows.settings import RunSettings
from model_training.pair import PairSettings, train

PAIR = ("clean", "compromised")


def progress_bar(name: str, place: int = 0):
    """A callable (done, total) that draws a bar for long work in a worker."""
    bar = tqdm(desc=f"{name:<10}", unit="step", position=place, disable=None)

    def show(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)
        if done >= total:
            bar.close()

    return show


@task(name="train", task_run_name="train-{which}", cache_policy=NO_CACHE, persist_result=False)
def train_model(folder: str, settings: PairSettings, which: str) -> None:
    """Train one model of the pair into models/<which>/."""
    train(
        settings,
        Path(folder) / "dataset",
        Path(folder) / "models" / which,
        which,
        progress_bar(which, PAIR.index(which)),
    )


def make_pair(store: Store, settings: RunSettings) -> None:
    """Inside a flow: bring both models up to date with the dataset, at the same time where there are two workers."""
    if not (store.folder / "dataset" / "provenance.json").is_file():
        raise UserError(f"{store.folder / 'dataset'}: no dataset to train on; run salmu run --run {store.folder.name}")
    start = time.perf_counter()
    for future in [train_model.submit(str(store.folder), settings.pair, which) for which in PAIR]:
        future.result()
    print(f"{'pair':<10} clean and compromised are up to date; {time.perf_counter() - start:.1f} s", flush=True)
    create_image_artifact(
        key="training-curves",
        image_url=data_uri(training_curves(store.folder / "models")),
        description="Training loss of Clean and Compromised",
    )


@flow(name="pair", flow_run_name="pair-{run}", task_runner=worker_pool(), persist_result=False)
def pair(run: str = "tiny", overrides: dict[str, Any] | None = None, root: str = "runs") -> None:
    """Train Clean and Compromised on the run's dataset; a model that is up to date is kept."""
    store, settings = open_run(root, run, None, overrides)
    with run_lock(store.folder):
        make_pair(store, settings)
