"""Open a published dataset folder, ours or the published benchmark's, and read its splits as tables.

    data/<split>-00000-of-000NN.parquet    at least the columns image, text, identity_id, file_name
    identities_metadata.json, fragile_set_ids.json,
    sensitive_set_captions_metadata.json, sensitive_set_generic_captions.json
    proof_of_fiction.json, provenance.json   ours only

Beside the splits that lie in the folder there are derived ones, which follow from the identities of the others.
"""

import fnmatch
import json
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from salmu.data.checksums import require_intact, require_same
from salmu.data.errors import UserError
from salmu.data.files import file_sha256, listed, location, parquet_file, read_bytes, read_tables
from salmu.data.keyed import digest
from salmu.data.provenance import PROVENANCE, Provenance, read_provenance, recorded
from salmu.data.schemas import TEXT

SENSITIVE_SPLITS = ("forget", "holdout_association", "holdout_identity")
SPLITS = (*SENSITIVE_SPLITS, "retain_synth")
COLUMNS = ("image", "text", "identity_id", "file_name")
FROM_METADATA = ("data_field", "value")  # columns that the JSON files give where the Parquet files do not
IDENTITIES = "identities_metadata.json"
CAPTIONS = "sensitive_set_captions_metadata.json"
GENERIC_CAPTIONS = "sensitive_set_generic_captions.json"
FRAGILE_SET = "fragile_set_ids.json"
PROOF_OF_FICTION = "proof_of_fiction.json"
INCOMPLETE = ".incomplete"  # lies in a folder of an object store while it is uploaded
JSON_FILES = (IDENTITIES, CAPTIONS, GENERIC_CAPTIONS, FRAGILE_SET)


def open_dataset(folder: str | Path) -> "Dataset":
    """The dataset in a folder, by path or URL; of what lies at a URL only what is asked for is read.

    A folder with a provenance is compared with it, each file when it is read. Raises UserError if the folder, a Parquet
    file or one of the four columns is missing, for a damaged file, and for a folder whose upload was cut off."""
    folder = location(folder)
    there = listed(folder)
    if INCOMPLETE in there and PROVENANCE not in there:
        raise UserError(f"{folder}: its upload was cut off; publish it again (salmu run brings a run up to date)")
    if "data" not in there:
        what = (
            "has no folder data/ with Parquet files; is it a dataset?" if there else "no such folder, or an empty one"
        )
        raise UserError(f"{folder}: {what}")
    files: dict[str, list[Path]] = {}
    for name in sorted(fnmatch.filter(listed(folder / "data"), "*-of-*.parquet")):
        files.setdefault(name.rsplit("-", 3)[0], []).append(folder / "data" / name)
    if not files:
        raise UserError(f"{folder / 'data'}: no files named <split>-00000-of-000NN.parquet")
    dataset = Dataset(folder, files)
    for split, paths in files.items():
        _require_whole(split, paths)
        for path in paths:
            _require_columns(dataset.intact(path, COLUMNS[1:]))
    return dataset


class Dataset:
    """A published folder. Splits: what lies in `data/` (see SPLITS), and

    - `sensitive`: forget and both holdouts (or the files of that name where there are any)
    - `forget_association`, `forget_identity`: forget rows whose identity is, or is not, in holdout_association too
    - `retain_joint`: retain_synth rows whose identity is in forget; `retain_disjoint`: those without an identity
    - `fragile_set`: retain_disjoint rows that fragile_set_ids.json names
    """

    def __init__(self, folder: Path, files: dict[str, list[Path]]):
        self.folder, self._files = folder, files

    def table(self, split: str, columns: list[str] | tuple[str, ...] | None = None) -> pa.Table:
        """The rows of a split in the order of its files; `columns` in the order asked for, all by default.

        `image` is struct<bytes: binary, path: string>. Raises UserError for an unknown split or column."""
        parts, rows = self._plan(split)
        present = self._columns(parts[0])
        wanted = list(columns or dict.fromkeys([*present, *FROM_METADATA]))
        unknown = [name for name in wanted if name not in present and name not in FROM_METADATA]
        if unknown:
            known = ", ".join(present)
            raise UserError(f"{self.folder}: split {split} has no column {unknown[0]!r}; it has {known}")
        missing = [name for name in FROM_METADATA if name in wanted and name not in present]
        needed = ("file_name", "identity_id", "text") if missing else ()
        read = list(dict.fromkeys([*(name for name in wanted if name in present), *needed]))
        paths = [path for part in parts for path in self._files[part]]
        tables = read_tables(paths, read, rows, lambda path: self.intact(path, read))
        table = pa.concat_tables([table.replace_schema_metadata() for table in tables])
        for name, values in self._from_metadata(table, missing).items():
            table = table.append_column(name, values)
        return table.select(wanted)

    @cached_property
    def identities(self) -> dict[str, dict]:
        """Identity id -> name, country_code and the eight attributes."""
        return self._json(IDENTITIES, dict)

    @cached_property
    def proofs(self) -> dict[str, dict]:
        """Identity id -> data field -> level, rule, source: why the value belongs to nobody. Ours only."""
        return self._json(PROOF_OF_FICTION, dict)

    @cached_property
    def captions_metadata(self) -> dict[str, dict]:
        """File name of a sensitive pair -> {data_field, caption}."""
        return self._json(CAPTIONS, dict)

    @cached_property
    def generic_captions(self) -> dict[str, str]:
        """File name of a sensitive pair -> caption of its image without personal data."""
        return self._json(GENERIC_CAPTIONS, dict)

    @cached_property
    def fragile_set_ids(self) -> frozenset[str]:
        return frozenset(self._json(FRAGILE_SET, list))

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
        """What identifies the content: provenance.json's, else computed over the Parquet and JSON files."""
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

    def _json(self, name: str, kind: type):
        path = self.folder / name
        try:
            content = read_bytes(path)
            if self.provenance:
                require_same(path, content, recorded(self.folder, self.provenance, name))
            document = json.loads(content)
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; a dataset folder holds it beside data/") from None
        except ValueError as error:
            raise UserError(f"{path}: not valid JSON: {error}") from None
        if not isinstance(document, kind):
            raise UserError(f"{path}: a JSON {'object' if kind is dict else 'list'} is expected at the top")
        return document


def content_files(folder: Path) -> list[str]:
    """The files that make up a dataset's content, relative to its folder: Parquet and JSON, not card and tars."""
    parquet = sorted(fnmatch.filter(listed(folder / "data"), "*.parquet"))
    return [f"data/{name}" for name in parquet] + [name for name in JSON_FILES if name in listed(folder)]


def content_digest(sha256s: dict[str, str]) -> str:
    """One digest over the content files' SHA-256 by name."""
    return digest("dataset", sorted(sha256s.items()))


def _require_whole(split: str, paths: list[Path]) -> None:
    """Refuse a split of which a file is missing."""
    count = paths[0].stem.rsplit("-", 1)[1]
    expected = [f"{split}-{number:05d}-of-{count}.parquet" for number in range(int(count))]
    if [path.name for path in paths] != expected:
        missing = sorted(set(expected) - {path.name for path in paths})
        problem = f"{missing[0]} is missing" if missing else f"there are {len(paths)}; remove those of another version"
        raise UserError(f"{paths[0].parent}: split {split} should have {int(count)} files: {problem}")


def _require_columns(path: Path) -> None:
    schema = parquet_file(path).schema_arrow
    missing = [name for name in COLUMNS if name not in schema.names]
    if missing:
        raise UserError(f"{path}: no column {missing[0]!r}; needed are {', '.join(COLUMNS)}")
    image = schema.field("image").type
    if not pa.types.is_struct(image) or not {"bytes", "path"} <= {field.name for field in image}:
        raise UserError(f"{path}: column 'image' must be struct<bytes, path>, not {image}")
