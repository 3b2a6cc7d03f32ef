"""The dataset: all stages, then the published folder. And each stage alone."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from prefect import flow, get_run_logger, tags, task
from prefect.cache_policies import NO_CACHE

from salmu.data.files import read_bytes
from salmu.data.publish.publish import publish
from salmu.data.store import Store
from salmu.data.suggestions import salmu_command
from salmu.evaluation.encoding.fragile import fragile_set
from salmu.flows.checks import check_before_start
from salmu.flows.forms import Profile, Sections, filled_in
from salmu.flows.names import parts_until
from salmu.flows.running.artifacts import show_card
from salmu.flows.running.cards import refresh_overview, shown_run, stale_words
from salmu.flows.running.console import warn
from salmu.flows.running.flow_runs import TAG, absolute_root, fails_in_one_line, require_absolute
from salmu.flows.running.lock import require_free, run_lock
from salmu.flows.running.processes import api_server, interruptible
from salmu.flows.running.runners import task_runner
from salmu.flows.running.stage import require_upstream, run_stage
from salmu.flows.running.stages import STAGES, downstream, models_of, state
from salmu.flows.running.worker_pools import Work, submit_with_retry
from salmu.flows.settings import RunSettings, open_run, require_run, run_folder, save

STALE = ("stale", "partial")  # states of a stage that was made from something else


def open_checked(
    root: str, run: str, profile: str | None, overrides: dict[str, Any] | None, parts: Sequence[str]
) -> tuple[Store, RunSettings]:
    """Inside a flow: the folder and the settings of a run whose parts are about to be made. Raises UserError as
    `check_before_start` does, and tells its warnings."""
    require_absolute(root)
    store, settings = open_run(root, run, profile, overrides)
    for warning in check_before_start(settings, parts):
        warn(warning)
        get_run_logger().warning(warning)
    return store, settings


@task(name="publish", task_run_name="publish", cache_policy=NO_CACHE, persist_result=False)
def publish_dataset(folder: str, settings: RunSettings) -> str:
    """Write the published folder, dataset/; returns its digest."""
    store = Store(folder)
    plain = settings.model_dump(mode="json", exclude={"drill"})
    fragile = partial(fragile_set, store.folder / "models", settings.pair.fragile_share)
    digest = publish(store, store.folder / "dataset", settings.publish, plain, models_of(settings), fragile=fragile)
    card = read_bytes(store.folder / "dataset" / "README.md").decode().split("---", 2)[-1]
    show_card(store.folder.name, "dataset", card, f"published dataset, digest {digest}")
    return digest


def make_dataset(store: Store, settings: RunSettings, until: str | None = None) -> str | None:
    """Inside a flow: bring every stage up to date and publish; or the stages until this one. Returns the dataset's
    digest, None where it is not made."""
    last = None
    for name in STAGES:
        last = run_stage(store, name, getattr(settings, name), after=last and [last], drill=settings.drill)
        if name == until:
            return None
    folder = str(store.folder)
    (published,) = submit_with_retry(
        "publish", [Work(publish_dataset, {"folder": folder, "settings": settings})], wait_for=last and [last]
    )
    refresh_overview()
    return published.result()


@flow(name="dataset", flow_run_name="dataset-{run}", task_runner=task_runner(), persist_result=False)
@fails_in_one_line
def dataset(
    run: str = "tiny",
    profile: Profile | None = None,
    settings: Sections | None = None,
    overrides: dict[str, Any] | None = None,
    root: str = "runs",
) -> str:
    """Regenerate the dataset: every stage, then the published folder. Only what is missing or stale is made.

    Args:
        run: Name of the run; its folder lies in `root`.
        profile: A profile by name or YAML file; by default the settings that the run was made with, else tiny.
        settings: Sections that stand above those of the profile or the run.
        overrides: Single settings above all others, {"stage.key": value}.
        root: Folder or URL of all runs.
    """
    store, chosen = open_checked(root, run, profile, filled_in(overrides, settings), parts_until("dataset"))
    with run_lock(store.folder), shown_run(store):
        save(chosen, store.folder)
        return make_dataset(store, chosen)


def run_stage_alone(
    name: str, run: str, overrides: dict[str, Any] | None, root: str, profile: str | None = None
) -> list[str]:
    """`salmu stage NAME`: the stage's flow on the chosen runner. Returns the stages that are stale after it. Refused
    before a server starts if another process holds the run."""
    require_free(run_folder(root, run))
    with interruptible(), api_server(), tags(TAG):
        return STAGE_FLOWS[name].with_options(task_runner=task_runner())(
            run, overrides=overrides, root=absolute_root(root), profile=profile
        )


def stage_flow(name: str):
    """The flow that runs one stage of a run that exists, with the results of earlier stages taken from its folder."""

    form = STAGES[name].Settings

    def run_alone(
        run: str = "tiny",
        settings: form | None = None,
        overrides: dict[str, Any] | None = None,
        root: str = "runs",
        profile: Profile | None = None,
    ) -> list[str]:
        require_absolute(root)
        require_run(root, run, profile)
        store, chosen = open_checked(root, run, profile, filled_in(overrides, settings, name), [name])
        with run_lock(store.folder), shown_run(store) as card:
            require_upstream(store, name, lambda other: getattr(chosen, other))
            save(chosen, store.folder)
            run_stage(store, name, getattr(chosen, name), drill=chosen.drill)
            stale = [other for other in downstream(name) if state(store, other, getattr(chosen, other)) in STALE]
            remedy = salmu_command("run", store.folder)
            if stale:
                get_run_logger().warning("stale now: %s; bring them up to date: %s", ", ".join(stale), remedy)
            card.state = stale_words(name, stale, remedy)
            return stale

    run_alone.__name__ = f"stage_{name}"
    run_alone.__doc__ = f"""Run the stage {name} alone; returns the stages that are stale after it.

    Args:
        run: Name of the run; the results of earlier stages are taken from its folder.
        settings: The stage's settings; by default those that the run was made with.
        overrides: Single settings above all others, {{"{name}.key": value}}.
        root: Folder or URL of all runs.
        profile: A profile by name or YAML file, for a new run; by default the settings that the run was made with.
    """
    return flow(
        fails_in_one_line(run_alone),
        name=f"stage-{name}",
        flow_run_name=name + "-{run}",
        task_runner=task_runner(),
        persist_result=False,
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
