"""The receipt of a finished request: what was asked, what was done, what the evidence is, what remains, how to check.

It follows from the record of the request and from nothing else, so that a changed byte shows: in the receipt by its
own digest and by making it again, in the record by the chain of requests.jsonl, in the model by the digests of its
files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from salmu.data.documents import parse_json, read_bounded
from salmu.data.errors import UserError
from salmu.data.files import file_sha256
from salmu.data.sealed import KEY, is_intact, sealed
from salmu.data.settings import validate
from salmu.evaluation.requests.evidence import AWAY, STATES
from salmu.evaluation.requests.ledger import LEDGER, Asked, Digest, Evidence, Number, Part, Sha256, read_ledger

LONGEST_RECEIPT = 2**26
LEFT = 0.9  # of the retrieval of kept pairs: with less, the receipt says that they suffered
DRIFT = 1e-6  # mean 1 - cosine: below it a tower did not change


class Done(Part):
    method: str
    settings: dict[str, Any]
    not_default: list[str]
    budget: Number
    pairs_seen: int
    steps: int
    retain_pairs: int
    rejects: dict[str, int]
    withheld_pairs: int


class Models(Part):
    """Digests of weights; `folder` is relative to the receipt."""

    start: Digest
    before: Digest
    after: Digest
    folder: str
    files: dict[str, Sha256]


class Cost(Part):
    method_seconds: Number
    evidence_seconds: Number


class Receipt(Part):
    kind: Literal["receipt of an erasure request"]
    layout: Literal[1]
    request: str
    number: int
    request_digest: Sha256
    batch: list[int]
    finished: str
    asked: Asked
    done: Done
    models: Models
    evidence: Evidence
    states: dict[str, str]
    remains: list[str]
    cost: Cost
    check: list[str]
    version: str
    record_digest: Digest
    previous_record_digest: Digest
    content_digest: Digest = Field(description="Of everything else in this file.")


CHECK = [
    "Anybody who has this folder: salmu verify --receipt FILE compares the receipt, its record in requests.jsonl, the "
    "records before it and the model's files with their digests.",
    "Whoever received only this file: compare record_digest with the one that the operator published or sent at the "
    "time; a later change of any record changes it.",
    "The owner of the data, who has owner/salt: the digest of a fact is HMAC-SHA-256 with the salt as key; salmu "
    "forget --show-facts writes the facts beside their digests.",
    "Whoever has the data and the models before and after: the same command, with the same settings, gives the same "
    "weights on the same machine type, package versions and number of threads.",
]


def receipt_path(folder: Path, record: dict[str, Any]) -> Path:
    return folder / f"receipt-{record['request']}.json"


def missing_receipts(folder: Path, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records whose receipt was not written before the process ended."""
    return [record for record in records if not receipt_path(folder, record).is_file()]


def receipt_of(record: dict[str, Any]) -> bytes:
    """The receipt of a record, as it stands in its file."""
    done = {key: record[key] for key in Done.model_fields if key in record}
    document = {
        "kind": "receipt of an erasure request",
        "layout": 1,
        **{
            key: record[key] for key in ("request", "number", "request_digest", "batch", "finished", "asked", "version")
        },
        "done": done | {"withheld_pairs": len(record["withheld"])},
        "models": {
            "start": record["start_model"],
            "before": record["model_before"],
            "after": record["model_after"],
            "folder": record["model"],
            "files": record["files"],
        },
        "evidence": record["evidence"],
        "states": STATES,
        "remains": remains(record),
        "cost": {key: record[key] for key in Cost.model_fields},
        "check": CHECK,
        "record_digest": record[KEY],
        "previous_record_digest": record["previous"],
    }
    document = sealed(document)
    validate(Receipt, document, f"receipt of request {record['request']}")
    return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"


def remains(record: dict[str, Any]) -> list[str]:
    """What the evidence says is left, or was damaged, in sentences."""
    proof, found = record["evidence"], []
    if proof["state"] not in AWAY:
        found.append(f"The captions of this request are {proof['state']}: {STATES[proof['state']]}.")
    place = proof["request"]["after"]["place"]
    if place["high"] is not None and place["high"] < 0.5:
        found.append(
            "The forgotten captions rank below other captions more often than by chance, which can give away that "
            "something was removed."
        )
    back = [str(one["number"]) for one in proof["earlier"] if one["state"] not in (*AWAY, None)]
    if back:
        found.append(f"Facts of earlier requests are still or again found above chance: number {', '.join(back)}.")
    unknown = [str(one["number"]) for one in proof["earlier"] if one["state"] is None]
    if unknown:
        found.append(f"Earlier requests that could not be measured again: number {', '.join(unknown)}.")
    for part in proof["kept"]:
        before, after = (part["change"][when]["caption"]["value"] for when in ("before", "after"))
        if before and after < LEFT * before:
            share = f"{after / before:.0%} of the mean reciprocal rank is left"
            found.append(f"Kept captions are found less often than with the start model: {share} ({part['group']}).")
    if proof["kept"] and all(part["image_drift"] < DRIFT for part in proof["kept"]):
        found.append("The image tower did not change: pictures of these people can be told apart as before.")
    return [*found, "The data, its backups and the models from before are not touched; remove them where you must."]


def _told(document: dict[str, Any]) -> dict[str, Any]:
    """What a receipt takes from its record; the words around it are those of the version that wrote it."""
    return {key: value for key, value in document.items() if key not in ("states", "remains", "check", KEY)}


def check_receipt(path: Path) -> dict[str, Any]:
    """What was compared, and how it stands. Raises UserError of one line for the first thing that was changed."""
    content = read_bounded(path, LONGEST_RECEIPT)
    document = parse_json(content, str(path))
    validate(Receipt, document, str(path))
    if not is_intact(document) or json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n" != content:
        raise UserError(f"{path}: changed after it was written; its content_digest is another")
    checked = {"receipt": "intact"}
    folder = path.parent
    if not (folder / LEDGER).is_file():
        return checked | {"record": f"not checked: no {LEDGER} beside the receipt", "model": "not checked"}
    records = read_ledger(folder)
    record = next((one for one in records if one[KEY] == document["record_digest"]), None)
    if record is None or _told(parse_json(receipt_of(record), str(path))) != _told(document):
        raise UserError(
            f"{path}: {folder / LEDGER} holds no record that this receipt follows from; one of the two was replaced"
        )
    checked["record"] = f"intact, {record['number']} of {len(records)}; the records before it too"
    model = folder / record["model"]
    if not model.is_dir():
        return checked | {"model": f"not checked: {model} is not here"}
    there = {each.name for each in model.iterdir() if each.is_file()}
    for name in sorted(there | set(record["files"])):
        if name not in there:
            raise UserError(f"{model / name}: missing, though the record names it")
        if record["files"].get(name) != file_sha256(model / name):
            raise UserError(f"{model / name}: changed after the request was finished, or not of this model")
    return checked | {"model": f"intact, {len(record['files'])} files"}
