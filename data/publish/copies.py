"""Copies a published folder to another one, by path or URL, so that a copy that was cut off goes on.

While it is under way provenance.json is absent and the file `.incomplete` says which provenance is being copied, so
that a reader finds the old dataset, the new one, or none; files appear there whole or not at all."""

import hashlib
import os
import shutil
from pathlib import Path

from salmu.data.errors import UserError
from salmu.data.files import reaching, read_bytes, remove, write_atomic
from salmu.data.provenance import PROVENANCE, read_provenance
from salmu.data.readers import INCOMPLETE


def all_files(folder) -> dict[str, int]:
    """Name below the folder -> bytes, of every file; empty if there is no such folder."""
    if isinstance(folder, Path):
        paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
        return {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}
    with reaching(folder):
        found = folder.fs.find(folder.path, detail=True)
    return {name.removeprefix(f"{folder.path.rstrip('/')}/"): info["size"] for name, info in sorted(found.items())}


def differences(source: Path, target, files: dict[str, dict]) -> dict[str, str]:
    """File -> there | new | changed | to be removed. `files`: bytes and sha256 of each file of the source, by its
    provenance, which counts as one of them.

    What lies in the target is known by the provenance there; after a copy of the same folder that was cut off, by
    name and size. Raises UserError for a target that holds something else."""
    there, stamp = all_files(target), _stamp(source)
    if there and not {PROVENANCE, INCOMPLETE} & set(there):
        raise UserError(f"{target}: not empty and not a published dataset; name another folder or remove it")
    if INCOMPLETE in there:
        known = files if read_bytes(target / INCOMPLETE) == stamp else {}
    else:
        known = _recorded(target) if there else {}
    same = {name for name, file in files.items() if known.get(name) == file and there.get(name) == file["bytes"]}
    if PROVENANCE in there and read_bytes(target / PROVENANCE) == read_bytes(source / PROVENANCE):
        same.add(PROVENANCE)
    states = {name: "there" if name in same else "changed" if name in there else "new" for name in [*files, PROVENANCE]}
    return states | {name: "to be removed" for name in there if name not in states and name != INCOMPLETE}


def copy(source: Path, target, files: dict[str, dict]) -> None:
    """Make the target a copy of the source; only what `differences` names is written."""
    states = differences(source, target, files)
    if set(states.values()) == {"there"} and INCOMPLETE not in all_files(target):
        return
    if _marked(target) != _stamp(source):
        write_atomic(target / INCOMPLETE, b"")
        remove(target / PROVENANCE)
        _remove(target, states, "changed")
        write_atomic(target / INCOMPLETE, _stamp(source))
    _remove(target, states, "to be removed")
    _send(source, target, [name for name, state in states.items() if state != "there" and name in files])
    write_atomic(target / PROVENANCE, read_bytes(source / PROVENANCE))
    remove(target / INCOMPLETE)


def _stamp(source: Path) -> bytes:
    """What names the folder that is copied: the digest of its provenance."""
    return hashlib.sha256(read_bytes(source / PROVENANCE)).hexdigest().encode()


def _recorded(target) -> dict[str, dict]:
    """The files that the target's provenance names; none if it is damaged."""
    try:
        found = read_provenance(target)
    except UserError:
        return {}
    return {name: file.model_dump() for name, file in found.files.items()} if found else {}


def _marked(target) -> bytes | None:
    try:
        return read_bytes(target / INCOMPLETE)
    except FileNotFoundError:
        return None


def _remove(target, states: dict[str, str], which: str) -> None:
    for name, state in states.items():
        if state == which and name != PROVENANCE:
            remove(target / name)


def _send(source, target, names: list[str]) -> None:
    if not isinstance(target, Path) and isinstance(source, Path):
        with reaching(target):
            target.fs.put([str(source / name) for name in names], [(target / name).path for name in names])
        return
    for name in names:
        _copy_file(source / name, target / name)


def _copy_file(source, target) -> None:
    if not isinstance(target, Path):
        write_atomic(target, read_bytes(source))
        return
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with reaching(source), source.open("rb") as read, open(temporary, "wb") as written:
            shutil.copyfileobj(read, written, 1 << 20)
            written.flush()
            os.fsync(written.fileno())
        os.replace(temporary, target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        reason = error.strerror or error
        raise UserError(f"{target}: cannot be written: {reason}; free some space, then run again") from None
