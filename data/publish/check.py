"""Checks a published folder: every file against provenance.json, and that against itself; nothing lies beside them."""

from salmu.data.errors import UserError
from salmu.data.files import file_sha256, location
from salmu.data.provenance import PROVENANCE, again, read_provenance
from salmu.data.publish.copies import all_files
from salmu.data.publish.provenance import inputs_digest
from salmu.data.readers import content_digest, content_files, open_dataset


def check_files(folder, digest: str | None = None) -> dict[str, dict]:
    """The files that provenance.json names, with bytes and sha256 of each, where each is as it says and its three
    digests follow from what they cover. `folder`: path or URL; `digest`: the folder_digest that it must have, as noted
    down elsewhere: the folder alone cannot show that somebody replaced files and provenance together.

    Raises UserError with the number of problems and the first."""
    folder = location(folder)
    provenance = read_provenance(folder)
    if provenance is None:
        open_dataset(folder)  # tells what else may be wrong with the folder
        raise UserError(f"{folder}: no provenance.json, so that its files cannot be checked; publish it again")
    if provenance.folder_digest is None:
        raise UserError(f"{folder / PROVENANCE}: no folder_digest, which older versions did not write; {again(folder)}")
    if digest is not None and provenance.folder_digest != digest:
        raise UserError(
            f"{folder}: its folder_digest is {provenance.folder_digest}, not {digest}; this is not the folder that was "
            "published under that digest"
        )
    there = all_files(folder)
    files = {name: file.model_dump() for name, file in provenance.files.items()}
    problems = [problem for name, file in files.items() for problem in _problems(folder / name, there.get(name), file)]
    problems += [
        f"{folder / name}: not in provenance.json" for name in there if name not in files and name != PROVENANCE
    ]
    made_from = provenance.model_dump(exclude={"dataset_digest", "folder_digest", "inputs_digest", "files"})
    if provenance.inputs_digest != inputs_digest(made_from):
        problems.append(f"{folder / PROVENANCE}: inputs_digest is not that of settings, models, stages and packages")
    if not problems:
        content = {name: provenance.files[name].sha256 for name in content_files(folder)}
        if content_digest(content) != provenance.dataset_digest:
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
