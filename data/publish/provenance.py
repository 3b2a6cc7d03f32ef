"""What a published folder was made from and what is in it: settings, models, versions, digests.

No times, no host names, no folders of the machine: the same settings give the same bytes."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from salmu.data.checksums import require_intact
from salmu.data.errors import UserError
from salmu.data.files import file_sha256, size
from salmu.data.keyed import digest
from salmu.data.licences import Model
from salmu.data.private import without_folders
from salmu.data.provenance import folder_digest, read_provenance, recorded
from salmu.data.readers import content_digest, content_files
from salmu.data.store import Manifest

LAYOUT = 4  # raised when the same inputs give other files
PACKAGES = (
    "salmu",
    "diffusers",
    "faker",
    "insightface",
    "numpy",
    "onnxruntime",
    "open_clip_torch",
    "pillow",
    "pyarrow",
    "torch",
    "transformers",
)


def inputs(manifests: dict[str, Manifest], settings: dict[str, Any], models: Sequence[Model] = ()) -> dict[str, Any]:
    """What decides the bytes of the folder. `fingerprints` covers the model revisions that shards were made with."""
    return {
        "layout": LAYOUT,
        "settings": without_folders(settings),
        "models": [model._asdict() for model in models],
        "stages": {
            name: {
                "version": manifest.version,
                "rows": manifest.rows,
                "rejects": manifest.rejects,
                "digest": manifest.digest,
                "fingerprints": digest([[shard.index, shard.fingerprint] for shard in manifest.shards]),
            }
            for name, manifest in manifests.items()
        },
        "packages": {name: _version(name) for name in PACKAGES},
    }


def listing(folder: Path, known: dict[str, dict] | None = None) -> dict[str, dict[str, Any]]:
    """File name -> bytes and sha256, of every file in a folder; those of `known` are not read again."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        name: (known or {}).get(name) or {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for name, path in paths.items()
    }


def digest_of(folder: Path, files: dict[str, dict]) -> str:
    """The digest of the content, from the listing of a folder."""
    return content_digest({name: files[name]["sha256"] for name in content_files(folder)})


def document(folder: Path, made_from: dict[str, Any], files: dict[str, dict]) -> dict[str, Any]:
    """The provenance of a folder; `files`: its listing."""
    head = {"dataset_digest": digest_of(folder, files), "inputs_digest": inputs_digest(made_from)}
    rest = {**head, **made_from, "files": files}
    return {"folder_digest": folder_digest(rest), **rest}


def inputs_digest(made_from: dict[str, Any]) -> str:
    """The digest of what `inputs` gives."""
    return digest(made_from)


def is_current(folder: Path, made_from: dict[str, Any]) -> bool:
    """Whether the folder was made from just this and its files are intact; those of an object store are judged by
    their sizes."""
    try:
        known = read_provenance(folder)
        if known is None or known.folder_digest is None or known.inputs_digest != inputs_digest(made_from):
            return False
        for name, file in known.files.items():
            if isinstance(folder, Path):
                require_intact(folder / name, recorded(folder, known, name))
            elif size(folder / name) != file.bytes:
                return False
    except UserError:
        return False
    return True


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
