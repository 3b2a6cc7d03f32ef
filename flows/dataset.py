"""The dataset: all stages, then the published folder. And each stage alone."""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from data.publish.publish import publish
from data.store import Store
from flows.lock import run_lock
from flows.plan import models_of
from flows.processes import api_server, worker_pool
from flows.settings import RunSettings, load_profile, load_run, save
from flows.stage import require_upstream, run_stage
from flows.stages import STAGES, downstream, state

STALE = ("stale", "partial")  # states of a stage that was made from something else


def open_run(root: str, run: str, profile: str | None, overrides: dict[str, Any] | None) -> tuple[Store, RunSettings]:
    """The folder and the settings of a run: those of the profile, else those that the run was made with, else the
    profile `tiny`."""
    folder = (Path(root) / (run or profile or "tiny")).resolve()
    known = (folder / "settings.yaml").is_file()
    settings = load_run(folder, overrides) if known and profile is None else load_profile(profile or "tiny", overrides)
    return Store(folder), settings


@task(name="publish", task_run_name="publish", cache_policy=NO_CACHE, persist_result=False)
def publish_dataset(folder: str, settings: RunSettings) -> str:
    """Write the published folder, dataset/; returns its digest."""
    store = Store(Path(folder))
    digest = publish(
        store, store.folder / "dataset", settings.publish, settings.model_dump(mode="json"), models_of(settings)
    )
    card = (store.folder / "dataset" / "README.md").read_text(encoding="utf-8").split("---", 2)[-1]
    create_markdown_artifact(key="dataset-card", markdown=card, description=f"Published dataset, digest {digest}")
    return digest


def make_dataset(store: Store, settings: RunSettings) -> str:
    """Inside a flow: bring every stage up to date and publish. Returns the dataset's digest."""
    last = None
    for name in STAGES:
        last = run_stage(store, name, getattr(settings, name), after=last and [last])
    return publish_dataset.submit(str(store.folder), settings, wait_for=[last]).result()


@flow(name="dataset", flow_run_name="dataset-{run}", task_runner=worker_pool(), persist_result=False)
def dataset(
    run: str = "tiny", profile: str | None = None, overrides: dict[str, Any] | None = None, root: str = "runs"
) -> str:
    """Regenerate the dataset: five stages, assembly, published folder. Only what is missing or stale is made.

    Args:
        run: Name of the run; its folder lies in `root`.
        profile: Name of a profile or path of a YAML file; by default the settings that the run was made with, else
        `tiny`.
        overrides: Settings to change, {"stage.key": value}.
        root: Folder of all runs.
    """
    store, settings = open_run(root, run, profile, overrides)
    with run_lock(store.folder):
        save(settings, store.folder)
        return make_dataset(store, settings)


def run_stage_alone(name: str, run: str, overrides: dict[str, Any] | None, root: str, workers: int) -> list[str]:
    """`salmu stage NAME`: the stage's flow, with so many worker processes. Returns the stages that are stale after
    it."""
    with api_server():
        return STAGE_FLOWS[name].with_options(task_runner=worker_pool(workers))(run, overrides=overrides, root=root)


def stage_flow(name: str):
    """The flow that runs one stage of a run that exists, with what is above it taken from the store."""

    form = STAGES[name].Settings

    def run_alone(
        run: str = "tiny", settings: form | None = None, overrides: dict[str, Any] | None = None, root: str = "runs"
    ) -> list[str]:
        store = Store((Path(root) / run).resolve())
        settings = load_run(store.folder, overrides, {name: settings} if settings else {})
        with run_lock(store.folder):
            require_upstream(store, name, lambda other: getattr(settings, other))
            save(settings, store.folder)
            run_stage(store, name, getattr(settings, name))
            return [other for other in downstream(name) if state(store, other, getattr(settings, other)) in STALE]

    run_alone.__name__ = f"stage_{name}"
    run_alone.__doc__ = f"""Run the stage {name} alone; returns the stages that are stale after it.

    Args:
        run: Name of the run; what is above the stage is taken from its store.
        settings: All settings of the stage; by default those that the run was made with.
        overrides: Single settings to change, {{"{name}.key": value}}.
        root: Folder of all runs.
    """
    return flow(
        run_alone, name=f"stage-{name}", flow_run_name=name + "-{run}", task_runner=worker_pool(), persist_result=False
    )


stage_candidates = stage_flow("candidates")  # a name each, for the deployments
stage_anchors = stage_flow("anchors")
stage_portraits = stage_flow("portraits")
stage_analysis = stage_flow("analysis")
stage_curation = stage_flow("curation")
stage_domain = stage_flow("domain")
stage_personas = stage_flow("personas")
stage_captions = stage_flow("captions")
stage_assembly = stage_flow("assembly")
STAGE_FLOWS = {
    "candidates": stage_candidates,
    "anchors": stage_anchors,
    "portraits": stage_portraits,
    "analysis": stage_analysis,
    "curation": stage_curation,
    "domain": stage_domain,
    "personas": stage_personas,
    "captions": stage_captions,
    "assembly": stage_assembly,
}
