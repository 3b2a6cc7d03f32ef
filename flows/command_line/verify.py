"""`salmu verify`: every file that a run holds, against the digests that its manifests and records hold."""

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from salmu.data.documents import read_checked, read_json
from salmu.data.errors import UserError
from salmu.data.files import file_sha256, listed, parquet_file, size
from salmu.data.keyed import digest
from salmu.data.publish.check import compare_files
from salmu.data.sealed import is_intact
from salmu.data.store import Store
from salmu.data.suggestions import salmu_command
from salmu.flows.command_line.output import text_table
from salmu.flows.running.stages import STAGES

NOT_CHECKED = "Not checked: report, gallery, cache and logs. They are made again from the files above."
RARE = ("requests", "generator", "concepts", "granularity", "captioner")  # parts that few runs have
SHOWN = 20  # problems that are listed in the terminal


class Checked(NamedTuple):
    """A file that was looked at."""

    part: str
    path: Any  # Path, or UPath of a run in an object store
    bytes: int
    problem: str = ""  # empty: the file is as it should be


def checked(store: Store) -> Iterator[Checked]:
    """Every file of stages, dataset, models, unlearned models, results, leaderboard and of RARE, as found."""
    for name in STAGES:
        yield from _stage(store, name)
    yield from _dataset(store.folder / "dataset")
    if isinstance(store.folder, Path):  # models lie on a local disk only
        digests: dict[str, str] = {}  # name of a result file -> digest of the weights that it must be of
        yield from _models(store.folder, digests)
        yield from _unlearned(store.folder, digests)
        yield from _results(store.folder, digests)
        yield from _requests(store.folder)
        yield from _generators(store.folder)
        yield from _concepts(store.folder)
        yield from _granularity(store.folder)
        yield from _captioner(store.folder)


def as_rows(found: list[Checked]) -> list[dict[str, Any]]:
    """One row a part of the run: files looked at, their bytes, and how many are not as they should be."""
    parts = dict.fromkeys([*STAGES, "dataset", "models", "unlearned", "results", "leaderboard", *RARE])
    rows = []
    for part in parts:
        of_part = [file for file in found if file.part == part]
        if part in RARE and not of_part:
            continue
        problems = sum(bool(file.problem) for file in of_part)
        rows.append(
            {"part": part, "files": len(of_part), "bytes": sum(file.bytes for file in of_part), "problems": problems}
        )
    return rows


def problems_of(found: list[Checked], folder) -> list[dict[str, str]]:
    """What is wrong, file by file, with the command that makes it again."""
    return [
        {"part": file.part, "path": str(file.path), "problem": file.problem, "command": remedy(file, folder)}
        for file in found
        if file.problem
    ]


def as_text(rows: list[dict[str, Any]], problems: list[dict[str, str]]) -> str:
    """The table of parts, and the problems below it."""
    table = [
        {"part": row["part"], "files": row["files"], "MB": round(row["bytes"] / 1e6, 2), "problems": row["problems"]}
        for row in rows
    ]
    files, total = (sum(row[name] for row in rows) for name in ("files", "bytes"))
    found = f"{len(problems)} problem{'s' * (len(problems) > 1)}" if problems else "all as they should be"
    lines = [text_table(table), "", f"{files} files, {total / 1e6:.1f} MB: {found}", NOT_CHECKED]
    for problem in problems[:SHOWN]:
        lines += ["", f"{problem['path']}: {problem['problem']}", f"    {problem['command']}"]
    if len(problems) > SHOWN:
        lines += ["", f"and {len(problems) - SHOWN} more, which --json lists"]
    return "\n".join(lines)


def remedy(file: Checked, folder) -> str:
    """The command that makes a damaged file again. A run keeps what it finds, so that this is removed first: of a
    dataset and of a model the whole folder, which is written whole or not at all."""
    words = {
        "dataset": "run --until dataset",
        "models": "run --until pair",
        "unlearned": "run",
        "results": "run",
        "leaderboard": "report",
        "requests": "run",
        "generator": "generator",
        "concepts": "concepts",
        "granularity": "granularity",
        "captioner": "captioner",
    }.get(file.part, f"stage {file.part}")
    again = salmu_command(words, folder)
    target = file.path
    if file.part == "dataset":
        target = folder / "dataset"
    elif file.part in ("unlearned", "requests"):
        target = folder / file.part / file.path.relative_to(folder / file.part).parts[0]
    elif file.part in ("models", "granularity") and file.path.parent != folder / file.part:
        target = file.path.parent
    elif file.part == "concepts" and file.path.parent.parent.name in ("models", "unlearned"):
        target = file.path.parent
    if not isinstance(target, Path) or not target.exists():
        return again
    return f"rm {'-r ' if target.is_dir() else ''}{shlex.quote(str(target))} && {again}"


def _stage(store: Store, name: str) -> Iterator[Checked]:
    (manifest_path, *commits), there = store.manifest_files(name), store.files(name)
    if manifest_path.name not in there:
        return
    try:
        manifest = store.manifest(name)
    except UserError as error:
        damaged = next((path for path in commits if str(error).startswith(f"{path}: ")), manifest_path)
        yield Checked(name, damaged, there.get(damaged.name) or 0, str(error).removeprefix(f"{damaged}: "))
        return
    whole = not manifest.complete or manifest.planned == len(manifest.shards)
    yield Checked(name, manifest_path, there[manifest_path.name], "" if whole else "does not name all planned shards")
    yield from (Checked(name, path, there.get(path.name) or 0) for path in commits)
    columns = set(STAGES[name].SCHEMA.names)
    for entry in manifest.shards:
        path = store.part_path(name, entry.index)
        yield _shard(name, path, there, entry.bytes, entry.sha256, entry.rows, columns)
        if entry.rejects:
            path = store.rejects_path(name, entry.index)
            yield _shard(name, path, there, entry.rejects_bytes, entry.rejects_sha256, entry.rejects, set())


def _shard(name: str, path, there: dict, bytes: int, sha256: str, rows: int, columns: set[str]) -> Checked:
    held = there.get(path.name)
    if held is None:
        return Checked(name, path, 0, "missing")
    if held != bytes or file_sha256(path) != sha256:
        return Checked(name, path, held, "differs from its manifest")
    try:
        file = parquet_file(path)
    except UserError as error:
        return Checked(name, path, held, str(error).removeprefix(f"{path}: "))
    if not columns <= set(file.schema_arrow.names):
        return Checked(name, path, held, "lacks columns of its schema")
    return Checked(name, path, held, "" if file.metadata.num_rows == rows else f"does not hold {rows} rows")


def _dataset(folder) -> Iterator[Checked]:
    if not listed(folder):
        return
    provenance = folder / "provenance.json"
    try:
        files, problems = compare_files(folder)
    except UserError as error:
        yield Checked("dataset", provenance, size(provenance) or 0, str(error).removeprefix(f"{provenance}: "))
        return
    wrong = dict(problems)
    for name in {**files, "provenance.json": None}:
        yield Checked("dataset", folder / name, size(folder / name) or 0, wrong.pop(str(folder / name), ""))
    for path, problem in wrong.items():
        yield Checked("dataset", folder / Path(path).relative_to(str(folder)), 0, problem)


def _models(home: Path, digests: dict[str, str]) -> Iterator[Checked]:
    from salmu.evaluation.encoding.fragile import RECORD, read_strengths
    from salmu.model_training.plan import PLAN

    for path in _visible(home / "models", PLAN):
        plan = _json(path)
        content = {key: value for key, value in (plan or {}).items() if key != "digest"}
        whole = plan is not None and plan.get("digest") == digest("pair plan", content)
        yield Checked("models", path, path.stat().st_size, "" if whole else "damaged: its digest is another")
    strengths = home / "models" / RECORD
    if strengths.is_file():
        intact = _or_none(lambda: read_strengths(strengths)) is not None
        yield Checked("models", strengths, strengths.stat().st_size, "" if intact else "damaged")
    for folder in _model_folders(home / "models"):
        name = "-".join(folder.relative_to(home / "models").parts)
        yield from _model("models", folder, "training.json", name, digests)


def _unlearned(home: Path, digests: dict[str, str]) -> Iterator[Checked]:
    for folder in _model_folders(home / "unlearned"):
        name = "-".join(folder.relative_to(home / "unlearned").parts)
        yield from _model("unlearned", folder, "unlearning.json", name, digests)


def _model(part: str, folder: Path, record_name: str, name: str, digests: dict[str, str]) -> Iterator[Checked]:
    """The files of a model's folder against its record. `digests` gets the digest of the weights that lie there."""
    from salmu.evaluation.unlearning.record import Record
    from salmu.model_training.export import WEIGHTS
    from salmu.model_training.loading.weights import read_weights, weights_digest
    from salmu.model_training.record import Training

    path, form = folder / record_name, Training if part == "models" else Record
    record = _or_none(lambda: read_checked(path, form))
    if record is None or not is_intact(record):
        yield Checked(part, path, size(path) or 0, "damaged" if path.is_file() else "missing")
        record = {}
    else:
        yield Checked(part, path, path.stat().st_size)
    expected = record.get("files") or {WEIGHTS: record.get("weights_sha256")}  # older records name the weights alone
    for file, sha256 in expected.items():
        path = folder / file
        if not path.is_file():
            yield Checked(part, path, 0, "missing")
            continue
        problem = "" if sha256 in (None, file_sha256(path)) else f"differs from its SHA-256 in {record_name}"
        if file == WEIGHTS:
            try:
                digests[name] = weights_digest(read_weights(path))
            except UserError as error:
                problem = problem or str(error).removeprefix(f"{path}: ")
            if digests.get(name) != record.get("model_digest", digests.get(name)):
                problem = problem or f"is not the model that {record_name} describes"
        yield Checked(part, path, path.stat().st_size, problem)


def _results(home: Path, digests: dict[str, str]) -> Iterator[Checked]:
    """The result files, each against its own digest and the weights. One of an earlier dataset is stale, which `status`
    shows, and no problem."""
    from salmu.evaluation.metrics.results_file import read_results
    from salmu.evaluation.metrics.score import PUBLISHED
    from salmu.evaluation.verdicts.leaderboard import boards, records_of

    paths = _visible(home / "results", "*.json")
    for path in paths:
        results = _or_none(lambda path=path: read_results(path)) or {}
        extended = results.get("extended")
        if extended is None or not is_intact(results, under="extended"):
            problem = "damaged"
        elif any(key not in results.get(group, {}) for group, key, _ in PUBLISHED.values()):
            problem = "lacks published metrics"
        elif digests.get(path.stem, extended.get("model_digest")) != extended.get("model_digest"):
            problem = "was measured on weights other than those in the folder"
        else:
            problem = ""
        yield Checked("results", path, path.stat().st_size, problem)
    expected = _or_none(lambda: boards(records_of(home))) if paths else None
    for name, content in (expected or {}).items():
        path = home / name
        if not path.is_file():
            yield Checked("leaderboard", path, 0, "missing")
        else:
            same = path.read_bytes() == content
            yield Checked("leaderboard", path, path.stat().st_size, "" if same else "differs from the results")


def _requests(home: Path) -> Iterator[Checked]:
    """The receipts of the benchmark's requests, each with its record and its model."""
    from salmu.evaluation.requests.receipt import check_receipt

    for path in _visible(home / "requests", "receipt-*.json"):
        try:
            check_receipt(path)
            problem = ""
        except UserError as error:
            problem = str(error).removeprefix(f"{path}: ")
        yield Checked("requests", path, path.stat().st_size, problem)


def _generators(home: Path) -> Iterator[Checked]:
    """What `salmu generator` left: its results, and the generators that they name."""
    from salmu.evaluation.propagation.results import FOLDER, read_propagation, results_file

    path = results_file(home)
    if not path.is_file():
        return
    results = _or_none(lambda: read_propagation(home))
    yield Checked("generator", path, path.stat().st_size, "" if results else "damaged")
    for name, record in (results or {"generators": {}})["generators"].items():
        file = home / FOLDER / f"{name}.safetensors"
        there = file.is_file()
        problem = "missing" if not there else "" if file_sha256(file) == record["sha256"] else "damaged"
        yield Checked("generator", file, file.stat().st_size if there else 0, problem)


def _concepts(home: Path) -> Iterator[Checked]:
    """What `salmu concepts` left: its dataset, its models, and what was measured of them."""
    from salmu.evaluation.concepts.results import FOLDER, RESULTS, read_measured

    folder, digests = home / FOLDER, {}
    for file in (*_dataset(folder / "dataset"), *_models(folder, digests), *_unlearned(folder, digests)):
        yield file._replace(part="concepts")
    for path in _visible(folder / RESULTS, "*.json"):
        results = _or_none(lambda path=path: read_measured(path))
        problem = "" if results else "damaged"
        if results and digests.get(path.stem, results["model_digest"]) != results["model_digest"]:
            problem = "was measured on weights other than those in the folder"
        yield Checked("concepts", path, path.stat().st_size, problem)


def _granularity(home: Path) -> Iterator[Checked]:
    """What `salmu granularity` left: its results, and the coarse model."""
    from salmu.evaluation.granularity.results import FOLDER, RESULTS, read_granularity

    path = home / FOLDER / RESULTS
    if path.is_file():
        problem = "" if _or_none(lambda: read_granularity(home)) else "damaged"
        yield Checked("granularity", path, path.stat().st_size, problem)
    yield from (file._replace(part="granularity") for file in _models(home / FOLDER, {}))


def _captioner(home: Path) -> Iterator[Checked]:
    """What `salmu captioner` left: its results."""
    from salmu.evaluation.captioner.results import FOLDER, RESULTS, read_captions

    path = home / FOLDER / RESULTS
    if path.is_file():
        problem = "" if _or_none(lambda: read_captions(home)) else "damaged"
        yield Checked("captioner", path, path.stat().st_size, problem)


def _visible(folder: Path, pattern: str) -> list[Path]:
    """Files below a folder, without those of work in progress, whose folders begin with a dot."""
    found = sorted(folder.rglob(pattern))
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _model_folders(folder: Path) -> list[Path]:
    """The folders that hold a model, or what is left of one."""
    names = ("open_clip_config.json", "open_clip_model.safetensors", "training.json", "unlearning.json")
    return sorted({path.parent for name in names for path in _visible(folder, name)})


def _json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None if there is no such file, or something else in it."""
    document = _or_none(lambda: read_json(path))
    return document if isinstance(document, dict) else None


def _or_none(ask: Callable[[], Any]) -> Any:
    """The answer; None where a damaged file, which is named by its own check, stands in the way."""
    try:
        return ask()
    except (UserError, AttributeError, KeyError, TypeError):
        return None
