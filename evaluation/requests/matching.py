"""Which pairs a request means, and why it is refused where it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from salmu.data.errors import UserError
from salmu.data.suggestions import did_you_mean
from salmu.evaluation.requests.ledger import salted
from salmu.evaluation.requests.reading import Request, Row
from salmu.evaluation.requests.seen import SeenPairs, open_pairs, picture_digest

Part = tuple[SeenPairs, list[int]]


class Decision(NamedTuple):
    """What becomes of a request."""

    request: Request
    name: str
    digest: str  # of what is asked, salted
    state: Literal["new", "done", "refused"]
    reason: str = ""
    parts: tuple[Part, ...] = ()  # the pairs to be forgotten
    withheld: tuple[int, ...] = ()  # further rows of these people, of captions that state nothing about them

    @property
    def pairs(self) -> int:
        return sum(len(rows) for _, rows in self.parts)


class Index:
    """Looks requests up in the pairs that may be seen."""

    def __init__(self, seen: SeenPairs, salt: bytes):
        self.seen, self.salt = seen, salt
        self.names, self.texts = seen.column("file_name"), seen.column("text")
        self.people, self.fields = seen.column("identity_id"), seen.column("data_field")
        self.digests = [self.pair_digest(*pair) for pair in zip(self.names, self.texts, strict=True)]
        self.row_of = {value: row for row, value in enumerate(self.digests)}
        self._by_person, self._by_name = _places(self.people), _places(self.names)

    def pair_digest(self, file_name: str, text: str) -> str:
        return salted(self.salt, "pair", file_name, text)

    def digests_of(self, parts: Sequence[Part]) -> list[str]:
        """The salted digests of the pairs of a request."""
        found = []
        for pairs, rows in parts:
            found += [self.pair_digest(row["file_name"], row["text"]) for row in pairs.rows(rows)]
        return found

    def matches(self, row: Row) -> tuple[list[int], list[int]]:
        """The rows that a request's row means, and further ones of the same person, whose captions state no attribute
        where the others do."""
        if row.file_name is not None:
            rows = self._by_name.get(row.file_name, [])
            rows = [each for each in rows if row.identity_id in (None, self.people[each])]
        else:
            rows = self._by_person.get(row.identity_id, [])
        if row.data_field is not None:
            return [each for each in rows if self.fields[each] == row.data_field], []
        stated = [each for each in rows if self.fields[each] is not None]
        if row.file_name is None and stated:
            return stated, [each for each in rows if self.fields[each] is None]
        return rows, []

    def same_pairs(self, other: SeenPairs) -> list[Part]:
        """The pairs of a folder; those that are among the seen ones too, with the same picture, as rows of these."""
        by_text, known, rest = _places(self.texts), [], []
        contents = map(picture_digest, other.read(range(len(other.table))))
        for row, (text, content) in enumerate(zip(other.column("text"), contents, strict=True)):
            same = by_text.get(text, [])
            pictures = map(picture_digest, self.seen.read(same))
            found = [each for each, picture in zip(same, pictures, strict=True) if picture == content]
            known += found
            rest += [] if found else [row]
        return [part for part in ((self.seen, sorted(set(known))), (other, rest)) if part[1]]

    def unknown(self, row: Row) -> str:
        """Why a row matches nothing, in words."""
        if row.file_name is not None and row.file_name not in self._by_name:
            return f"file_name {row.file_name!r} is not among the pairs{did_you_mean(row.file_name, self._by_name)}"
        if row.identity_id is not None and row.identity_id not in self._by_person:
            return f"identity_id {row.identity_id!r} matches no pair{did_you_mean(row.identity_id, self._by_person)}"
        if row.data_field is not None:
            known = sorted({self.fields[each] for each in self._by_person.get(row.identity_id, [])} - {None})
            has = ", ".join(known) or "none"
            return f"data_field {row.data_field!r} matches no pair; the pairs of this person have {has}"
        return "no pair has both this identity_id and this file_name"


def _places(values: Sequence[str | None]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row, value in enumerate(values):
        if value is not None:
            found.setdefault(value, []).append(row)
    return found


def decide(
    requests: Sequence[Request], index: Index, records: Sequence[Mapping[str, Any]], receipts: Path
) -> list[Decision]:
    """What becomes of each request, in order, if those before it are worked first. `records`: what is done already;
    `receipts`: the folder of its receipts."""
    by_digest = {record["request_digest"]: record for record in records}
    by_name = {record["request"]: record for record in records}
    done = {pair: record["request"] for record in records for pair in record["pairs"]}
    decisions = []
    for request in requests:
        found = _decide(request, index, by_digest, by_name, done, receipts)
        if found.state == "new":
            done |= dict.fromkeys(index.digests_of(found.parts), found.name)
            stand_in = {"request": found.name, "finished": "this run"}
            by_digest[found.digest] = by_name[found.name] = stand_in
        decisions.append(found)
    return decisions


def _decide(request: Request, index: Index, by_digest, by_name, done: Mapping[str, str], receipts: Path) -> Decision:
    try:
        parts, withheld, key = _parts(request, index)
    except UserError as error:
        return Decision(request, request.name or Path(request.place).name, "", "refused", str(error))
    name = request.name or key[:12]

    def refused(reason: str) -> Decision:
        return Decision(request, name, key, "refused", f"{request.place}: {reason}")

    if key in by_digest:
        before = by_digest[key]
        where = receipts / f"receipt-{before['request']}.json"
        return Decision(request, before["request"], key, "done", f"done already ({before['finished']}): {where}")
    if name in by_name:
        return refused(f"request_id {name!r} was used for another request ({by_name[name]['finished']}); give another")
    fresh = []
    for pairs, rows in parts:
        digests = index.digests_of([(pairs, rows)])
        if left := [row for row, pair in zip(rows, digests, strict=True) if pair not in done]:
            fresh.append((pairs, left))
    if not fresh:
        by = sorted({done[pair] for pair in index.digests_of(parts)})
        return refused(f"done already: all its pairs were forgotten by request {', '.join(by)}")
    matched = {row for pairs, rows in fresh if pairs is index.seen for row in rows} | set(withheld)
    gone = {index.row_of[pair] for pair in done if pair in index.row_of}
    if len(matched | gone) == len(index.names):
        return refused(f"matches every pair that is left of {index.seen.place}; nothing would be kept")
    return Decision(request, name, key, "new", "", tuple(fresh), tuple(withheld))


def _parts(request: Request, index: Index) -> tuple[list[Part], list[int], str]:
    """The pairs of a request, further rows of its people, and the salted digest of what it asks. Raises UserError for a
    row that matches nothing, and for a folder without pairs."""
    if request.pictures:
        pairs = open_pairs(request.pictures)
        parts = index.same_pairs(pairs)
        return parts, [], salted(index.salt, "request", sorted(index.digests_of(parts)))
    rows, withheld = set(), set()
    for place, row in request.rows:
        found, more = index.matches(row)
        if not found:
            raise UserError(f"{place}: {index.unknown(row)}")
        rows |= set(found)
        withheld |= set(more)
    return [(index.seen, sorted(rows))], sorted(withheld - rows), salted(index.salt, "request", request.asked)
