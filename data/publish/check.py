"""Checks a published folder: every file against provenance.json, and that against itself; nothing lies beside them."""

from salmu.data.errors import UserError
from salmu.data.files import file_sha256, location
from salmu.data.provenance import PROVENANCE, Provenance, again, read_provenance
from salmu.data.publish.copies import all_files
from salmu.data.publish.provenance import inputs_digest
from salmu.data.readers import FRAGILE_SET, content_digest, content_files, open_dataset


def check_files(folder, digest: str | None = None) -> dict[str, dict]:
    """The files that provenance.json names, with bytes and sha256 of each, where each is as it says and its digests
    follow from what they cover. `folder`: path or URL.

    `digest`: the folder_digest that the folder must have, as it was noted down elsewhere. Without it, a folder whose
    files and provenance were replaced together looks right. Raises UserError with the number of problems and the
    first."""
    files, problems = compare_files(folder, digest)
    if problems:
        raise UserError(
            f"{len(problems)} problem{'s' * (len(problems) > 1)}, first: {': '.join(problems[0])}; remove files that "
            "do not belong there, or the whole folder, and publish it again (salmu run brings a run up to date)"
        )
    return files


def compare_files(folder, digest: str | None = None) -> tuple[dict[str, dict], list[tuple[str, str]]]:
    """The files that provenance.json names, with bytes and sha256 of each; and (path, what is wrong) of each file that
    is not as it says, or that it does not name.

    Raises UserError for a folder without a provenance.json that can be read, or with another `digest`."""
    folder = location(folder)
    provenance = _provenance(folder, digest)
    there = all_files(folder)
    files = {name: file.model_dump() for name, file in provenance.files.items()}
    problems = [
        (str(folder / name), problem)
        for name, file in files.items()
        for problem in _problems(folder / name, there.get(name), file)
    ]
    problems += [
        (str(folder / name), f"not in {PROVENANCE}") for name in there if name not in files and name != PROVENANCE
    ]
    made_from = provenance.model_dump(exclude={"dataset_digest", "folder_digest", "inputs_digest", "files"})
    if provenance.inputs_digest != inputs_digest(made_from):
        problems.append((str(folder / PROVENANCE), "inputs_digest is not that of settings, models, stages, packages"))
    if not problems:
        names = content_files(folder) + [FRAGILE_SET] * (provenance.layout < 4)  # it was content up to layout 3
        content = {name: provenance.files[name].sha256 for name in names}
        if content_digest(content) != provenance.dataset_digest:
            problems = [(str(folder / PROVENANCE), "dataset_digest is not that of the files")]
    return files, problems


def _provenance(folder, digest: str | None) -> Provenance:
    found = read_provenance(folder)
    if found is None:
        open_dataset(folder)  # tells what else may be wrong with the folder
        raise UserError(f"{folder}: no {PROVENANCE}, so its files cannot be checked; publish it again")
    if found.folder_digest is None:
        raise UserError(f"{folder / PROVENANCE}: no folder_digest, which older versions did not write; {again(folder)}")
    if digest not in (None, found.folder_digest):
        hint = " (that is its dataset_digest)" if digest == found.dataset_digest else ""
        raise UserError(
            f"{folder}: not the expected folder: its folder_digest is {found.folder_digest}, not {digest}{hint}"
        )
    return found


def _problems(path, size: int | None, file: dict):
    if size is None:
        yield "missing"
    elif size != file["bytes"]:
        yield f"{size} bytes, not {file['bytes']}"
    elif file_sha256(path) != file["sha256"]:
        yield "differs from its SHA-256"
