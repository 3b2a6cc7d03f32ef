"""provenance.json of a published folder, as it is read: what the folder was made from, and every file with its SHA-256.

Two digests name a folder. `dataset_digest` is that of the content, the Parquet and JSON files without the fragile set;
models and results are compared by it. `folder_digest` is that of provenance.json itself, which lists every other file,
so that it covers all of them. Both lie in the folder: they show what was damaged, not who published it. For that,
compare `folder_digest` with the one that the publisher noted down elsewhere.
"""

from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, field_validator

from salmu.data.checksums import Recorded
from salmu.data.documents import read_json
from salmu.data.errors import UserError
from salmu.data.files import size
from salmu.data.keyed import digest
from salmu.data.settings import validate
from salmu.data.suggestions import salmu_command

PROVENANCE = "provenance.json"
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class File(BaseModel):
    """A file of the folder."""

    model_config = ConfigDict(extra="forbid")
    bytes: NonNegativeInt
    sha256: Sha256


class Provenance(BaseModel):
    """The document."""

    model_config = ConfigDict(extra="forbid")
    dataset_digest: Digest
    folder_digest: Digest | None = None  # folders of older versions have none
    inputs_digest: Digest
    layout: int
    settings: dict[str, Any]
    models: list[dict[str, Any]]
    stages: dict[str, dict[str, Any]]
    packages: dict[str, str | None]
    files: dict[str, File]

    @field_validator("files")
    @classmethod
    def _inside(cls, files: dict[str, File]) -> dict[str, File]:
        for name in files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or name != str(path):
                raise ValueError(f"{name}: not a path inside the folder")
        return files


def read_provenance(folder: Path) -> Provenance | None:
    """The provenance of a published folder; None if it has none. Raises UserError if it is damaged."""
    path = folder / PROVENANCE
    if size(path) is None:
        return None
    try:
        document = read_json(path)
        found = validate(Provenance, document, str(path))
    except UserError as error:
        raise UserError(f"{error}; {again(folder)}") from None
    if found.folder_digest not in (None, folder_digest(document)):
        raise UserError(f"{path}: damaged, its folder_digest is not that of its content; {again(folder)}")
    return found


def folder_digest(document: dict[str, Any]) -> str:
    """The digest of a provenance, which covers every file that it lists."""
    return digest("folder", {key: value for key, value in document.items() if key != "folder_digest"})


def recorded(folder: Path, provenance: Provenance, name: str) -> Recorded:
    """What the provenance says of a file of the folder. Raises UserError if it does not name the file."""
    if name not in provenance.files:
        raise UserError(
            f"{folder / name}: not in {PROVENANCE}; remove it, or {PROVENANCE} if you changed the folder on purpose"
        )
    file = provenance.files[name]
    return Recorded(file.bytes, file.sha256, PROVENANCE, again(folder))


def again(folder: Path) -> str:
    """What brings a damaged folder back."""
    publish = salmu_command("run --until dataset", folder.parent) if folder.name == "dataset" else "salmu publish"
    return f"fetch it again, or publish it again with {publish}"
