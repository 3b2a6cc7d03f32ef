"""Open a published dataset folder, ours or the published benchmark's, and read its splits as tables.

    data/<split>-00000-of-000NN.parquet    at least the columns image, text, identity_id, file_name
    identities_metadata.json, fragile_set_ids.json,
    sensitive_set_captions_metadata.json, sensitive_set_generic_captions.json
    proof_of_fiction.json, provenance.json   ours only

Beside the splits that lie in the folder there are derived ones, which follow from the identities of the others.
"""

import fnmatch
import re
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import RootModel

from salmu.data.checksums import require_intact, require_same
from salmu.data.documents import MIB, parse_json, read_bounded
from salmu.data.errors import UserError
from salmu.data.files import file_sha256, listed, location, parquet_file, read_tables
from salmu.data.foreign_columns import check_column, is_binary, is_text, only_paths
from salmu.data.keyed import digest
from salmu.data.metadata_models import FragileSet, GenericCaptions, Identities, Proofs, SensitiveCaptions
from salmu.data.provenance import PROVENANCE, Provenance, read_provenance, recorded
from salmu.data.schemas import BYTES, OUTSIDERS, TEXT
from salmu.data.settings import validate

SENSITIVE_SPLITS = ("forget", "holdout_association", "holdout_identity")
SPLITS = (*SENSITIVE_SPLITS, "retain_synth")
COLUMNS = ("image", "text", "identity_id", "file_name")
FACTS = ("data_field", "value", "caption_style", "gender", "age_group", "country_code")
TEXTS = (*COLUMNS[1:], *FACTS, "split", "split_published")
NUMBERS = ("width", "height", "identity_similarity")
IMAGE = pa.struct([("bytes", BYTES), ("path", TEXT)])
# A part of a split; older versions of the datasets library add a hash.
PART = re.compile(r"(?P<split>.+)-(?P<number>[0-9]{5,})-of-(?P<count>[0-9]{5,})(-[0-9a-f]{16})?\.parquet")
LONGEST_DOCUMENT = 512 * MIB  # bytes; a million pairs have 300,000,000
FROM_METADATA = ("data_field", "value")  # columns that the JSON files give where the Parquet files do not
IDENTITIES = "identities_metadata.json"
CAPTIONS = "sensitive_set_captions_metadata.json"
GENERIC_CAPTIONS = "sensitive_set_generic_captions.json"
FRAGILE_SET = "fragile_set_ids.json"
PROOF_OF_FICTION = "proof_of_fiction.json"
INCOMPLETE = ".incomplete"  # lies in a folder of an object store while it is uploaded
JSON_FILES = (IDENTITIES, CAPTIONS, GENERIC_CAPTIONS)  # of the content


def open_dataset(folder: str | Path) -> "Dataset":
    """The dataset in a folder, by path or URL; of what lies at a URL only what is asked for is read.

    A folder with a provenance is compared with it, each file when it is read. Raises UserError if the folder, a Parquet
    file or one of the four columns is missing, for a column of another type, for a damaged file, and for a folder whose
    upload was cut off."""
    folder = location(folder)
    there = listed(folder)
    if INCOMPLETE in there and PROVENANCE not in there:
        raise UserError(f"{folder}: its upload was interrupted; publish it again (salmu run brings a run up to date)")
    if "data" not in there:
        what = (
            "has no folder data/ with Parquet files; is it a dataset?" if there else "no such folder, or an empty one"
        )
        raise UserError(f"{folder}: {what}")
    files = split_files(folder)
    dataset = Dataset(folder, files)
    for paths in files.values():
        for path in paths:
            _require_columns(dataset.intact(path, COLUMNS[1:]))
    return dataset


def split_files(folder: Path) -> dict[str, list[Path]]:
    """The Parquet files of each split of a dataset folder, in order. Raises UserError if there are none, or one of a
    split is missing."""
    found: dict[str, list[re.Match]] = {}
    for name in sorted(listed(folder / "data")):
        if part := PART.fullmatch(name):
            found.setdefault(part["split"], []).append(part)
    if not found:
        raise UserError(f"{folder / 'data'}: no files named <split>-00000-of-000NN.parquet")
    for split, parts in found.items():
        count, numbers = int(parts[0]["count"]), [int(part["number"]) for part in parts]
        if numbers == list(range(len(parts))) and {int(part["count"]) for part in parts} == {len(parts)}:
            continue
        missing = next(number for number in range(len(parts) + 1) if number not in numbers)
        problem = f"there are {len(parts)}; remove those of another version"
        if missing < count:
            problem = f"{split}-{missing:05d}-of-{parts[0]['count']}.parquet is missing"
        raise UserError(f"{folder / 'data'}: split {split} should have {count} files: {problem}")
    return {split: [folder / "data" / part[0] for part in parts] for split, parts in found.items()}


class Dataset:
    """A published folder. Splits: what lies in `data/` (see SPLITS and OUTSIDERS), and

    - `sensitive`: forget and both holdouts (or the files of that name where there are any)
    - `forget_association`, `forget_identity`: forget rows whose identity is, or is not, in holdout_association too
    - `retain_joint`: retain_synth rows whose identity is in forget; `retain_disjoint`: those without an identity
    - `fragile_set`: retain_disjoint rows that fragile_set_ids.json names
    """

    def __init__(self, folder: Path, files: dict[str, list[Path]]):
        self.folder, self._files = folder, files

    def table(self, split: str, columns: str | list[str] | tuple[str, ...] | None = None) -> pa.Table:
        """The rows of a split in the order of its files; `columns` (one, or several) in the order asked for, all by
        default.

        `image` is struct<bytes: binary, path: string>; an empty identity_id is null. Raises UserError for an unknown
        split or column, and for a row without text or file name."""
        parts, rows = self._plan(split)
        present = self._columns(parts[0])
        columns = [columns] if isinstance(columns, str) else columns
        wanted = list(columns or dict.fromkeys([*present, *FROM_METADATA]))
        unknown = [name for name in wanted if name not in present and name not in FROM_METADATA]
        if unknown:
            known = ", ".join(present)
            raise UserError(f"{self.folder}: split {split} has no column {unknown[0]!r}; it has {known}")
        missing = [name for name in FROM_METADATA if name in wanted and name not in present]
        needed = ("file_name", "identity_id") if missing or rows is not None else ()
        read = list(dict.fromkeys([*(name for name in wanted if name in present), *needed, *("text",) * bool(missing)]))
        paths = [path for part in parts for path in self._files[part]]
        tables = read_tables(paths, read, check=lambda path: self.intact(path, read))
        table = self._joined(split, [_chosen(table, rows) for table in tables])
        for name, values in self._from_metadata(table, missing).items():
            table = table.append_column(name, values)
        return table.select(wanted)

    @property
    def has_outsiders(self) -> bool:
        """Whether there are people whom no model of a pair is trained on."""
        return OUTSIDERS in self._files

    @cached_property
    def identities(self) -> dict[str, dict]:
        """Identity id -> name, country_code and the eight attributes."""
        return self._document(IDENTITIES, Identities)

    @cached_property
    def proofs(self) -> dict[str, dict]:
        """Identity id -> data field -> level, rule, source: why the value belongs to nobody. Ours only."""
        return self._document(PROOF_OF_FICTION, Proofs)

    @cached_property
    def captions_metadata(self) -> dict[str, dict]:
        """File name of a sensitive pair -> {data_field, caption}."""
        return self._document(CAPTIONS, SensitiveCaptions)

    @cached_property
    def generic_captions(self) -> dict[str, str]:
        """File name of a sensitive pair -> caption of its image without personal data."""
        return self._document(GENERIC_CAPTIONS, GenericCaptions)

    @cached_property
    def fragile_set_ids(self) -> frozenset[str]:
        """File names of the fragile set; none before the models that it is chosen with are trained."""
        return frozenset(self._document(FRAGILE_SET, FragileSet))

    @cached_property
    def provenance(self) -> Provenance | None:
        """What the folder was made from; None if it does not say."""
        return read_provenance(self.folder)

    def intact(self, path: Path, columns: list[str] | tuple[str, ...] | None = None) -> Path:
        """A file of the folder, compared with the provenance. `columns`: of a Parquet file, those about to be read.

        Raises UserError if it is damaged or not one of the published files."""
        if self.provenance:
            name = path.relative_to(self.folder).as_posix()
            require_intact(path, recorded(self.folder, self.provenance, name), columns)
        return path

    @cached_property
    def digest(self) -> str:
        """What identifies the content: provenance.json's, else computed over the content files."""
        if self.provenance:
            return self.provenance.dataset_digest
        return content_digest({name: file_sha256(self.folder / name) for name in content_files(self.folder)})

    def _plan(self, split: str) -> tuple[list[str], pc.Expression | None]:
        """The splits on disk that hold the rows, and the condition on them."""
        if split in self._files:
            return [split], None
        identity = pc.field("identity_id")
        if split == "sensitive":
            parts, rows = list(SENSITIVE_SPLITS), None
        elif split in ("forget_association", "forget_identity"):
            shared = identity.isin(self._identity_ids("holdout_association"))
            parts, rows = ["forget"], shared if split == "forget_association" else ~shared
        elif split == "retain_joint":
            parts, rows = ["retain_synth"], identity.isin(self._identity_ids("forget"))
        elif split == "retain_disjoint":
            parts, rows = ["retain_synth"], identity.is_null()
        elif split == "fragile_set":
            fragile = pa.array(sorted(self.fragile_set_ids), TEXT)
            parts, rows = ["retain_synth"], identity.is_null() & pc.field("file_name").isin(fragile)
        else:
            parts, rows = [split], None
        missing = [part for part in parts if part not in self._files]
        if missing:
            known = ", ".join(sorted(self._files))
            raise UserError(f"{self.folder / 'data'}: no split {missing[0]!r}; there are {known}")
        return parts, rows

    def _joined(self, split: str, tables: list[pa.Table]) -> pa.Table:
        try:
            table = pa.concat_tables(tables, promote_options="permissive")
        except pa.ArrowException as error:
            reason = str(error).partition("\n")[0]
            raise UserError(f"{self.folder}: the files of split {split} have different columns: {reason}") from None
        for name in {"text", "file_name"} & set(table.column_names):
            if table.column(name).null_count:
                row = pc.index(table.column(name).is_null(), True).as_py()
                raise UserError(f"{self.folder}: split {split}, row {row}: no {name}; get the dataset again")
        return table

    def _identity_ids(self, split: str) -> pa.Array:
        return self.table(split, ["identity_id"]).column("identity_id").unique().drop_null()

    def _columns(self, split: str) -> list[str]:
        return parquet_file(self._files[split][0]).schema_arrow.names

    def _from_metadata(self, table: pa.Table, names: list[str]) -> dict[str, pa.Array]:
        """data_field and value of each row, null for pairs without personal data."""
        if not names:
            return {}
        found = {"data_field": [], "value": []}
        for row in table.select(["file_name", "identity_id", "text"]).to_pylist():
            data_field = self.captions_metadata.get(row["file_name"], {}).get("data_field")
            values = self.identities.get(row["identity_id"], {}).get(data_field)
            if isinstance(values, list):  # several e-mail addresses: the one that the caption names
                values = next((value for value in values if value in row["text"]), values[0])
            found["data_field"].append(data_field)
            found["value"].append(values)
        return {name: pa.array(found[name], TEXT) for name in names}

    def _document(self, name: str, model: type[RootModel]):
        """The content of a JSON file of the folder, as its model says. Raises UserError of one line."""
        path = self.folder / name
        content = read_bounded(path, LONGEST_DOCUMENT)
        if self.provenance:
            require_same(path, content, recorded(self.folder, self.provenance, name))
        return validate(model, parse_json(content, str(path)), str(path)).root


def content_files(folder: Path) -> list[str]:
    """The files that make up a dataset's content, relative to its folder: Parquet and JSON, not card and tars, nor the
    fragile set, which is named when models are trained on the content."""
    parquet = sorted(fnmatch.filter(listed(folder / "data"), "*.parquet"))
    return [f"data/{name}" for name in parquet] + [name for name in JSON_FILES if name in listed(folder)]


def content_digest(sha256s: dict[str, str]) -> str:
    """One digest over the content files' SHA-256 by name."""
    return digest("dataset", sorted(sha256s.items()))


def _require_columns(path: Path) -> None:
    file = parquet_file(path)
    schema = file.schema_arrow
    missing = [name for name in COLUMNS if name not in schema.names]
    if missing:
        raise UserError(f"{path}: no column {missing[0]!r}; needs {', '.join(COLUMNS)}")
    check_column(schema, "image", _is_image, "struct<bytes, path>", path)
    for name in TEXTS:
        if name in schema.names:
            check_column(schema, name, lambda kind: is_text(kind) or pa.types.is_null(kind), "text", path)
    for name in NUMBERS:
        if name in schema.names:
            check_column(schema, name, _is_number, "numbers", path)
    if only_paths(file.metadata, "image"):
        raise UserError(f"{path}: column 'image' holds paths only, no bytes; publish the dataset with its pictures")


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)


def _is_image(kind: pa.DataType) -> bool:
    names = [field.name for field in kind] if pa.types.is_struct(kind) else []
    return {"bytes", "path"} <= set(names) and is_binary(kind.field("bytes").type)


def _chosen(table: pa.Table, rows: pc.Expression | None) -> pa.Table:
    """The rows of a file that an expression chooses, in the types of our own files whatever tool wrote it."""
    table = pa.table({name: _as_ours(name, table.column(name)) for name in table.column_names})
    return table if rows is None else table.filter(rows)


def _as_ours(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if name == "image" and (column.type != IMAGE or column.null_count):
        return pa.chunked_array([_as_image(chunk) for chunk in column.chunks], IMAGE)
    if name in TEXTS or is_text(column.type):
        column = column if column.type == TEXT else column.cast(TEXT)
    return pc.if_else(pc.equal(column, ""), None, column) if name == "identity_id" else column


def _as_image(chunk: pa.StructArray) -> pa.StructArray:
    return pa.StructArray.from_arrays(
        [pc.struct_field(chunk, part.name).cast(part.type) for part in IMAGE], fields=list(IMAGE)
    )
