"""Checks a published folder: every file against provenance.json, and nothing beside them."""

import json

from salmu.data.errors import UserError
from salmu.data.files import file_sha256, read_bytes
from salmu.data.publish.copies import all_files
from salmu.data.readers import PROVENANCE, content_digest, content_files, open_dataset


def check_files(folder) -> dict[str, dict]:
    """The files that provenance.json names, with bytes and sha256 of each, where each is as it says and
    `dataset_digest` follows from them. `folder`: path or URL.

    Raises UserError with the number of problems and the first."""
    folder = open_dataset(folder).folder
    try:
        provenance = json.loads(read_bytes(folder / PROVENANCE))
        files = {name: {"bytes": file["bytes"], "sha256": file["sha256"]} for name, file in provenance["files"].items()}
        digest = provenance["dataset_digest"]
    except FileNotFoundError:
        raise UserError(
            f"{folder}: no provenance.json, so that its files cannot be checked; publish it again"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{folder / PROVENANCE}: damaged; publish the dataset again") from None
    there = all_files(folder)
    problems = [problem for name, file in files.items() for problem in _problems(folder / name, there.get(name), file)]
    problems += [
        f"{folder / name}: not in provenance.json" for name in there if name not in files and name != PROVENANCE
    ]
    if not problems and content_digest({name: files[name]["sha256"] for name in content_files(folder)}) != digest:
        problems = [f"{folder / PROVENANCE}: dataset_digest is not that of the files"]
    if problems:
        raise UserError(
            f"{len(problems)} problems, first: {problems[0]}; remove what does not belong there, or the whole folder, "
            "and publish it again (salmu run brings a run up to date)"
        )
    return files


def _problems(path, size: int | None, file: dict):
    if size is None:
        yield f"{path}: missing"
    elif size != file["bytes"]:
        yield f"{path}: {size} bytes, not {file['bytes']}"
    elif file_sha256(path) != file["sha256"]:
        yield f"{path}: differs from its SHA-256"
