"""Erasure requests as a person writes them: a CSV, a JSONL, or a folder of pictures with captions.

    request_id,identity_id,data_field        columns of a CSV, keys of a line of JSONL; file_name is the fourth
    T-104,00000012,                          everything about a person
    T-105,00000031,phone_number              one attribute of a person
    T-105,00000031,emails                    rows of one request_id are one request

Without request_id each person is a request, and all rows that name files alone are one."""

import csv
import io
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from salmu.data.documents import MIB, parse_json, read_bounded
from salmu.data.errors import UserError
from salmu.data.settings import validate

LONGEST_FILE = 64 * MIB
Text = Annotated[str, Field(min_length=1, max_length=1000)]


class Row(BaseModel):
    """A row of a file of requests."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    request_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,59}$")] | None = None
    identity_id: Text | None = None
    data_field: Text | None = None
    file_name: Text | None = None

    @model_validator(mode="after")
    def _names_something(self) -> "Row":
        if self.identity_id is None and self.file_name is None:
            raise ValueError("a row must name identity_id or file_name")
        return self

    @property
    def asked(self) -> tuple[str, str, str]:
        return (self.identity_id or "", self.data_field or "", self.file_name or "")


class Request(NamedTuple):
    """What is to be forgotten at once."""

    name: str | None  # as the file gives it; shown in the receipt
    rows: tuple[tuple[str, Row], ...]  # each with its place in the file, for messages
    pictures: Path | None = None  # a folder whose pairs are the request, instead of rows

    @property
    def asked(self) -> list[tuple[str, str, str]]:
        """What the rows name, in an order that does not depend on the file."""
        return sorted({row.asked for _, row in self.rows})

    @property
    def place(self) -> str:
        return self.rows[0][0] if self.rows else str(self.pictures)


def read_requests(path: str | Path, most: int) -> list[Request]:
    """The requests in a file, in the order of their first rows; a folder is one request.

    Raises UserError of one line, with file, row and key, for a file that cannot be used, and for one with more than
    `most` requests."""
    path = Path(path)
    if path.is_dir():
        return [Request(None, (), path)]
    readers = {".csv": _csv_rows, ".jsonl": _json_rows}
    if path.suffix.lower() not in readers:
        raise UserError(f"{path}: a .csv or .jsonl file, or a folder of pictures with captions, is expected")
    found = readers[path.suffix.lower()](path, read_bounded(path, LONGEST_FILE))
    requests: dict[tuple[str, str], list[tuple[str, Row]]] = {}
    for place, values in found:
        row = validate(Row, {key: value for key, value in values.items() if value not in ("", None)}, place)
        group = ("request", row.request_id) if row.request_id else ("person", row.identity_id or "")
        requests.setdefault(group, []).append((place, row))
    if not requests:
        raise UserError(f"{path}: holds no request; write one row for each person, attribute or file to be forgotten")
    if len(requests) > most:
        raise UserError(
            f"{path}: {len(requests):,} requests, and at most {most:,} are worked at once; split the file, give rows "
            "one request_id, or raise --most"
        )
    return [Request(name if kind == "request" else None, tuple(rows)) for (kind, name), rows in requests.items()]


def _csv_rows(path: Path, content: bytes) -> list[tuple[str, dict[str, Any]]]:
    try:
        text = content.decode("utf-8-sig")
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; save it as UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{path}: cannot be read as CSV: {error}") from None
    if not lines:
        raise UserError(f"{path}: empty; its first row must name columns, among them identity_id or file_name")
    header = [name.strip() for name in lines[0]]
    for name in header:
        if name not in Row.model_fields or header.count(name) > 1:
            known = ", ".join(Row.model_fields)
            raise UserError(f"{path}, row 1: column {name!r} is unknown, or there twice; known are {known}")
    if not {"identity_id", "file_name"} & set(header):
        raise UserError(f"{path}, row 1: no column identity_id or file_name; there are {', '.join(header)}")
    rows = []
    for number, cells in enumerate(lines[1:], 2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise UserError(f"{path}, row {number}: {len(cells)} cells under {len(header)} columns")
        rows.append((f"{path}, row {number}", dict(zip(header, (cell.strip() for cell in cells), strict=True))))
    return rows


def _json_rows(path: Path, content: bytes) -> list[tuple[str, dict[str, Any]]]:
    rows = []
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            place = f"{path}, row {number}"
            values = parse_json(line, place)
            if not isinstance(values, dict):
                raise UserError(f"{place}: an object with identity_id or file_name is expected")
            rows.append((place, values))
    return rows
