"""The pairs of one request as a dataset with the splits forget and retain_synth: what an unlearning method is given."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import pyarrow as pa

from salmu.data.errors import UserError
from salmu.data.files import location
from salmu.data.keyed import digest
from salmu.data.pictures import PictureError, read_header
from salmu.data.readers import IMAGE, Dataset
from salmu.data.schemas import TEXT
from salmu.evaluation.requests.seen import SeenPairs, picture_digest

NAMES = ("file_name", "text", "identity_id", "data_field", "value")
SCHEMA = pa.schema([("image", IMAGE), *((name, TEXT) for name in NAMES)])


class ChosenPairs(Dataset):
    """`forget`: (pairs, rows) of each source that holds some; `retain`: rows of `seen`. A retain picture that cannot be
    used is left out and counted in `rejects`.

    Raises UserError for a forget picture that cannot be used."""

    def __init__(self, seen: SeenPairs, forget: Sequence[tuple[SeenPairs, Sequence[int]]], retain: Sequence[int]):
        super().__init__(location(seen.place), {})
        self.rejects: list[tuple[str, str]] = []
        lost = [_rows(pairs, rows, self.rejects) for pairs, rows in forget]
        if self.rejects:
            name, reason = self.rejects[0]
            raise UserError(f"{seen.place}: {name}: {reason}; replace the picture, or take it out of the request")
        kept = _rows(seen, retain, self.rejects)
        self._tables = {"forget": [row for part in lost for row in part], "retain_synth": kept}
        self._seen = seen

    def table(self, split: str, columns=None) -> pa.Table:
        if split not in self._tables:
            raise UserError(f"{self.folder}: a request has no split {split!r}, only {' and '.join(self._tables)}")
        names = [columns] if isinstance(columns, str) else list(columns or SCHEMA.names)
        return pa.Table.from_pylist(self._tables[split], SCHEMA).select(names)

    @cached_property
    def identities(self) -> Mapping[str, dict]:
        return _People(self._seen.identities or {})

    @cached_property
    def generic_captions(self) -> Mapping[str, str]:
        if self._seen.generic is None:
            raise UserError(
                f"{self.folder}: has no captions without personal data (sensitive_set_generic_captions.json); choose a "
                "method that needs none"
            )
        return self._seen.generic

    @cached_property
    def digest(self) -> str:
        told = {
            split: [[*(row[name] for name in NAMES), picture_digest(row["image"]["bytes"])] for row in rows]
            for split, rows in self._tables.items()
        }
        return digest("chosen pairs", told)


class _People(dict):
    """The persona table; whoever asks for somebody who is not in it learns why that cannot work."""

    def __missing__(self, who: str):
        raise UserError(
            "the method words captions of its own about the people of a request, by name and country, and the data has "
            "no persona table (identities_metadata.json) with them; choose a method that needs none, for instance "
            "cliperase, grad_diff or simnpo"
        )


def _rows(seen: SeenPairs, rows: Sequence[int], rejects: list[tuple[str, str]]) -> list[dict]:
    """Rows with their pictures. Methods tell facts apart by person and attribute: a pair without them is a fact of its
    own."""
    found = []
    for row, content in zip(seen.rows(rows), seen.read(rows), strict=True):
        try:
            read_header(content)
        except PictureError as error:
            rejects.append((row["file_name"], error.reason))
            continue
        who = row["identity_id"] or f"file {row['file_name']}"
        about = row | {"identity_id": who, "data_field": row["data_field"] or row["text"]}
        found.append({name: about[name] for name in NAMES} | {"image": {"bytes": content, "path": row["file_name"]}})
    return found
