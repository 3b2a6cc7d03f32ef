"""Where a model's files lie: a folder here, or the named files of a repository on the hub."""

import re
from pathlib import Path

from salmu.data.documents import MIB, read_json
from salmu.data.errors import UserError

CONFIGURATION = "open_clip_config.json"
HUB, LOCAL = "hf-hub:", "local-dir:"
MAY_NAME_CODE = ("config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json")
CODE = ("auto_map", "custom_pipelines")  # keys by which transformers finds code in a repository


def local_folder(name: str) -> Path | None:
    """The folder that a model's name means, by path or as local-dir:FOLDER; None for a name of another kind."""
    if name.startswith(LOCAL) or Path(name).expanduser().is_dir():
        return Path(name.removeprefix(LOCAL)).expanduser()
    return None


def require_data_only(folder: Path) -> None:
    """Raises UserError if a document of the folder names code of its own, or cannot be read."""
    for path in (folder / name for name in MAY_NAME_CODE):
        if not path.is_file():
            continue
        document = read_json(path, 4 * MIB)
        named = [key for key in CODE if isinstance(document, dict) and document.get(key)]
        if named:
            raise UserError(
                f"{path}: names code in the folder ({named[0]}), and foreign code is never run; use a model without it"
            )


def fetched(repository: str, names: list[str], revision: str | None = None) -> Path:
    """A folder with those of the named files that a repository on the hub has; from the cache where they are there.

    Raises UserError if the repository cannot be reached, or the name is none."""
    from huggingface_hub import snapshot_download

    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", repository):
        raise UserError(f"model {HUB}{repository}: not the name of a repository, OWNER/NAME")
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=names))
    except Exception as error:  # the hub's client and requests raise many types
        reason = str(error).splitlines()[0] if str(error) else ""
        raise UserError(
            f"model {HUB}{repository}: cannot be fetched from the hub: {type(error).__name__}: {reason[:200]}"
        ) from None
