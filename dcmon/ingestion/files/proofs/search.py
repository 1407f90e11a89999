"""Read a file for proofs of how it writes its values.

The first rows show which columns need a proof. Only then is the whole file read, because a later row may disagree: two
values of a column that disagree prove nothing. The result depends on the content alone, so that an interrupted load
continues with the same rules.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from dcmon.ingestion.files import value_conversion
from dcmon.ingestion.files.column_mapping import ColumnMapping
from dcmon.ingestion.files.dialect import Dialect
from dcmon.ingestion.files.formats import Row
from dcmon.ingestion.files.proofs import dates, marks, words
from dcmon.ingestion.files.proofs.dates import Orders
from dcmon.ingestion.files.proofs.findings import Proofs, TextBlock
from dcmon.ingestion.files.proofs.marks import Marks
from dcmon.ingestion.values import number_marks, numbers, times
from dcmon.storage.columns import LABEL, PREDICTION

FIRST_ROWS = 2_000  # enough to see marks, and 5 % of the cost of loading 10,000 rows
ROWS_AT_ONCE = 10_000
_NUMBERS = ("numeric", *numbers.INTEGERS, value_conversion.PROBABILITIES_TYPE)

ReadRows = Callable[[ColumnMapping], Iterator[Row]]
Blocks = Mapping[str, TextBlock]
NumberedRows = Sequence[tuple[int, Mapping[str, Any]]]


def find(read: ReadRows, mapping: ColumnMapping, dialect: Dialect, *, may_omit_nulls: bool = False) -> Proofs:
    """Return what a file proves, as far as the dialect does not say it. `read` yields its rows from the first on.

    `may_omit_nulls`: a field that one of the first rows has may be missing in others.
    """
    fields = {
        "numbers": [] if dialect.decimal and dialect.thousands else _of_type(mapping, _NUMBERS),
        "dates": [] if dialect.date_order else _of_type(mapping, ("datetime",)),
        "texts": [] if dialect.null else _of_type(mapping, value_conversion.TEXTS),
    }
    all_fields = [name for names in fields.values() for name in names]
    rows = _readable(islice(enumerate(read(replace(mapping, text_fields=frozenset(all_fields)))), FIRST_ROWS))
    first = _blocks_of(rows, all_fields)
    has_marks = any(number_marks.may_have_other_marks(first[name].lines) for name in fields["numbers"] if name in first)
    columns_of_marks = {name: Marks() for name in fields["numbers"] if has_marks}
    has_dates = [name for name in fields["dates"] if name in first and times.first_without_order(first[name].lines)]
    columns_of_dates = {name: Orders() for name in has_dates}
    if columns_of_marks or columns_of_dates:
        for blocks in _blocks(read, mapping, [*columns_of_marks, *columns_of_dates]):
            for name, block in blocks.items():
                (columns_of_marks.get(name) or columns_of_dates[name]).add(block)
    of_marks = marks.rules(columns_of_marks, mapping.rules, dialect, _of_type(mapping, ("categorical",)))
    of_dates = dates.rules(columns_of_dates, mapping.rules)
    texts = [first[name] for name in fields["texts"] if name in first and name not in (LABEL, PREDICTION)]
    return Proofs(
        {**of_marks.field_rules, **of_dates.field_rules},
        [*of_marks.findings, *of_dates.findings],
        [*of_marks.questions, *of_dates.questions, *words.questions(texts)],
        _seen_fields(rows, mapping) if may_omit_nulls else frozenset(),
    )


def _seen_fields(rows: NumberedRows, mapping: ColumnMapping) -> frozenset[str]:
    """Return the fields that one of the rows has. A row without a label has none, and does not withdraw it."""
    names = set[str]().union(*(row for _, row in rows))
    return frozenset(names & mapping.types.keys() - {LABEL})


def _of_type(mapping: ColumnMapping, kinds: Sequence[str]) -> list[str]:
    return [name for name, kind in mapping.types.items() if kind in kinds]


def _blocks(read: ReadRows, mapping: ColumnMapping, fields: Sequence[str]) -> Iterator[Blocks]:
    """Yield the texts of fields, some thousand rows at a time."""
    rows = enumerate(read(replace(mapping, text_fields=frozenset(fields))))
    while part := list(islice(rows, ROWS_AT_ONCE)):
        yield _blocks_of(_readable(part), fields)


def _readable(rows: Iterable[tuple[int, Row]]) -> NumberedRows:
    return [(number, row) for number, row in rows if isinstance(row, dict)]


def _blocks_of(rows: NumberedRows, fields: Sequence[str]) -> Blocks:
    return {name: block for name in fields if (block := _block(rows, name))}


def _block(rows: NumberedRows, field: str) -> TextBlock | None:
    """Return the texts of a field. None if it has none: numbers of Parquet and JSON need no proof."""
    values: list[Any] = [row.get(field) for _, row in rows]
    texts, row_numbers = values, [number for number, _ in rows]
    try:
        lines = "\n".join(texts)  # the fastest way to check that all are texts, as in a CSV
    except TypeError:
        row_numbers = [number for number, value in zip(row_numbers, values, strict=True) if isinstance(value, str)]
        texts = [value for value in values if isinstance(value, str)]
        lines = "\n".join(texts)
    if not texts:
        return None
    if lines.count("\n") != len(texts) - 1:
        lines = "\n".join(text.replace("\n", " ") for text in texts)
    return TextBlock(field, lines, row_numbers)
