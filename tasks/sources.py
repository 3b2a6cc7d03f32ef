"""Where a model's files come from: a folder on this machine, or a repository of the Hugging Face hub at one commit."""

import functools
import re
from pathlib import Path
from typing import NamedTuple

from salmu.data.errors import UserError
from salmu.data.files import file_sha256
from salmu.data.keyed import digest

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")


class Source(NamedTuple):
    """A folder (`commit` is None) or a hub id."""

    setting: str  # the setting that names it, for messages
    name: str
    commit: str | None  # a branch's name where no commit can be known

    def file(self, name: str) -> Path:
        """A file of it, fetched from the hub unless it is cached. Raises UserError if it cannot be had."""
        if self.commit is None:
            path = Path(self.name) / name
            if not path.is_file():
                raise UserError(f"{path}: no such file; set {self.setting} to a folder that holds it")
            return path
        from huggingface_hub import hf_hub_download

        try:
            return Path(hf_hub_download(self.name, name, revision=self.commit))
        except Exception as error:  # the hub's, the network's and the file system's errors share no base
            raise self.unusable(error) from None

    def revision(self, *files: str) -> str:
        """What its weights are: the hub's commit, or a digest of the named files (else of all) in the folder."""
        if self.commit is not None:
            return f"{self.name}@{self.commit}"
        paths = [self.file(name) for name in files] or sorted(
            path for path in Path(self.name).rglob("*") if path.is_file() and not _hidden(path.relative_to(self.name))
        )
        found = [(path, path.stat()) for path in paths]
        return digest(
            [
                [path.relative_to(self.name).as_posix(), stat.st_size, _sha256(path, stat.st_mtime_ns)]
                for path, stat in found
            ]
        )

    def unusable(self, error: Exception) -> UserError:
        """The error of one line for something in it that could not be loaded."""
        reason = " ".join(str(error).split())[:200]
        if self.commit is None:
            return UserError(f"{self.name}: cannot be loaded, set {self.setting} to a whole copy: {reason}")
        return UserError(
            f"{self.setting}: {self.name!r} at {self.commit} is neither a folder here nor in the hub's cache, and "
            f"cannot be fetched; name a folder, or run: hf download {self.name} ({reason})"
        )


def source(setting: str, name: str, revision: str | None) -> Source:
    """A folder if there is one of this name, else a hub id at a commit: the given one, the cached one, or the one that
    the hub tells. Raises UserError for what can be neither."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Source(setting, str(folder), None)
    if not HUB_ID.fullmatch(name):
        raise UserError(f"{name}: no such folder; set {setting} to a folder, or to a hub id (owner/name)")
    return Source(setting, name, _commit(name, revision or "main"))


@functools.cache
def _commit(name: str, revision: str) -> str:
    if COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi, constants

    cached = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}" / "refs" / revision
    if cached.is_file():
        return cached.read_text().strip()
    try:
        return HfApi().model_info(name, revision=revision, timeout=10).sha or revision
    except Exception:  # offline, private or unknown: loading says which
        return revision


@functools.cache
def _sha256(path: Path, changed: int) -> str:
    """Weights are gigabytes: read once a process, unless the file changes (`changed`: its time, ns)."""
    return file_sha256(path)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
