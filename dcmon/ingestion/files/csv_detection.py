"""Tell how a CSV is written from its header and first records. What is not certain is not guessed."""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from io import StringIO
from itertools import islice
from typing import NamedTuple

from dcmon import errors
from dcmon.ingestion.files import csv_records
from dcmon.ingestion.files.csv_layout import CsvLayout, HeaderFit
from dcmon.ingestion.files.csv_lines import Lines
from dcmon.ingestion.files.csv_records import NonUtf8Record, Record, SkippedRow

DELIMITERS = (",", ";", "\t", "|")
SAMPLE_CHARACTERS = 2**18
DELIMITER_NAMES = {"\t": "tab", " ": "space"}
CONSISTENT_SHARE = 0.9
_SEPARATOR_LINE = re.compile(r'"?sep=(?P<delimiter>[^"\r\n])"?[;,\t]*[\r\n]*', re.IGNORECASE)
_QUOTED_NAMES = re.compile(r'(?:"(?:[^"\r\n]|"")*" )+"(?:[^"\r\n]|"")*"[\r\n]*')
_TAB_NAME = re.compile(r"\.(tsv|tab)(\.\w+)?$", re.IGNORECASE)

IsField = Callable[[str], bool]  # True if a column of this name has a field


class _Candidate(NamedTuple):
    """A delimiter with the header that it gives, and the number of the header's fields."""

    delimiter: str
    header: Sequence[str]
    fields: int


def detect(lines: Lines, path: str, delimiter: str | None, is_field: IsField) -> CsvLayout:
    """Return the layout of a CSV, and skip the line "sep=;" that Excel reads. Raises InvalidInput.

    `delimiter`: as given by the operator; None if the file must show it. `is_field` tells which delimiter is right.
    """
    sample = lines.peek(SAMPLE_CHARACTERS)
    if sample and (separator := _SEPARATOR_LINE.fullmatch(sample[0])):
        next(lines)
        delimiter, sample = delimiter or separator["delimiter"], sample[1:]
    delimiter = delimiter or _delimiter(sample, path, is_field)
    layout = CsvLayout(delimiter)
    layout = replace(layout, has_blanks=_has_blanks(sample, delimiter, is_field))
    return replace(layout, header_fit=_header_fit(sample, layout, path))


def name(delimiter: str) -> str:
    """Return a delimiter as a sentence and the option --delimiter have it."""
    return DELIMITER_NAMES.get(delimiter, f"'{delimiter}'")


def _delimiter(sample: Sequence[str], path: str, is_field: IsField) -> str:
    """Return the delimiter with which the header names most fields, or else all records are as wide as the header.

    A file that shows none has one column: "," is returned.
    """
    candidates = [_candidate(sample, delimiter, is_field) for delimiter in (*DELIMITERS, " ")]
    most = max(candidate.fields for candidate in candidates)
    best = [candidate for candidate in candidates if candidate.fields == most]
    if most > 1 and len(best) == 1:
        return best[0].delimiter
    usual = [one for one in best if one.delimiter in DELIMITERS or _has_quoted_header(sample)]
    consistent = [one for one in usual if _is_consistent(sample, one) or _has_row_names(sample, one, path)]
    if any(one.delimiter == "\t" for one in consistent) and _TAB_NAME.search(path):
        return "\t"
    if len(consistent) > 1:
        counts = " and ".join(f"{len(one.header)} columns with {name(one.delimiter)}" for one in consistent)
        options = " or ".join(f"--delimiter {name(one.delimiter)}" for one in consistent)
        raise errors.InvalidInput(f"The delimiter of {path} can't be told: it has {counts}. Use {options}.")
    return consistent[0].delimiter if consistent else ","


def _candidate(sample: Sequence[str], delimiter: str, is_field: IsField) -> _Candidate:
    header = next(_records(sample, delimiter), None)
    cells = header.cells if isinstance(header, NonUtf8Record) else header
    if not isinstance(cells, list):
        return _Candidate(delimiter, (), 0)
    return _Candidate(delimiter, cells, sum(_is_field(cell, is_field) for cell in cells))


def _is_consistent(sample: Sequence[str], candidate: _Candidate) -> bool:
    """Return True if nearly all rows have as many cells as the header, and more than one."""
    records = islice(_records(sample, candidate.delimiter), 1, None)
    rows = [row for row in records if not isinstance(row, SkippedRow)]
    readable = sum(isinstance(row, list | NonUtf8Record) for row in rows)
    # The last record of the sample may be cut.
    return len(candidate.header) > 1 and readable >= CONSISTENT_SHARE * (len(rows) - 1)


def _has_quoted_header(sample: Sequence[str]) -> bool:
    """Return True if the header is names in quotes with a blank between them, as R's write.table writes it."""
    return bool(sample) and _QUOTED_NAMES.fullmatch(sample[0]) is not None


def _has_row_names(sample: Sequence[str], candidate: _Candidate, path: str) -> bool:
    """Return True if each row begins with a name in quotes that the header lacks, as R's write.table writes it."""
    layout = CsvLayout(candidate.delimiter, has_blanks=candidate.delimiter == " ")
    return len(candidate.header) > 1 and _header_fit(sample, layout, path) == HeaderFit.ROW_NAMES


def _records(sample: Sequence[str], delimiter: str) -> Iterator[Record]:
    return csv_records.records(Lines(StringIO("".join(sample), newline="")), CsvLayout(delimiter))


def _is_field(cell: str, is_field: IsField) -> bool:
    return bool(cell.strip()) and (is_field(cell) or is_field(cell.strip()))


def _cells(sample: Sequence[str], layout: CsvLayout) -> list[list[str]]:
    """Return the records of the sample, the header first, as they are: with any number of cells."""
    reader = csv.reader(sample, delimiter=layout.delimiter, skipinitialspace=layout.has_blanks)
    rows = list[list[str]]()
    with suppress(csv.Error):  # a field that is too long: the records before it are enough
        rows += (row for row in reader if row)
    return [rows[0], *(row for row in rows[1:] if any(row))] if rows else []


def _has_blanks(sample: Sequence[str], delimiter: str, is_field: IsField) -> bool:
    """Return True if blanks after the delimiters are no part of names and values."""
    if delimiter == " ":
        return True
    header, *rows = _cells(sample, CsvLayout(delimiter)) or [[]]
    blank_names = [cell for cell in header[1:] if cell.startswith(" ")]
    if any(is_field(cell) for cell in blank_names):
        return False
    if any(is_field(cell.strip().strip('"')) for cell in blank_names):
        return True
    following = [cell for row in rows for cell in row[1:]]
    return any(cell.strip() for cell in following) and all(cell.startswith(" ") for cell in following)


def _header_fit(sample: Sequence[str], layout: CsvLayout, path: str) -> HeaderFit:
    """Return how the header fits the rows. Rows of different widths leave it as it is. Raises InvalidInput."""
    header, *rows = _cells(sample, layout) or [[]]
    widths = {len(row) for row in (rows[:-1] if len(rows) > 1 else rows)}  # the last one may be cut
    rows = [row for row in rows if {len(row)} == widths]
    if not rows:
        return HeaderFit.SAME
    if widths == {len(header) - 1} and not header[-1]:
        return HeaderFit.HEADER_ENDS_WITH_DELIMITER
    if widths != {len(header) + 1}:
        return HeaderFit.SAME
    names = [row[0] for row in rows]
    is_numbered = names == [str(number) for number in range(1, len(rows) + 1)]
    if any(row[-1] for row in rows):
        return HeaderFit.ROW_NAMES if _are_row_names(names, sample, layout, is_numbered) else HeaderFit.SAME
    if is_numbered:
        raise errors.InvalidInput(
            f"The rows of {path} have one cell more than the header: the first may be the name of the row, or the last,"
            " which is always empty, may follow a delimiter too many. Give the header one cell more."
        )
    return HeaderFit.ROWS_END_WITH_DELIMITER


def _are_row_names(names: Sequence[str], sample: Sequence[str], layout: CsvLayout, is_numbered: bool) -> bool:
    """Return True if the first cells are names of rows as R writes them: in quotes like the header, or numbers.

    Otherwise a comma or a blank in a value may be what each row has more than the header: 4,5 instead of "4,5".
    """
    is_quoted = all(line.startswith('"') for line in [line for line in sample if line.strip()][:2])
    is_quoted = is_quoted and len(set(names)) == len(names)
    return is_quoted or (is_numbered and layout.delimiter not in ", ")
