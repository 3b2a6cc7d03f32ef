"""requests.jsonl: one record for each finished request, append-only, each with the digest of the one before.

The file holds no personal data: people, facts and pairs stand in it as digests with a salt, which lies in owner/salt
and stays with the owner of the data. With the salt the owner finds the pairs of earlier requests again."""

import hashlib
import hmac
import json
import secrets
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from salmu.data.documents import MIB, parse_json, read_bounded
from salmu.data.errors import UserError
from salmu.data.files import write_atomic
from salmu.data.sealed import KEY, is_intact, sealed
from salmu.data.settings import validate

LEDGER, SALT = "requests.jsonl", Path("owner") / "salt"
FIRST = "0" * 32  # what the first record has for the digest of the one before
LONGEST_LEDGER = 1024 * MIB
Number = Annotated[float, Field(allow_inf_nan=False)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Mean(Part):
    """A mean over pairs; the 95 % interval is null where there are too few people or facts to draw."""

    value: Number
    low: Number | None
    high: Number | None


class Found(Part):
    """How well pictures and captions of some pairs find each other."""

    caption: Mean  # mean reciprocal rank of the picture's own caption among captions
    picture: Mean  # of the caption's own picture among pictures
    place: Mean  # share of captions that the own one is above: 1 all, 0.5 as by chance, 0 none
    cosine: Number
    first: Number  # share of pairs whose own caption is the first


class Change(Part):
    """The same pairs before and after."""

    pairs: int
    before: Found
    after: Found
    caption_lost: Mean  # before minus after
    captions: int  # that each own caption was ranked among, itself included
    chance: Number  # mean reciprocal rank of a random order
    limit: Number  # which 95 of 100 random orders stay below
    drawn_over: Literal["people", "facts"]  # what the intervals draw


class Fact(Part):
    """A fact of the request: its salted digest, and the median ranks of its pairs."""

    digest: Sha256
    pairs: int
    caption_before: Number
    caption_after: Number
    picture_before: Number
    picture_after: Number


class Earlier(Part):
    """An earlier request, measured again."""

    number: int
    found: Found | None
    state: str | None
    reason: str | None = None  # why it was not measured


class Kept(Part):
    """Pairs that nobody asked to forget: since the start model."""

    group: str
    change: Change
    image_drift: Number  # mean of 1 - cosine of the embeddings before and after
    text_drift: Number


class Evidence(Part):
    request: Change
    state: str
    facts: list[Fact]
    earlier: list[Earlier]
    kept: list[Kept]
    not_measured: dict[str, str]  # what -> why


class Asked(Part):
    """How much was asked for, in numbers."""

    people: int
    facts: int
    pairs: int


class Record(Part):
    """A finished request."""

    number: int
    request: str
    request_digest: Sha256  # of what was asked, salted
    batch: list[int]  # numbers of the requests that were worked together, this one included
    finished: str  # UTC
    asked: Asked
    pairs: list[Sha256]  # the pairs that were forgotten, salted
    withheld: list[Sha256]  # further pairs of these people: not forgotten, but no method is given them again
    method: str
    settings: dict[str, Any]
    not_default: list[str]
    budget: Number
    pairs_seen: int
    steps: int
    retain_pairs: int
    rejects: dict[str, int]  # reason -> pictures that could not be used
    start_model: Digest
    model_before: Digest
    model_after: Digest
    model: str  # folder, relative to that of requests.jsonl
    files: dict[str, Sha256]  # of the model's folder
    embedding_width: int
    method_seconds: Number
    evidence_seconds: Number
    evidence: Evidence
    version: str  # of salmu
    previous: Digest
    content_digest: Digest


def line_of(record: dict[str, Any]) -> bytes:
    """A record as it stands in the file: one way to write it, so that every changed byte shows."""
    return json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def chained(record: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """The record with the digest of the one before and with its own."""
    return sealed(record | {"previous": before[KEY] if before else FIRST})


def read_ledger(folder: Path) -> list[dict[str, Any]]:
    """The records in a folder, in order; none where there is no file yet.

    Raises UserError of one line that names the first record that was changed, removed or added."""
    path = folder / LEDGER
    if not path.is_file():
        return []
    content, records = read_bounded(path, LONGEST_LEDGER), []
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        where = f"{path}, record {number}"
        record = parse_json(line, where)
        validate(Record, record, where)
        previous = records[-1][KEY] if records else FIRST
        if line_of(record) != line or not is_intact(record) or record["number"] != number:
            raise UserError(f"{where}: changed after it was written; its digest is another")
        if record["previous"] != previous:
            raise UserError(f"{where}: does not follow the record before it; one was removed, added or changed")
        records.append(record)
    return records


def append(folder: Path, records: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write new records behind those that are there, all or none; returns them, chained."""
    made: list[dict[str, Any]] = []
    for record in new:
        record = chained(record, (records + made)[-1] if records + made else None)
        made.append(json.loads(line_of(record)))  # as whoever reads the file has it
        validate(Record, made[-1], f"{folder / LEDGER}, record {len(records) + len(made)}")
    write_atomic(folder / LEDGER, b"".join(map(line_of, records + made)))
    return made


def salt_of(folder: Path) -> bytes:
    """The owner's salt, made when it is first asked for. Raises UserError for a salt that was lost or is damaged."""
    path = folder / SALT
    if not path.is_file():
        if (folder / LEDGER).is_file():
            raise UserError(f"{path}: missing; without it the pairs of earlier requests cannot be told; bring it back")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(path, secrets.token_hex(32).encode() + b"\n")
        path.chmod(0o600)
    text = read_bounded(path, 1000).strip()
    if len(text) != 64 or set(text) - set(b"0123456789abcdef"):
        raise UserError(f"{path}: damaged; 64 hexadecimal digits are expected; bring the original back")
    return bytes.fromhex(text.decode())


def salted(salt: bytes, kind: str, *parts: Any) -> str:
    """The digest of something personal: HMAC-SHA-256 with the owner's salt as key."""
    text = json.dumps([kind, *parts], ensure_ascii=False, separators=(",", ":"))
    return hmac.new(salt, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
