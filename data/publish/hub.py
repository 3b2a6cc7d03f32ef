"""Uploads a published folder to a dataset repository of the Hugging Face Hub, in commits of fewer than 100 files.

The first commit takes provenance.json away and puts `.incomplete` there, the last one turns this round, so that a
snapshot from in between is no dataset. What a commit brought is not sent again."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from salmu.data.errors import UserError
from salmu.data.files import file_sha256
from salmu.data.provenance import PROVENANCE, read_provenance
from salmu.data.readers import INCOMPLETE

CARD = "README.md"
FILES_PER_COMMIT = 90
OF_THE_HUB = (".gitattributes",)


class Repository:
    """A dataset repository, OWNER/NAME. Token and endpoint come from the surroundings, as the hub's client reads them
    (`hf auth login`, HF_TOKEN, HF_ENDPOINT)."""

    def __init__(self, name: str):
        from huggingface_hub import HfApi

        self.name, self.api = name, HfApi()

    def differences(self, folder: Path, files: dict[str, dict]) -> dict[str, str]:
        """File -> there | new | changed | to be removed, by the digests that the hub tells. All are new where there is
        no such repository. Raises UserError for one that holds something else."""
        there = self._files()
        if set(there) - {CARD} and not {PROVENANCE, INCOMPLETE} & set(there):
            raise UserError(
                f"hf://{self.name}: holds something other than a published dataset; name another repository"
            )
        states = {}
        for name in (*files, PROVENANCE):
            known = there.get(name)
            states[name] = (
                "new" if known is None else "there" if _same(known, folder / name, files.get(name)) else "changed"
            )
        return states | {name: "to be removed" for name in there if name not in states and name != INCOMPLETE}

    def upload(self, folder: Path, files: dict[str, dict], private: bool) -> None:
        """Make the repository hold the folder. `private` counts if it is made new."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        states, there = self.differences(folder, files), self._files()
        if set(states.values()) == {"there"} and INCOMPLETE not in there:
            return
        with self._reaching():
            self.api.create_repo(self.name, repo_type="dataset", private=private, exist_ok=True)
            if (gating := _gating(folder)) != "none":
                self.api.update_repo_settings(self.name, repo_type="dataset", gated=gating)
        missing = [name for name, state in states.items() if state in ("new", "changed")]
        work = [CommitOperationAdd(name, folder / name) for name in missing if name not in (PROVENANCE, CARD)]
        work += [CommitOperationDelete(name) for name, state in states.items() if state == "to be removed"]
        if INCOMPLETE not in there or PROVENANCE in there:
            removed = [CommitOperationDelete(PROVENANCE)] if PROVENANCE in there else []
            self._commit("Upload begins", [CommitOperationAdd(INCOMPLETE, b"upload under way\n"), *removed])
        for start in range(0, len(work), FILES_PER_COMMIT):
            self._commit("Upload", work[start : start + FILES_PER_COMMIT])
        last = [CommitOperationAdd(name, folder / name) for name in (CARD, PROVENANCE)]
        self._commit("Upload is complete", [*last, CommitOperationDelete(INCOMPLETE)])

    def _files(self) -> dict:
        """What lies in the repository: name -> what the hub says of it."""
        from huggingface_hub import RepoFile
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            with self._reaching(RepositoryNotFoundError):
                found = list(self.api.list_repo_tree(self.name, recursive=True, repo_type="dataset"))
        except RepositoryNotFoundError:
            return {}
        return {file.path: file for file in found if isinstance(file, RepoFile) and file.path not in OF_THE_HUB}

    def _commit(self, message: str, operations: list) -> None:
        with self._reaching():
            self.api.create_commit(self.name, operations, commit_message=message, repo_type="dataset")

    @contextlib.contextmanager
    def _reaching(self, *expected: type[Exception]) -> Iterator[None]:
        try:
            yield
        except expected:
            raise
        except Exception as error:  # the client lets those of its HTTP library through
            raise UserError(
                f"hf://{self.name}: the hub refused or did not answer: {error}; check the name and the token "
                "(hf auth login, or HF_TOKEN), then run again (uploaded files are kept)"
            ) from None


def _gating(folder: Path) -> str:
    """What the dataset was published with; none where the provenance does not say."""
    publish = read_provenance(folder).settings.get("publish")
    return publish.get("gating", "none") if isinstance(publish, dict) else "none"


def _same(known, path: Path, recorded: dict | None) -> bool:
    """Whether the hub's file is the local one: by SHA-256 where it is stored apart, else by git's hash of a blob.
    `recorded`: what the provenance says of the local one; None for the provenance itself."""
    if known.size != path.stat().st_size:
        return False
    if known.lfs:
        return known.lfs.sha256 == (recorded["sha256"] if recorded else file_sha256(path))
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == known.blob_id
