"""`salmu publish --to TARGET`: a finished dataset folder to another one, an object store, or the Hugging Face Hub."""

from collections.abc import Callable, Sequence
from pathlib import Path

from salmu.data.errors import UserError
from salmu.data.files import location, size
from salmu.data.publish import copies, hub
from salmu.data.publish.check import check_files
from salmu.data.readers import PROVENANCE, Dataset, open_dataset

HUB = ("hf://datasets/", "hf://")


def publish_to(
    folder: str | Path,
    target: str,
    judges: Sequence[Callable[[Dataset], object]] = (),
    dry_run: bool = False,
    private: bool = True,
) -> list[dict]:
    """Send a published folder to `target`: a path, a URL of fsspec, or hf://OWNER/NAME, a dataset repository.

    Refused unless every file is as provenance.json says and no judge raises UserError; nothing is sent then. Sent is
    only what is not there already, so that the same call goes on where a killed one was; with `dry_run` nothing is.
    `private`: of a repository that is made new. Returns a row a file: file, bytes, state (there, new, changed, to be
    removed) as it was before. Raises UserError for a target that holds something else, or refuses."""
    dataset = open_dataset(folder)
    files = check_files(dataset.folder)
    for judge in judges:
        judge(dataset)
    prefix = next((prefix for prefix in HUB if target.startswith(prefix)), None)
    if prefix:
        if not isinstance(dataset.folder, Path):
            raise UserError(f"{dataset.folder}: the hub takes files of a local disk; publish --to a folder first")
        repository = hub.Repository(target.removeprefix(prefix))
        states = repository.differences(dataset.folder, files)
        if not dry_run:
            repository.upload(dataset.folder, files, private)
    else:
        place = location(target)
        if (
            isinstance(place, Path)
            and isinstance(dataset.folder, Path)
            and place.resolve().is_relative_to(dataset.folder.resolve())
        ):
            raise UserError(f"{target}: is the dataset itself, or inside it; name another folder")
        states = copies.differences(dataset.folder, place, files)
        if not dry_run:
            copies.copy(dataset.folder, place, files)
    sizes = {name: file["bytes"] for name, file in files.items()} | {PROVENANCE: size(dataset.folder / PROVENANCE)}
    return [{"file": name, "bytes": sizes.get(name, 0), "state": state} for name, state in states.items()]
