"""What the columns of a Parquet file are that another tool wrote."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from salmu.data.errors import UserError


def check_column(schema: pa.Schema, name: str, accepts: Callable[[pa.DataType], bool], wanted: str, where) -> None:
    """Raises UserError, which names the place `where`, unless the column is there once with a type that is accepted;
    `wanted` says which those are."""
    if (count := schema.names.count(name)) != 1:
        there = f"{count} columns" if count else "no column"
        raise UserError(f"{where}: {there} {name!r}; there are {', '.join(schema.names)}")
    if not accepts(kind := schema.field(name).type):
        raise UserError(f"{where}: column {name!r} must be {wanted}, not {kind}")


def is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_binary(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def holds_files(kind: pa.DataType) -> bool:
    """Whether a column holds the bytes of files, or structs with them."""
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and is_binary(field.type) for field in kind)
    return is_binary(kind)


def as_bytes(column: pa.Array) -> list[bytes | None]:
    """The cells of a text or binary column, or of the `bytes` of a struct column, undecoded."""
    if pa.types.is_struct(column.type):
        column = pc.struct_field(column, "bytes")
    column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    return column.cast(pa.large_binary()).to_pylist()


def only_paths(metadata: pq.FileMetaData, image: str) -> bool:
    """Whether the struct column `image` has no `bytes` in any row, as far as the file's statistics tell."""
    if not metadata.num_rows:
        return False
    for group in (metadata.row_group(number) for number in range(metadata.num_row_groups)):
        columns = (group.column(number) for number in range(group.num_columns))
        found = next((column for column in columns if column.path_in_schema == f"{image}.bytes"), None)
        if found is None or found.statistics is None or not found.statistics.has_null_count:
            return False
        if found.statistics.null_count < group.num_rows:
            return False
    return True
