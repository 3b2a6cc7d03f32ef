"""The files of a manifest: manifest.json and, while a stage is being made, the entries committed since it was written.

    commits-3f0a9c21d4e8-00003.jsonl   up to ENTRIES lines: the seal of an entry, a space, the entry

A commit adds a line to the last of these files: its cost does not grow with the number of shards. On a disk the line is
appended; a line that a crash cut off is the last one, and counts as nothing. An object store has no appending: the last
file is written anew. manifest.json is written when a stage begins and when it is complete, with all entries in it, and
the other files go. Their names begin with its checksum: those of an earlier manifest.json count as nothing.
"""

import json
import re
from functools import lru_cache
from pathlib import Path

from salmu.data.errors import UserError
from salmu.data.files import append, in_order, listed, read_bytes, remove_files, write_atomic
from salmu.data.keyed import digest
from salmu.data.store.manifest import Entry, Manifest
from salmu.data.suggestions import salmu_command

FILE = "manifest.json"
ENTRIES = 64  # in a file of commits: the fewer, the less each commit uploads; the more, the fewer files are read
_COMMITS = re.compile(r"commits-([0-9a-f]{12})-\d{5,}\.jsonl")


def commit_files(folder: Path, checksum: str | None = None) -> list[Path]:
    """The files of commits in a stage's folder, in order; those of the manifest.json with this checksum, or all."""
    found = [(match, name) for name in sorted(listed(folder)) if (match := _COMMITS.fullmatch(name))]
    return [folder / name for match, name in found if checksum is None or match[1] == checksum[:12]]


def read_manifest(folder: Path, stage: str) -> Manifest:
    """The manifest in a stage's folder, with all that was committed; an empty one if the stage has not begun.

    Raises UserError if a file of it is damaged."""
    while True:
        try:
            content = read_bytes(folder / FILE)
            manifest = _manifest(content, folder, stage)
            if manifest.complete or manifest.checksum is None:
                return manifest
        except FileNotFoundError:
            return Manifest(stage=stage)
        paths = commit_files(folder, manifest.checksum)
        try:
            contents = list(in_order(read_bytes, paths))
            current = read_bytes(folder / FILE) == content
        except FileNotFoundError:
            continue  # whoever makes the stage has just written manifest.json anew
        if current:
            known = {entry.index: entry for entry in manifest.shards}
            for path, lines in zip(paths, contents, strict=True):
                known |= {entry.index: entry for entry in _entries(lines, manifest.checksum, path, path == paths[-1])}
            manifest.shards = [known[index] for index in sorted(known)]
            return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Raises UserError when the disk refuses."""
    manifest.shards.sort(key=lambda entry: entry.index)
    manifest.checksum = _checksum(manifest.model_dump_json())
    write_atomic(folder / FILE, manifest.model_dump_json(indent=1).encode())
    remove_files(commit_files(folder))


def write_commit(folder: Path, manifest: Manifest, made: list[Entry]) -> None:
    """Commit the last of the shards `made` since the manifest was written; the others are committed already. Raises
    UserError when the disk refuses."""
    number = (len(made) - 1) // ENTRIES
    path = folder / f"commits-{manifest.checksum[:12]}-{number:05d}.jsonl"
    if isinstance(path, Path):
        append(path, _line(made[-1], manifest.checksum))
    else:
        write_atomic(path, b"".join(_line(entry, manifest.checksum) for entry in made[number * ENTRIES :]))


def _manifest(content: bytes, folder: Path, stage: str) -> Manifest:
    try:
        manifest = _checked(content)
        if manifest.stage != stage:
            raise ValueError
    except (ValueError, RecursionError):
        raise _damaged(folder / FILE, "the stage") from None
    copies = {"settings": dict(manifest.settings), "upstream": dict(manifest.upstream), "shards": [*manifest.shards]}
    return manifest.model_copy(update=copies)


@lru_cache(maxsize=32)  # a command asks for each manifest of a run several times
def _checked(content: bytes) -> Manifest:
    """Raises ValueError for what is no manifest, or has another checksum than it says."""
    manifest = Manifest.model_validate_json(content)
    if manifest.checksum not in (None, _checksum(content)):
        raise ValueError("another checksum")
    return manifest


def _checksum(content: str | bytes) -> str:
    """Of what is written, so that it holds for files of versions that knew fewer keys."""
    return digest("manifest", {key: value for key, value in json.loads(content).items() if key != "checksum"})


def _line(entry: Entry, checksum: str) -> bytes:
    text = entry.model_dump_json()
    return f"{digest('commit', checksum, text)} {text}\n".encode()


def _entries(content: bytes, checksum: str, path: Path, last: bool) -> list[Entry]:
    """The entries in a file of commits; `last`: it is the last file, whose last line may be cut off."""
    lines, found = content.removesuffix(b"\n").split(b"\n"), []
    for number, line in enumerate(lines, 1):
        try:
            seal, _, text = line.decode().partition(" ")
            if seal != digest("commit", checksum, text):
                raise ValueError
            found.append(Entry.model_validate_json(text))
        except ValueError:
            if not (last and number == len(lines)):
                raise _damaged(path, "the shards in it") from None
    return found


def _damaged(path: Path, what: str) -> UserError:
    again = salmu_command(f"stage {path.parent.name}", path.parent.parent)
    return UserError(f"{path}: damaged manifest; remove the file and run {again} to make {what} again")
