"""What a published folder was made from and what is in it: settings, versions, digests.

No times and no host names: the same settings give the same bytes."""

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from data.keyed import digest
from data.readers import PROVENANCE, content_digest, content_files
from data.store import Manifest, file_sha256

PACKAGES = ("salmu", "faker", "insightface", "numpy", "onnxruntime", "open_clip_torch", "pillow", "pyarrow", "torch")


def inputs(manifests: dict[str, Manifest], settings: dict[str, Any]) -> dict[str, Any]:
    """What decides the bytes of the folder. `fingerprints` covers the model revisions that shards were made with."""
    return {
        "settings": settings,
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


def document(folder: Path, made_from: dict[str, Any]) -> dict[str, Any]:
    """The provenance of a folder whose other files are all written: size and SHA-256 of each, digest of the content."""
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    content = {name: files[name]["sha256"] for name in content_files(folder)}
    return {"dataset_digest": content_digest(content), "inputs_digest": digest(made_from), **made_from, "files": files}


def is_current(folder: Path, made_from: dict[str, Any]) -> bool:
    """Whether the folder was made from just this and its files are there with the recorded sizes."""
    try:
        known = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
        return known["inputs_digest"] == digest(made_from) and all(
            (folder / name).stat().st_size == file["bytes"] for name, file in known["files"].items()
        )
    except (OSError, ValueError, KeyError):
        return False


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
