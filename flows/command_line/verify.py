"""`salmu verify`: every file that a run holds, against the digests that its manifests and records hold."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from salmu.data.store import Store
from salmu.data.suggestions import salmu_command
from salmu.flows.command_line.output import text_table
from salmu.flows.running.stages import STAGES
from salmu.flows.verification import rare
from salmu.flows.verification.checked import Checked
from salmu.flows.verification.dataset import dataset_files, stage_files
from salmu.flows.verification.models import model_files, result_files, unlearned_files

NOT_CHECKED = "Not checked: report, gallery, cache and logs. They are made again from the files above."
RARE = ("requests", "generator", "concepts", "granularity", "captioner")  # parts that few runs have
SHOWN = 20  # problems that are listed in the terminal


def checked(store: Store) -> Iterator[Checked]:
    """Every file of stages, dataset, models, unlearned models, results, leaderboard and of RARE, as found."""
    for name in STAGES:
        yield from stage_files(store, name)
    yield from dataset_files(store.folder / "dataset")
    if isinstance(store.folder, Path):  # models lie on a local disk only
        digests: dict[str, str] = {}  # name of a result file -> digest of the weights that it must be of
        yield from model_files(store.folder, digests)
        yield from unlearned_files(store.folder, digests)
        yield from result_files(store.folder, digests)
        yield from rare.request_files(store.folder)
        yield from rare.generator_files(store.folder)
        yield from rare.concept_files(store.folder)
        yield from rare.granularity_files(store.folder)
        yield from rare.captioner_files(store.folder)


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
