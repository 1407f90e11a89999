"""Parquet: columns of Arrow's types, read a batch of rows at a time. The one module that knows pyarrow."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from dcmon import errors
from dcmon.ingestion.files import value_conversion
from dcmon.ingestion.files.column_mapping import Layout
from dcmon.ingestion.files.formats import Row

ROWS_AT_ONCE = 10_000


def read(stream: BinaryIO, layout: Layout, path: str) -> tuple[int, Iterator[Row]]:
    """How many rows there are, and the rows. Raises InvalidInput, then or while they are read."""
    from pyarrow import parquet

    with _readable(path):
        file = parquet.ParquetFile(stream)
        return file.metadata.num_rows, _rows(file, layout, path)


def _rows(file: Any, layout: Layout, path: str) -> Iterator[Row]:
    with _readable(path):
        fields = layout.arrange(file.schema_arrow.names)
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=list(fields)):
            values = [_column(batch.column(name), layout.kinds[found]) for name, found in fields.items()]
            yield from (dict(zip(fields.values(), row, strict=True)) for row in zip(*values, strict=True))


@contextmanager
def _readable(path: str) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        raise errors.InvalidInput(f"{path} can't be read as Parquet: {error}") from error


def _column(column: Any, kind: str) -> list[Any]:
    """The values of a column of Arrow as those of its type."""
    import pyarrow

    if pyarrow.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pyarrow.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pyarrow.timestamp("us", column.type.tz), safe=False)
    convert = value_conversion.from_value(kind)
    try:
        values = column.to_pylist()
    except (OverflowError, ValueError):
        values = [_python(scalar) for scalar in column]
    return [None if value is None else convert(value) for value in values]


def _python(scalar: Any) -> Any:
    """A value of Arrow; where Python has none for it (the year 30000), one that no column takes: it costs its row."""
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):
        return {"out of range": str(scalar.type)}
