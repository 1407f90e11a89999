"""Open a file of reference rows: CSV, Parquet, JSON lines, or JSON of pandas."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path

from dcmon import errors
from dcmon.ingestion import reference_loading
from dcmon.ingestion.files import column_mapping, reader
from dcmon.ingestion.files.column_mapping import FileKind
from dcmon.ingestion.files.dialect import NO_OPTIONS, Dialect
from dcmon.ingestion.reference_loading import ReferenceTable
from dcmon.storage.columns import Columns


@contextmanager
def opened_table(
    file: Path, columns: Columns, renames: Mapping[str, str], dialect: Dialect = NO_OPTIONS
) -> Iterator[ReferenceTable]:
    """Open a file as rows of a reference. A file `*.json` has the "split" format of pandas; it takes no options.

    Raises InvalidInput, NotFound or FileRefused.
    """
    if file.suffix != ".json":
        with reader.open_file(str(file), dialect=dialect) as opened:
            mapping = column_mapping.create(columns, FileKind.REFERENCE, renames, dialect.value_rules())
            yield ReferenceTable(opened.reference_rows(mapping))
        return
    if given := dialect.given():
        option = min(given).replace("_", "-")
        raise errors.InvalidInput(
            f'--{option} has no meaning for {file}: "split" JSON of pandas has typed values. Leave the option out.'
        )
    with reader.open_bytes(file) as plain:
        is_empty = file.stat().st_size == 0
        yield reference_loading.split_document(b"" if is_empty else mmap(plain.fileno(), 0, access=ACCESS_READ))
