"""Probabilities with a column for each class: join them to the list that rows have."""

from collections.abc import Iterator, Sequence

from dcmon.ingestion.files.formats import Row
from dcmon.storage.columns import PROBABILITIES


def join(rows: Iterator[Row], fields: Sequence[str]) -> Iterator[Row]:
    """Yield the rows, with the values of these fields as one list. A row without any of the values keeps its list."""
    for row in rows:
        if isinstance(row, dict) and any(field in row for field in fields):
            values = [row.pop(field, None) for field in fields]
            list_ = row.setdefault(PROBABILITIES, None)
            if any(value is not None for value in values):
                # A row of JSON lines that has a list too is rejected: a list in a list is no probability.
                row[PROBABILITIES] = values if list_ is None else [*values, list_]
        yield row
