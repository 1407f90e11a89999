"""Open a file of reference rows: CSV, Parquet, JSON lines, or JSON of pandas."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path

import msgspec

from dcmon import errors
from dcmon.ingestion import reference_loading
from dcmon.ingestion.files import column_mapping, path_expansion, reader, spark_output
from dcmon.ingestion.files.column_mapping import ColumnMapping, FileKind
from dcmon.ingestion.files.dialect import NO_OPTIONS, Dialect
from dcmon.ingestion.files.path_expansion import NamedFile
from dcmon.ingestion.reference_loading import ReferenceTable
from dcmon.storage.columns import Columns


@contextmanager
def opened_table(
    file: Path,
    columns: Columns,
    renames: Mapping[str, str],
    dialect: Dialect = NO_OPTIONS,
    constants: Mapping[str, str] | None = None,
) -> Iterator[ReferenceTable]:
    """Open a file, or the files of a directory or pattern, as rows of a reference. `constants`: texts by field.

    A single file `*.json` that Spark did not write has the "split" format of pandas; it takes no options. Raises
    InvalidInput, NotFound, FileRefused, or DirectoryBeingWritten.
    """
    expansion = path_expansion.expand([str(file)])
    for error in expansion.errors:
        raise error
    if file.suffix != ".json" or file.is_dir() or spark_output.PART_FILE.match(file.name):
        mapping = column_mapping.create(columns, FileKind.REFERENCE, renames, dialect.value_rules())
        remarks = list[str]()
        rows = _rows(expansion.files, mapping.with_options(constants or {}), dialect, remarks)
        yield ReferenceTable(rows, is_of_file=True, remarks=remarks)
        return
    if constants:
        raise errors.InvalidInput(f'--set has no meaning for {file}: "split" JSON of pandas has all columns.')
    if given := dialect.given():
        option = min(given).replace("_", "-")
        raise errors.InvalidInput(
            f'--{option} has no meaning for {file}: "split" JSON of pandas has typed values. Leave the option out.'
        )
    with reader.open_bytes(file) as plain:
        is_empty = file.stat().st_size == 0
        yield reference_loading.split_document(b"" if is_empty else mmap(plain.fileno(), 0, access=ACCESS_READ))


def _rows(
    files: Sequence[NamedFile], mapping: ColumnMapping, dialect: Dialect, remarks: list[str]
) -> Iterator[msgspec.Raw]:
    """Yield the rows of files. Adds what each file shows about how it writes its values to `remarks`."""
    for file in files:
        with reader.open_file(file.path, dialect=dialect) as opened:
            mapping_of_file = mapping.with_usual_names(opened.column_names(mapping)).with_path(file.columns)
            remarks += [f"{file.path}: {remark}" for remark in opened.remarks(mapping_of_file)]
            yield from opened.reference_rows(mapping_of_file)
            if opened.layout_remark:
                remarks.append(f"{file.path}: {opened.layout_remark}")
