"""The columns of the published Parquet files: the published benchmark's four first, in its order, then ours."""

from typing import NamedTuple

import pyarrow as pa


class Column(NamedTuple):
    name: str
    dtype: str  # as `datasets` names it
    description: str


COLUMNS = (
    Column("image", "image", "The portrait, a JPEG file."),
    Column("text", "string", "Its one caption."),
    Column("identity_id", "string", "Eight digits; null where the person has no persona."),
    Column("file_name", "string", "`<identity>_<portrait>_ar-<width/height>.jpg`, unique."),
    Column("data_field", "string", "The attribute that the caption gives away; null for generic captions."),
    Column("value", "string", "Its value, as it stands in the caption; null for generic captions."),
    Column("caption_style", "string", "The kind of sentence."),
    Column("split", "string", "Side in the fact scheme: all pairs of one (persona, attribute) lie on one side."),
    Column("split_published", "string", "Side in the pair scheme, as the published benchmark splits."),
    Column("gender", "string", "Of the person, as drawn or measured."),
    Column("age_group", "string", "Of the person, as drawn or measured."),
    Column("country_code", "string", "ISO 3166 code of the persona; null without one."),
    Column("width", "int32", "Of the image here, in pixels."),
    Column("height", "int32", "Of the image here, in pixels."),
    Column("identity_similarity", "float32", "Cosine of the face embedding to the centre of the identity's portraits."),
)
_ARROW = {
    "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    "string": pa.string(),
    "int32": pa.int32(),
    "float32": pa.float32(),
}


def schema(columns: tuple[Column, ...]) -> pa.Schema:
    """The columns as Arrow has them."""
    return pa.schema([pa.field(column.name, _ARROW[column.dtype]) for column in columns])


def features(columns: tuple[Column, ...]) -> dict[str, dict[str, str]]:
    """What `datasets` looks for in the schema's metadata."""
    return {
        column.name: {"_type": "Image"} if column.dtype == "image" else {"dtype": column.dtype, "_type": "Value"}
        for column in columns
    }
