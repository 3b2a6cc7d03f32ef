"""The fragile set of a published folder: named once models are trained, long after the pairs were written."""

import hashlib
import re
from collections.abc import Sequence

from salmu.data.checksums import require_same
from salmu.data.documents import parse_json, read_json
from salmu.data.errors import UserError
from salmu.data.files import read_bytes, write_atomic
from salmu.data.provenance import PROVENANCE, Provenance, again, folder_digest, read_provenance, recorded
from salmu.data.publish.metadata import to_bytes
from salmu.data.publish.provenance import LAYOUT
from salmu.data.readers import FRAGILE_SET

CARD, CROISSANT = "README.md", "croissant.json"
SENTENCE = re.compile(r"The fragile set has [0-9,]+ of the latter")  # of the card


def sentence(count: int) -> str:
    """The words of the card that count the fragile set."""
    return f"The fragile set has {count:,} of the latter"


def write_fragile_set(folder, file_names: Sequence[str]) -> None:
    """Name the fragile set of a published folder, by path or URL, in fragile_set_ids.json, and bring card, Croissant
    and provenance up to date. A folder that names just these stays as it is.

    The provenance is written last: after a crash before that the folder is not current, and `publish` writes it again.
    Raises UserError for a folder of another version, or a damaged one."""
    known = read_provenance(folder)
    if known.layout != LAYOUT:
        raise UserError(f"{folder}: was published by another version of this project; {again(folder)}")
    names = to_bytes(sorted(file_names))
    if known.files[FRAGILE_SET].model_dump() == _file(names):
        return
    card, description = (_intact(folder, known, name) for name in (CARD, CROISSANT))
    written = {
        FRAGILE_SET: names,
        CARD: SENTENCE.sub(sentence(len(file_names)), card.decode()).encode(),
        CROISSANT: _described(parse_json(description, str(folder / CROISSANT)), _file(names)),
    }
    document = read_json(folder / PROVENANCE)
    document["files"] |= {name: _file(content) for name, content in written.items()}
    document["folder_digest"] = folder_digest(document)
    for name, content in (written | {PROVENANCE: to_bytes(document)}).items():
        write_atomic(folder / name, content)


def _file(content: bytes) -> dict[str, int | str]:
    """A file as the provenance names it."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _intact(folder, known: Provenance, name: str) -> bytes:
    return require_same(folder / name, read_bytes(folder / name), recorded(folder, known, name))


def _described(croissant: dict, file: dict[str, int | str]) -> bytes:
    """croissant.json with another fragile_set_ids.json."""
    for entry in croissant["distribution"]:
        if entry["@id"] == FRAGILE_SET:
            entry |= {"contentSize": f"{file['bytes']} B", "sha256": file["sha256"]}
    return to_bytes(croissant)
