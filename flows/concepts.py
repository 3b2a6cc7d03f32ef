"""Implicit concepts: a small dataset of styles and affiliations, a pair of its own, and the run's methods."""

import time
from pathlib import Path

from prefect import flow, tags, task
from prefect.cache_policies import NO_CACHE

from salmu.data.publish.settings import PublishSettings
from salmu.data.store import Store
from salmu.evaluation.concepts.dataset import write_dataset
from salmu.evaluation.concepts.measure import measure
from salmu.evaluation.concepts.results import FOLDER
from salmu.evaluation.concepts.settings import ConceptSettings
from salmu.evaluation.encoding.settings import EvaluationSettings
from salmu.evaluation.unlearning.outside import chosen
from salmu.flows.benchmark import COMPROMISED, longest_first, unlearn_model, write_report
from salmu.flows.running.console import say
from salmu.flows.running.flow_runs import TAG, absolute_root, fails_in_one_line
from salmu.flows.running.lock import require_free, run_lock
from salmu.flows.running.processes import api_server, interruptible
from salmu.flows.running.progress import shown_progress
from salmu.flows.running.runners import task_runner
from salmu.flows.running.worker_pools import Work, submit_with_retry
from salmu.flows.settings import RunSettings, load_run, run_folder
from salmu.flows.training import plan_pair, train_model

DATASET = "dataset"


@task(name="concepts dataset", task_run_name="concepts-dataset", cache_policy=NO_CACHE, persist_result=False)
def draw_concepts(home: str, settings: ConceptSettings, publish: PublishSettings) -> None:
    """Draw the concepts' dataset into concepts/dataset; kept if it is up to date."""
    folder = Path(home)
    with shown_progress(folder.parent.name, "drawing of concepts", "pictures", 0) as show:
        write_dataset(settings, publish, folder / "dataset", show)


@task(name="measure concepts", task_run_name="concepts-{name}", cache_policy=NO_CACHE, persist_result=False)
def measure_concepts(
    home: str, settings: ConceptSettings, evaluation: EvaluationSettings, name: str, model: str, place: int
) -> None:
    """Measure one model into concepts/results/<name>.json; kept if it is up to date."""
    folder = Path(home)
    with shown_progress(folder.parent.name, f"concepts of {name}", "images", place) as show:
        measure(settings, evaluation, folder, name, folder / model, show)


def concept_work(folder: Path, settings: RunSettings) -> list[Work]:
    """The tasks that bring concepts/ of a run up to date: the dataset, the pair, the methods, and what each model
    knows."""
    home, recipe = str(folder / FOLDER), settings.concepts.pair(settings.pair)
    shared = {"folder": home, "settings": recipe}
    measured = {"home": home, "settings": settings.concepts, "evaluation": settings.evaluation}
    runs = longest_first(settings.unlearning.runs())
    models = [(which, f"models/{which}") for which in recipe.models]
    models += [(run.folder, f"unlearned/{run.folder}") for run in runs]
    return [
        Work(draw_concepts, {"home": home, "settings": settings.concepts, "publish": settings.publish}, DATASET),
        Work(plan_pair, shared, "plan", (DATASET,)),
        *(
            Work(train_model, shared | {"which": which, "number": 0, "place": place}, f"models/{which}", ("plan",))
            for place, which in enumerate(sorted(recipe.models, key=lambda which: which != "compromised"))
        ),
        *(
            Work(
                unlearn_model,
                {"folder": home, "run": run, "place": place, "methods": chosen()},
                f"unlearned/{run.folder}",
                (COMPROMISED,),
            )
            for place, run in enumerate(runs)
        ),
        *(
            Work(measure_concepts, measured | {"name": name, "model": model, "place": place}, after=(model,))
            for place, (name, model) in enumerate(models)
        ),
    ]


@flow(name="concepts", flow_run_name="concepts-{run}", task_runner=task_runner(), persist_result=False)
@fails_in_one_line
def concepts(run: str, overrides: dict | None = None, root: str = "runs") -> str:
    """Bring concepts/ of a run and its report up to date; returns the report's path.

    Args:
        run: Name of the run, whose recipe of the pair and whose methods are used.
        overrides: Single settings above those that the run was made with, {"concepts.key": value}.
        root: Folder or URL of all runs.
    """
    store = Store(run_folder(root, run))
    settings, began = load_run(store.folder, overrides), time.perf_counter()
    with run_lock(store.folder):
        on_gpus = "cuda" in (settings.pair.device, settings.unlearning.device, settings.evaluation.device)
        submit_with_retry("concepts", concept_work(store.folder, settings), on_gpus=on_gpus)
        say(f"{'concepts':<10} up to date; {time.perf_counter() - began:.1f} s")
        return write_report(str(store.folder))


def run_concepts(run: str, overrides: dict, root: str) -> str:
    """`salmu concepts`: the flow on the chosen runner. Refused before a server starts if another process holds the
    run."""
    require_free(run_folder(root, run))
    with interruptible(), api_server(), tags(TAG):
        return concepts.with_options(task_runner=task_runner())(run, overrides=overrides, root=absolute_root(root))
