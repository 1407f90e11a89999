"""Read a file for proofs of how it writes its values.

The first rows show which columns need a proof. Only then is the whole file read, because a later row may disagree: two
values of a column that disagree prove nothing. The result depends on the content alone, so that an interrupted load
continues with the same rules.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

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

ROWS_AT_ONCE = 10_000
_NUMBERS = ("numeric", *numbers.INTEGERS, value_conversion.PROBABILITIES_TYPE)

ReadRows = Callable[[ColumnMapping], Iterator[Row]]
Blocks = Mapping[str, TextBlock]


def find(read: ReadRows, mapping: ColumnMapping, dialect: Dialect) -> Proofs:
    """Return what a file proves, as far as the dialect does not say it. `read` yields its rows from the first on."""
    fields = {
        "numbers": [] if dialect.decimal and dialect.thousands else _of_type(mapping, _NUMBERS),
        "dates": [] if dialect.date_order else _of_type(mapping, ("datetime",)),
        "texts": [] if dialect.null else _of_type(mapping, value_conversion.TEXTS),
    }
    first = next(_blocks(read, mapping, [name for names in fields.values() for name in names]), {})
    has_marks = any(number_marks.may_have_other_marks(first[name].lines) for name in fields["numbers"] if name in first)
    columns_of_marks = {name: Marks() for name in fields["numbers"] if has_marks}
    has_dates = [name for name in fields["dates"] if name in first and times.first_without_order(first[name].lines)]
    columns_of_dates = {name: Orders() for name in has_dates}
    if columns_of_marks or columns_of_dates:
        for blocks in _blocks(read, mapping, [*columns_of_marks, *columns_of_dates]):
            for name, block in blocks.items():
                (columns_of_marks.get(name) or columns_of_dates[name]).add(block)
    of_marks = marks.rules(columns_of_marks, mapping.rules, dialect)
    of_dates = dates.rules(columns_of_dates, mapping.rules)
    texts = [first[name] for name in fields["texts"] if name in first and name not in (LABEL, PREDICTION)]
    return Proofs(
        {**of_marks.field_rules, **of_dates.field_rules},
        [*of_marks.findings, *of_dates.findings],
        [*of_marks.questions, *of_dates.questions, *words.questions(texts)],
    )


def _of_type(mapping: ColumnMapping, kinds: Sequence[str]) -> list[str]:
    return [name for name, kind in mapping.types.items() if kind in kinds]


def _blocks(read: ReadRows, mapping: ColumnMapping, fields: Sequence[str]) -> Iterator[Blocks]:
    """Yield the texts of fields, some thousand rows at a time."""
    if not fields:
        return
    rows = enumerate(read(replace(mapping, text_fields=frozenset(fields))))
    while part := list(islice(rows, ROWS_AT_ONCE)):
        readable = [(number, row) for number, row in part if isinstance(row, dict)]
        yield {name: block for name in fields if (block := _block(readable, name))}


def _block(rows: Sequence[tuple[int, Mapping[str, object]]], field: str) -> TextBlock | None:
    texts = [(number, text) for number, row in rows if isinstance(text := row.get(field), str)]
    if not texts:
        return None
    lines = "\n".join(text for _, text in texts)
    if lines.count("\n") != len(texts) - 1:
        lines = "\n".join(text.replace("\n", " ") for _, text in texts)
    return TextBlock(field, lines, [number for number, _ in texts])
