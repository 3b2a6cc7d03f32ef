"""What a gallery shows, from a run's folder or from a published dataset, in one form."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from salmu.data.files import parquet_file, reading_parquet
from salmu.data.schemas import DATA_FIELDS

EXAMPLES = 24  # of each reason, of what was dropped before it was a portrait
BATCH = 64  # rows with pictures that are read at a time
IN_DATASET, NOT_PAIRED, NOT_JUDGED = "in the dataset", "kept, in no pair", "not judged yet"

Picture = tuple[str, str, bytes]  # covers | portraits | dropped; identity, file name or item; picture file


class Reason(NamedTuple):
    """What a stage dropped for one reason."""

    stage: str
    reason: str
    count: int
    examples: list[tuple[str, str]]  # item, detail


class Source(NamedTuple):
    name: str
    people: dict[str, dict[str, Any]]  # identity id -> see person()
    portraits: list[dict[str, Any]]  # see portrait(); any order
    captions: dict[str, list[tuple[str, str, str]]]  # identity id -> data field, style, text of those written for it
    dropped: list[Reason]
    pictures: Callable[[], Iterator[Picture]]  # each file once


def person(row: dict[str, Any], role: str, proof: dict[str, dict] | None = None) -> dict[str, Any]:
    """An identity. `row` has what is known of it; `role`: sensitive | retain | dropped; `proof`: data field -> level,
    rule and source."""
    facts = {key: row.get(key) for key in ("name", "country_code", "gender", "age", "age_group", "region")}
    values = []
    for field in ("name", *DATA_FIELDS):
        value, why = row.get(field), (proof or {}).get(field, {})
        if value is not None and (field != "name" or why):
            told = value if isinstance(value, str) else ", ".join(value)
            values.append([field, told, *(str(why.get(key) or "") for key in ("level", "rule", "source"))])
    return facts | {"role": role, "values": values}


def portrait(row: dict[str, Any], state: str, detail: str = "") -> dict[str, Any]:
    """A portrait. `row`: of the stage assembly, of the dataset, or with what little is known; `state`: one of the three
    above, or the reason why it was dropped."""
    keys = ("file_name", "identity_id", "text", "data_field", "value", "caption_style", "split", "split_published")
    keys += ("generic_text", "width", "height", "identity_similarity")
    return {key: row.get(key) for key in keys} | {"state": state, "detail": detail}


def identity_of(file_name: str) -> str:
    """The identity that a file name tells, `<identity>_<portrait>_ar-<width/height>.jpg`."""
    return file_name.split("_")[0]


def reasons(stage: str, rows: Iterable[dict[str, Any]]) -> list[Reason]:
    """Rejects of a stage (item, reason, detail) by reason, the most frequent first."""
    counts: Counter[str] = Counter()
    examples = defaultdict(list)
    for row in rows:
        counts[row["reason"]] += 1
        if len(examples[row["reason"]]) < EXAMPLES:
            examples[row["reason"]].append((row["item"], row["detail"] or ""))
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return [Reason(stage, reason, count, examples[reason]) for reason, count in ordered]


def pictures_in(paths: Iterable[Path], key: str) -> Iterator[tuple[str, bytes]]:
    """Value of the column `key` and picture file of each row, a few rows at a time; the column `image` holds bytes or
    struct<bytes, path>."""
    for path in paths:
        with reading_parquet(path), parquet_file(path) as file:
            for batch in file.iter_batches(BATCH, columns=[key, "image"]):
                images = batch.column("image")
                if pa.types.is_struct(images.type):
                    images = images.field("bytes")
                yield from zip(batch.column(key).to_pylist(), images.to_pylist())
