"""Parquet: columns of Arrow types, read in batches of rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

from dcmon import errors
from dcmon.ingestion.files.column_mapping import ColumnMapping
from dcmon.ingestion.files.formats import Row
from dcmon.ingestion.files.value_conversion import Converter

ROWS_AT_ONCE = 10_000


class ParquetContent(NamedTuple):
    """The number of rows of a file, and the rows."""

    row_count: int
    rows: Iterator[Row]


def read(stream: BinaryIO, mapping: ColumnMapping, path: str) -> ParquetContent:
    """Open a Parquet file. Raises InvalidInput, here or while the rows are read."""
    from pyarrow import parquet

    with _readable(path):
        file = parquet.ParquetFile(stream)
        return ParquetContent(file.metadata.num_rows, _rows(file, mapping, path))


def column_names(stream: BinaryIO, path: str) -> list[str]:
    """Return the columns of a Parquet file, without reading its rows. Raises InvalidInput."""
    from pyarrow import parquet

    with _readable(path):
        return list(parquet.ParquetFile(stream).schema_arrow.names)


def _rows(file: Any, mapping: ColumnMapping, path: str) -> Iterator[Row]:
    with _readable(path):
        fields = mapping.map_columns(file.schema_arrow.names)
        if mapping.text_fields is not None:
            fields = {name: field for name, field in fields.items() if _is_text(file.schema_arrow.field(name).type)}
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=list(fields)):
            values = [_values(batch.column(name), mapping.value_converter(field)) for name, field in fields.items()]
            yield from (dict(zip(fields.values(), row, strict=True)) for row in zip(*values, strict=True))


@contextmanager
def _readable(path: str) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        raise errors.InvalidInput(f"{path} can't be read as Parquet: {error}") from error


def _is_text(arrow_type: Any) -> bool:
    from pyarrow import types

    plain = arrow_type.value_type if types.is_dictionary(arrow_type) else arrow_type
    return bool(types.is_string(plain) or types.is_large_string(plain) or types.is_string_view(plain))


def _values(column: Any, convert: Converter) -> list[Any]:
    """Convert the values of an Arrow column to a column type of a version."""
    import pyarrow

    if pyarrow.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pyarrow.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = _in_microseconds(column)
    if (as_text := _with_items(column.type, pyarrow.string())) is not None:
        column = column.cast(as_text).cast(_with_items(column.type, pyarrow.float64()))  # 0.1, not 0.10000000149011612
    if pyarrow.types.is_float16(column.type):
        numbers = column.to_numpy(zero_copy_only=False)  # NaN for null
        column = pyarrow.array([float(str(number)) for number in numbers], pyarrow.float64())
    try:
        values = column.to_pylist()
    except (OverflowError, ValueError):
        values = [_python_value(scalar) for scalar in column]
    return [None if value is None else convert(value) for value in values]


def _with_items(arrow_type: Any, numbers: Any) -> Any:
    """Return a type of numbers of 32 bits, or of lists of them, with another type of numbers; None for other types."""
    import pyarrow
    from pyarrow import types

    if types.is_float32(arrow_type):
        return numbers
    if not (types.is_list(arrow_type) or types.is_large_list(arrow_type) or types.is_fixed_size_list(arrow_type)):
        return None
    items = _with_items(arrow_type.value_type, numbers)
    if items is None:
        return None
    if types.is_fixed_size_list(arrow_type):
        return pyarrow.list_(items, arrow_type.list_size)
    return pyarrow.large_list(items) if types.is_large_list(arrow_type) else pyarrow.list_(items)


def _in_microseconds(column: Any) -> Any:
    """Round nanoseconds half up, as times of JSON are rounded."""
    import pyarrow

    is_null = column.is_null().to_numpy(zero_copy_only=False)
    nanoseconds = column.cast(pyarrow.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    microseconds = pyarrow.array((nanoseconds + 500) // 1000, mask=is_null)  # no overflow: nanoseconds end in 2262
    return microseconds.cast(pyarrow.timestamp("us", column.type.tz))


def _python_value(scalar: Any) -> Any:
    """Convert a value that Python may not have to one that no column accepts.

    So only the row with this value (the year 30000, for example) is rejected.
    """
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):
        return {"out of range": str(scalar.type)}
