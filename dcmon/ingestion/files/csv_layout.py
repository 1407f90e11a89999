"""How the records of a CSV are written: delimiter, blanks, and a header that is shorter or longer than the rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class HeaderFit(StrEnum):
    """How the header's number of cells fits the rows below it."""

    SAME = "same"
    ROW_NAMES = "row names"  # the rows begin with a name, as R's write.table writes them
    ROWS_END_WITH_DELIMITER = "rows end with a delimiter"
    HEADER_ENDS_WITH_DELIMITER = "header ends with a delimiter"


@dataclass(frozen=True)
class CsvLayout:
    """How the records of a CSV are written. `has_blanks`: the blanks after delimiters are no part of the cells."""

    delimiter: str = ","
    has_blanks: bool = False
    header_fit: HeaderFit = HeaderFit.SAME


def adapted_header(header: Sequence[str], layout: CsvLayout) -> list[str]:
    """Return the header with as many cells as the rows have. A column without a name is called ""."""
    if layout.header_fit == HeaderFit.ROW_NAMES:
        return ["", *header]
    if layout.header_fit == HeaderFit.ROWS_END_WITH_DELIMITER:
        return [*header, ""]
    if layout.header_fit == HeaderFit.HEADER_ENDS_WITH_DELIMITER:
        return list(header[:-1])
    return list(header)
