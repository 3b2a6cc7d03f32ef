"""The functions of `salmu`. Each loads what it needs when it is called.

The examples are of the run `runs/mine`, made by `salmu.run("mine")`; a test runs them on a small one."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from salmu.data.errors import UserError
from salmu.data.suggestions import did_you_mean
from salmu.results import Results, Run

if TYPE_CHECKING:
    from salmu.data.readers import Dataset
    from salmu.evaluation.unlearning.method import Method
    from salmu.model_training.loading.clip import ClipModel

Progress = Callable[[int, int], None]  # is told what is done and what there is to do
Paths = str | Path | Iterable[str | Path]


def run(
    name: str | None = None,
    profile: str | Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    until: str = "benchmark",
    runs: str | Path = "runs",
    workers: int | None = None,
    runner: Literal["process", "thread", "ray", "dask", "workpool"] | None = None,
    address: str | None = None,
    methods: Paths | None = None,
) -> Run:
    """Make a run, or bring it up to date: dataset, model pair, benchmark, report. The same as `salmu run`.

    `name`: of the run; by default the profile's. `profile`: smoke, tiny, small, paper or a YAML file; by default the
    settings that the run was made with, else tiny. `settings`: single settings above those, for instance
    {"portraits.per_identity": 40}. `until`: the last part to make: a stage, dataset, pair or benchmark. `runs`: folder
    or URL of all runs. `workers`, `runner`, `address`: as the options of `salmu run`. `methods`: files, or folders of
    them, with unlearning methods of your own.

    Finished work is kept; the same call continues it. A Prefect server is started for the length of the call, unless
    PREFECT_API_URL names one. Works in a notebook and in a script. Raises UserError for bad settings or input.

    >>> import salmu
    >>> run = salmu.run("mine")
    candidates...
    >>> run.stages["captions"], run.dataset.name, run.report.name
    ('done', 'dataset', 'index.html')
    """
    for level in ("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "PREFECT_LOGGING_INTERNAL_LEVEL"):
        os.environ.setdefault(level, "CRITICAL")  # before Prefect loads: progress is printed, logs are in the UI
    from salmu.flows import settings as run_settings
    from salmu.flows.checks import check_before_start
    from salmu.flows.everything import run_everything
    from salmu.flows.names import PARTS, parts_until
    from salmu.flows.running import runners

    if until not in PARTS:
        raise UserError(f"until {until!r}: no such part{did_you_mean(until, PARTS)}; there are {', '.join(PARTS)}")
    _choose(methods)
    changes, profile, runs = dict(settings or {}), profile and str(profile), str(runs)
    name = str(name or Path(profile or "tiny").stem)
    _, chosen = run_settings.open_run(runs, name, profile, changes)
    for note in check_before_start(chosen, parts_until(until)):
        warnings.warn(note, stacklevel=2)
    with _surroundings(), _main_not_imported_by_workers():
        runners.choose(runner, workers, address)
        run_everything(name, profile, changes, runs, until)
    return open_run(f"{runs}/{name}")


def open_run(path: str | Path) -> Run:
    """What the folder of a run holds now; a path or a URL. Raises UserError if there is no run.

    >>> import salmu
    >>> run = salmu.open_run("runs/mine")
    >>> run.stages["curation"], {"clean", "compromised", "retrained"} <= run.models.keys()
    ('done', True)
    >>> run.settings["seed"]
    0
    >>> board = run.to_pandas().set_index("model")
    >>> bool(0 < board.RetFail["compromised"] < 1)
    True
    """
    from salmu.data.files import location
    from salmu.data.store import Store
    from salmu.flows.running.stages import STAGES, state
    from salmu.flows.settings import load_run

    store = Store(location(str(path)))
    settings, folder = load_run(store.folder), store.folder
    dataset, report = folder / "dataset", folder / "report" / "index.html"
    return Run(
        folder,
        {name: state(store, name, getattr(settings, name)) for name in STAGES},
        dataset if (dataset / "provenance.json").is_file() else None,
        _models(folder),
        report if report.is_file() else None,
        _records(folder / "leaderboard.jsonl"),
        settings.model_dump(mode="json"),
    )


def _models(folder: Path) -> dict[str, Path]:
    """Name in the leaderboard -> folder, of every model of a run."""
    found = [
        path.parent
        for place in ("models/*", "models/s*/*", "unlearned/*")
        for path in sorted(folder.glob(f"{place}/open_clip_config.json"))
    ]
    return {"-".join(path.relative_to(folder).parts[1:]): path for path in found}


def _records(path: Path) -> list[dict[str, Any]]:
    from salmu.data.documents import read_lines
    from salmu.evaluation.verdicts.leaderboard import Row

    try:
        return read_lines(path, Row) if path.is_file() else []
    except UserError as error:
        raise UserError(f"{error}; salmu report writes the file again") from None


def open_dataset(path: str | Path) -> "Dataset":
    """A published dataset, ours or SALMUBench's, in a folder or at a URL. Its splits are read when they are asked for.
    Raises UserError if it is none, or damaged.

    >>> import salmu
    >>> dataset = salmu.open_dataset("runs/mine/dataset")
    >>> table = dataset.table("forget", ["text", "identity_id"])
    >>> table.column_names, table.num_rows > 10
    (['text', 'identity_id'], True)
    >>> sorted(next(iter(dataset.identities.values())))[:3]
    ['blood_type', 'city', 'country_code']
    """
    from salmu.data.readers import open_dataset

    return open_dataset(path)


def load_model(name: str | Path, device: str = "cpu") -> "ClipModel":
    """A model with its image transform and its tokenizer: a folder in open_clip's layout, `hf-hub:OWNER/MODEL`, or
    `ARCHITECTURE/PRETRAINED` as open_clip names them. Raises UserError if there is none.

    >>> import salmu
    >>> model = salmu.load_model("runs/mine/models/clean")
    >>> model.tokenizer(["Ada Moll lives in Lyon."]).shape[0], model.network.training
    (1, False)
    """
    from salmu.model_training.loading.clip import load_model

    return load_model(name, device)


def evaluate(
    model: "str | Path | ClipModel",
    dataset: "str | Path | Dataset",
    *,
    settings: Mapping[str, Any] | None = None,
    attacks: bool = False,
    start: str | Path | None = None,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Results:
    """Measure a model with the benchmark's metrics; the same numbers as `salmu evaluate`.

    `model`: loaded, or what `load_model` takes. `settings`: of the section `evaluation`, without its name
    (`salmu settings evaluation` lists them). `attacks`: attack the model too; what they find is in
    `document["extended"]["attacks"]`. `start`: the model from before the unlearning, for the attack that needs it.
    `cache`: a folder that keeps embeddings for the next time. Raises UserError for input that cannot be used.

    >>> import salmu
    >>> few = {"zero_shot_per_class": 1, "bootstrap_replicates": 100}
    >>> results = salmu.evaluate("runs/mine/models/clean", "runs/mine/dataset", settings=few)
    >>> 0 < results.metrics["RetFail"] < 1
    True
    >>> low, high = results.intervals["RetFail"]
    >>> low <= results.metrics["RetFail"] <= high
    True
    >>> results.to_pandas().loc["RetFail", "should_be"]
    'clean'
    """
    from salmu.data.readers import Dataset
    from salmu.evaluation.metrics.score import METRICS, headline, interval
    from salmu.evaluation.scoring.evaluate import evaluate
    from salmu.flows.settings import load_profile

    changes = {f"evaluation.{key}": value for key, value in (settings or {}).items()}
    chosen = load_profile("tiny", changes | ({"evaluation.attacks.enabled": True} if attacks else {})).evaluation
    folder = dataset.folder if isinstance(dataset, Dataset) else dataset
    document = evaluate(chosen, model, folder, cache and Path(cache), progress or _silent, start)
    return Results(
        document["extended"]["model"],
        {metric: headline(document, metric) for metric in METRICS},
        {metric: interval(document, metric) for metric in METRICS},
        document,
    )


def unlearn(
    method: str,
    model: str | Path,
    dataset: "str | Path | Dataset",
    out: str | Path,
    *,
    budget: float = 5.0,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    methods: Paths | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Make the model in a folder forget, and write the result to the folder `out` in open_clip's layout, with
    unlearning.json: what was seen, how long it took. The same as `salmu unlearn`. Returns the folder.

    `method`: one of `salmu.methods()`. `budget`: pairs seen, as a multiple of the forget set. `settings`: the method's
    own. `methods`: files, or folders of them, with methods of your own. `force`: replace what `out` holds; this very
    result is kept anyway. Raises UserError for input that cannot be used.

    >>> import salmu
    >>> few = {"learning_rate": 1e-4, "retain_scenes": 0}
    >>> parts = "runs/mine/models/compromised", "runs/mine/dataset", "forgot"
    >>> forgot = salmu.unlearn("negative_gradient", *parts, budget=0.5, settings=few)
    >>> sorted(path.name for path in forgot.glob("*.json"))[-1]
    'unlearning.json'
    """
    from salmu.data.files import location
    from salmu.data.readers import Dataset
    from salmu.evaluation.unlearning.runner import unlearn
    from salmu.flows.settings import load_profile

    _choose(methods)
    changes = {f"unlearning.methods.{method}.{key}": value for key, value in (settings or {}).items()}
    chosen = load_profile("tiny", changes).unlearning.run(method, budget, seed)
    folder = dataset.folder if isinstance(dataset, Dataset) else location(dataset)
    source, target = (Path(str(location(place))) for place in (model, out))
    unlearn(method, chosen.settings, source, folder, target, progress or _silent, replace=force)
    return target


def merge(edit: str | Path, model: str | Path, out: str | Path, *, force: bool = False) -> Path:
    """Put an edit into the model that it was made from, and write the result to the folder `out` in open_clip's layout.
    The same as `salmu merge`. Returns the folder.

    `edit`: the file edit.safetensors that `unlearn` writes where the method's settings have a `rank`. `force`: replace
    what `out` holds. Raises UserError for a file that is no edit, is damaged, or was made from another model.

    >>> import salmu
    >>> few = {"learning_rate": 1e-3, "retain_scenes": 0, "rank": 4}
    >>> parts = "runs/mine/models/compromised", "runs/mine/dataset", "edited"
    >>> forgot = salmu.unlearn("negative_gradient", *parts, budget=0.5, settings=few)
    >>> salmu.merge(forgot / "edit.safetensors", "runs/mine/models/compromised", "merged").name
    'merged'
    """
    from salmu.data.files import location
    from salmu.evaluation.unlearning.low_rank import merge

    source, target = (Path(str(location(place))) for place in (model, out))
    merge(Path(edit), source, target, replace=force)
    return target


def forget(
    requests: str | Path,
    model: str | Path,
    dataset: str | Path,
    out: str | Path,
    *,
    method: str = "as_retrained",
    budget: float | None = None,
    pairs: int | None = None,
    seconds: float | None = None,
    batch: bool = False,
    seed: int = 0,
    most: int = 100,
    settings: Mapping[str, Any] | None = None,
    methods: Paths | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Work erasure requests one after the other, each from the model that the one before left; the same as
    `salmu forget`. Writes models, records and receipts into the folder `out`, and returns what became of each request.

    `requests`: a CSV or JSONL with identity_id, data_field, file_name and request_id, or a folder of pictures with
    captions. `dataset`: the pairs that may be seen: a published dataset, .parquet or .tar files, or pictures with
    captions. `budget`, `pairs`, `seconds`: one of them limits each request. `batch`: work all together. `most`: more
    requests are refused. `settings`: the method's own. Finished requests are never touched again. Raises UserError for
    input that cannot be used, before anything is done; a request that is refused or fails says so in its row.

    >>> import salmu
    >>> first = salmu.open_dataset("runs/mine/dataset").table("forget", "identity_id")["identity_id"][0].as_py()
    >>> lines = Path("requests.csv").write_text(f"identity_id\\n{first}\\n")
    >>> few = {"learning_rate": 1e-4, "retain_scenes": 0}
    >>> files = "requests.csv", "runs/mine/models/compromised", "runs/mine/dataset", "erased"
    >>> (row,) = salmu.forget(*files, method="negative_gradient", budget=0.5, settings=few)
    >>> row["pairs"] > 1, sorted(path.suffix for path in Path("erased").glob("receipt-*"))
    (True, ['.html', '.json'])
    """
    from salmu.flows.erasure import open_stream, rows_of, work_all
    from salmu.flows.running.lock import run_lock

    _choose(methods)
    given = {"method": method, "budget": budget, "pairs": pairs, "seconds": seconds}
    given |= {"batch": batch, "seed": seed, "most": most}
    changes = {f"unlearning.methods.{method}.{key}": value for key, value in (settings or {}).items()}
    tell = progress or _silent
    with run_lock(Path(out)):
        stream = open_stream(requests, model, dataset, out, given, changes)
        failed = work_all(stream, lambda name, done, total: tell(done, total))
    return rows_of(stream, failed)


def methods(paths: Paths | None = None) -> "dict[str, Method]":
    """The unlearning methods by name: the project's, those of installed packages, and those in `paths`, files or
    folders of your own, which stay known until others are named. A file that cannot be used is a warning of one line.

    >>> import salmu
    >>> method = salmu.methods()["finetuning"]
    >>> sorted(method.sees), sorted(method.search)
    (['retain'], ['learning_rate'])
    >>> method.settings.model_fields["budget"].default
    5.0
    """
    from salmu.evaluation.unlearning import registry

    _choose(paths, always=True)
    return dict(registry.methods())


def _choose(paths: Paths | None, always: bool = False) -> None:
    """Name files of methods, and warn of what cannot be used."""
    if paths is None and not always:
        return
    from salmu.evaluation.unlearning.registry import choose

    several = isinstance(paths, Iterable) and not isinstance(paths, str)
    for line in choose(list(paths) if several else None if paths is None else [paths]):
        warnings.warn(f"method left out: {line}", stacklevel=3)


def _silent(done: int, total: int) -> None:
    pass


@contextlib.contextmanager
def _surroundings():
    """What a run changes in this process ends with it: the runner, which workers read from the environment, and where
    Prefect's logs go, which is not to the handler that open_clip puts on the root logger."""
    names, logger = ("SALMU_RUNNER", "SALMU_WORKERS", "SALMU_ADDRESS"), logging.getLogger("prefect")
    before, shown = {name: os.environ.get(name) for name in names}, logger.propagate
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = shown
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def _main_not_imported_by_workers():
    """A worker process imports the script that started it; its work needs nothing of it, and a script without
    `if __name__ == "__main__":` would begin again in every worker."""
    main = sys.modules["__main__"]
    hidden = {name: main.__dict__[name] for name in ("__file__", "__spec__") if name in main.__dict__}
    main.__dict__.update(__spec__=None)
    main.__dict__.pop("__file__", None)
    try:
        yield
    finally:
        main.__dict__.update(hidden)
