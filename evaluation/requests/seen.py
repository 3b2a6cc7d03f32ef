"""The pairs that a request is looked up in, from any of the project's readers: a published dataset, Parquet files,
WebDataset shards, or a folder of pictures with captions. No persona table is needed, nor any grammar."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from salmu.data.documents import parse_json, read_bounded
from salmu.data.errors import UserError
from salmu.data.files import listed, location, parquet_file, read_table, reading_parquet
from salmu.data.foreign_columns import as_bytes, check_column, holds_files, is_text
from salmu.data.foreign_names import is_content, is_utf8, printable
from salmu.data.keyed import integer, ranked
from salmu.data.pictures import LARGEST_FILE
from salmu.data.readers import CAPTIONS, GENERIC_CAPTIONS, IDENTITIES, SENSITIVE_SPLITS, open_dataset, split_files
from salmu.data.schemas import TEXT
from salmu.data.settings import validate
from salmu.model_training.sources.tars import JSON_BYTES, TEXT_BYTES, Member, samples

COLUMNS = ("file_name", "text", "identity_id", "data_field", "value", "role")
SCHEMA = pa.schema([(name, TEXT) for name in COLUMNS])
OPEN, WITHHELD = "open", "withheld"  # roles: a method may be given the pair as one to be kept, or never
WITHHELD_SHARE = 1 / 3  # of pairs whose source does not say which are withheld
PICTURES = (".jpg", ".jpeg", ".png", ".webp")
MOST_PAIRS = 5_000_000
NO_PICTURE, NO_CAPTION = "no picture", "no caption in UTF-8"


class SeenPairs(NamedTuple):
    """Pairs, with their pictures read when asked for."""

    place: str
    table: pa.Table  # of SCHEMA
    read: Callable[[Sequence[int]], list[bytes]]  # rows of the table -> picture files
    identities: Mapping[str, dict] | None = None  # the persona table, where there is one
    generic: Mapping[str, str] | None = None  # file name -> caption without personal data
    rejects: tuple[tuple[str, str], ...] = ()  # what was left out: name, reason

    def column(self, name: str) -> list[str | None]:
        return self.table.column(name).to_pylist()

    def rows(self, chosen: Sequence[int]) -> list[dict[str, str | None]]:
        return self.table.take(pa.array(chosen, pa.int64())).to_pylist()


def open_pairs(place: str | Path) -> SeenPairs:
    """The pairs in a published dataset folder, in a folder of .parquet or .tar files, in one such file, or in a folder
    of pictures, each beside a .txt file with its caption; the name of a folder inside it is the identity_id.

    Raises UserError of one line if nothing there can be used."""
    folder = location(place)
    there = listed(folder)
    if "data" in there and there["data"] is None:
        return _published(folder)
    if not isinstance(folder, Path):
        raise UserError(f"{place}: only a published dataset is read from a URL; copy the pairs to a disk")
    files = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise UserError(f"{place}: no such file or folder, or an empty one")
    if odd := next((path for path in files if not is_utf8(str(path))), None):
        raise UserError(f"{folder}: {str(odd.name)!a}: its name is not UTF-8; rename it")
    files = [path for path in files if path == folder or is_content(path.relative_to(folder).as_posix())]
    for suffixes, read in (((".parquet",), _parquet), ((".tar",), _tars), (PICTURES, _pictures)):
        if chosen := [path for path in files if path.suffix.lower() in suffixes]:
            return read(folder, chosen)
    raise UserError(f"{place}: no published dataset, .parquet or .tar files, nor pictures with captions in .txt files")


def _made(place, rows: list[dict], read, rejects=(), **more) -> SeenPairs:
    """Rows without a role are withheld by a hash of their file name, so that a row keeps its role as others come."""
    if not rows:
        why = f": {rejects[0][0]}: {rejects[0][1]}" if rejects else ""
        raise UserError(f"{place}: no pair can be used{why}")
    if len(rows) > MOST_PAIRS:
        raise UserError(f"{place}: more than {MOST_PAIRS:,} pairs; name a part of them")
    for row in rows:
        if "role" not in row:
            withheld = integer("withheld", row["file_name"], bits=32) < WITHHELD_SHARE * 2**32
            row["role"] = WITHHELD if withheld else OPEN
    return SeenPairs(str(place), pa.Table.from_pylist(rows, SCHEMA), read, rejects=tuple(rejects), **more)


def _published(folder) -> SeenPairs:
    """Captions with personal data are withheld from methods, as the benchmark does; retain_synth is open."""
    dataset, there, rows, places = open_dataset(folder), listed(folder), [], []
    splits = split_files(folder)
    for split in [name for name in (*SENSITIVE_SPLITS, "retain_synth") if name in splits]:
        names = ["file_name", "text", "identity_id"]
        columns = set(parquet_file(splits[split][0]).schema_arrow.names)
        known = {"data_field", "value"} if {CAPTIONS, IDENTITIES} <= set(there) else columns
        names += [name for name in ("data_field", "value") if name in known | columns]
        role = OPEN if split == "retain_synth" else WITHHELD
        found = dataset.table(split, names).to_pylist()
        rows += [row | {"role": role} for row in found]
        places += [(split, number) for number in range(len(found))]
    images: dict[str, pa.ChunkedArray] = {}

    def read(chosen: Sequence[int]) -> list[bytes]:
        for split in {places[row][0] for row in chosen} - set(images):
            images[split] = dataset.table(split, ["image"]).column("image")
        return [images[places[row][0]][places[row][1]].as_py()["bytes"] for row in chosen]

    identities = dataset.identities if IDENTITIES in there else None
    generic = dataset.generic_captions if GENERIC_CAPTIONS in there else None
    return _made(folder, rows, read, identities=identities, generic=generic)


def _parquet(folder: Path, files: list[Path]) -> SeenPairs:
    rows, places = [], []
    for path in files:
        schema = parquet_file(path).schema_arrow
        check_column(schema, "text", is_text, "text", path)
        check_column(schema, "image", holds_files, "binary or a struct with `bytes`", path)
        optional = [name for name in ("file_name", "identity_id", "data_field", "value") if name in schema.names]
        for name in optional:
            check_column(schema, name, lambda kind: is_text(kind) or pa.types.is_null(kind), "text", path)
        table = read_table(path, ["text", *optional])
        found = [{name: value or None for name, value in row.items()} for row in table.to_pylist()]
        names = [row.get("file_name") or f"{path.name}#{number}" for number, row in enumerate(found)]
        rows += [row | {"file_name": name} for row, name in zip(found, names, strict=True)]
        places += [(path, number) for number in range(len(found))]
    rejects = [(row["file_name"], "no caption") for row in rows if not row["text"]]
    kept = [number for number, row in enumerate(rows) if row["text"]]

    def read(chosen: Sequence[int]) -> list[bytes]:
        wanted: dict[Path, list[int]] = {}
        for row in chosen:
            path, number = places[kept[row]]
            wanted.setdefault(path, []).append(number)
        found = {(path, number): image for path, numbers in wanted.items() for number, image in _images(path, numbers)}
        return [found[places[kept[row]]] or b"" for row in chosen]

    return _made(folder, [rows[number] for number in kept], read, rejects)


def _images(path: Path, numbers: list[int]):
    """Row number and picture file, one row group in memory at a time."""
    file, first = parquet_file(path), 0
    with reading_parquet(path):
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            inside = [number - first for number in sorted(set(numbers)) if first <= number < first + size]
            if inside:
                column = file.read_row_group(group, ["image"]).column("image").take(inside).combine_chunks()
                yield from zip((first + number for number in inside), as_bytes(column), strict=True)
            first += size


class Told(BaseModel):
    """What the .json member of a sample says of its pair; other keys are of no account."""

    model_config = ConfigDict(extra="ignore", strict=True)
    file_name: str | None = None
    text: str | None = None
    identity_id: str | None = None
    data_field: str | None = None
    value: str | None = None


def _tars(folder: Path, files: list[Path]) -> SeenPairs:
    """A sample is the members of one key: a picture, .txt, and .json with identity_id, data_field and file_name where
    it tells them."""
    rows, places, rejects = [], [], []
    for path in files:
        with path.open("rb") as file:
            for key, found in samples(file, {"txt": TEXT_BYTES, "json": JSON_BYTES}, path):
                key = printable(key)
                picture = None if isinstance(found, str) else _picture(found)
                row = found if isinstance(found, str) else _sample_row(key, found)
                if isinstance(row, str) or picture is None:
                    rejects.append((f"{path.name}: {key}", row if isinstance(row, str) else NO_PICTURE))
                    continue
                rows.append(row)
                places.append((path, picture.start, picture.size))

    def read(chosen: Sequence[int]) -> list[bytes]:
        found = []
        for path, start, size in (places[row] for row in chosen):
            with path.open("rb") as file:
                file.seek(start)
                found.append(file.read(size))
        return found

    return _made(folder, rows, read, rejects)


def _picture(found: dict[str, Member]) -> Member | None:
    pictures = (found[suffix[1:]] for suffix in PICTURES if suffix[1:] in found)
    return next((picture for picture in pictures if picture.size <= LARGEST_FILE), None)


def _sample_row(key: str, found: dict[str, Member]) -> dict[str, str] | str:
    """The row of a sample, or why it cannot be used. A pair whose person cannot be told is none that may be kept."""
    try:
        about = found["json"].content if "json" in found else b"{}"
        if about is None:
            return f"json longer than {JSON_BYTES} bytes"
        document = validate(Told, parse_json(about, f"{key}.json"), f"{key}.json")
        told = {name: value for name, value in document.model_dump().items() if value}
        if "text" not in told:
            told["text"] = (found["txt"].content or b"").decode().strip() if "txt" in found else ""
    except UnicodeDecodeError:
        return NO_CAPTION
    except UserError as error:
        return str(error)
    return {"file_name": key} | told if told["text"] else NO_CAPTION


def _pictures(folder: Path, files: list[Path]) -> SeenPairs:
    rows, kept, rejects = [], [], []
    root = folder if folder.is_dir() else folder.parent
    for path in files:
        name, caption = path.relative_to(root).as_posix(), path.with_suffix(".txt")
        try:
            text = read_bounded(caption, TEXT_BYTES).decode().strip() if caption.is_file() else ""
        except (UserError, UnicodeDecodeError):
            text = ""
        if not text:
            rejects.append((name, f"no caption in UTF-8 of at most {TEXT_BYTES} bytes in a .txt file beside it"))
            continue
        person = name.rpartition("/")[0] or None
        rows.append({"file_name": name, "text": text, "identity_id": person})
        kept.append(path)

    def read(chosen: Sequence[int]) -> list[bytes]:
        found = []
        for row in chosen:
            with kept[row].open("rb") as file:
                found.append(file.read(LARGEST_FILE + 1))  # one more than is taken, so that it is refused
        return found

    return _made(folder, rows, read, rejects)


def picture_digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def drawn_rows(rows: Sequence[int], names: Sequence[str], most: int, *key) -> list[int]:
    """At most `most` of the rows, by a hash of (key, name): a row that comes or goes moves no other."""
    if len(rows) <= most:
        return list(rows)
    chosen = set(ranked([names[row] for row in rows], *key)[:most])
    return [row for row in rows if names[row] in chosen][:most]
