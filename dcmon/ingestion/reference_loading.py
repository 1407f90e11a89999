"""Load the reference of a version: all rows of a document, or no row."""

import math
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from itertools import islice
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import text, update
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db import locks
from dcmon.db.locks import LockSpace
from dcmon.db.tables.org import Model, Version
from dcmon.ingestion import split_documents
from dcmon.ingestion.intake_results import RejectedExample
from dcmon.ingestion.rejected_row import RejectedRow
from dcmon.ingestion.row_decoder import RowType, RowValues
from dcmon.ingestion.row_fields import FieldRole
from dcmon.ingestion.row_types import reference_row_type
from dcmon.ingestion.split_documents import NoSplitDocument
from dcmon.storage import probabilities, sample_tables, table_layout
from dcmon.storage.categories import normalize
from dcmon.storage.columns import HASH, TYPES, quoted
from dcmon.storage.references import count
from dcmon.storage.table_layout import NUMBERS

MAX_REFERENCE_ROWS = 100_000
Document = split_documents.Document


@dataclass(frozen=True)
class ReferenceTable:
    """Reference rows to load. JSON lists in the order of `names`, or JSON objects if `names` is None.

    `is_of_file`: the sentence about a row that can't be stored may name options of the command. `remarks`: what to say
    about the rows, complete when they are read.
    """

    rows: Iterable[msgspec.Raw]
    names: Sequence[str] | None = None
    is_of_file: bool = False
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class ReferenceLoad:
    """The result of a load. `total` is the number of rows after it."""

    stored: int
    removed: int
    total: int
    revision: int


@dataclass(frozen=True)
class LoadOptions:
    """How reference rows are loaded.

    `replace` removes the stored rows first. `max_rows` is the largest number of rows that the reference may have.
    """

    replace: bool = False
    max_rows: int = MAX_REFERENCE_ROWS
    dry_run: bool = False


APPEND = LoadOptions()


def split_document(document: Document) -> ReferenceTable:
    """Return the raw rows of pandas' "split" JSON. Raises InvalidInput, also when the rows are read."""
    content = document[len(BOM_UTF8) :] if document[: len(BOM_UTF8)] == BOM_UTF8 else document
    try:
        parsed = split_documents.read(content)
    except NoSplitDocument as error:
        raise _not_split(error) from error
    return ReferenceTable(parsed.data if isinstance(parsed.data, list) else _rows_of(parsed.data), parsed.columns)


def _rows_of(rows: Iterable[msgspec.Raw]) -> Iterator[msgspec.Raw]:
    try:
        yield from rows
    except NoSplitDocument as error:
        raise _not_split(error) from error


def _not_split(error: NoSplitDocument) -> errors.InvalidInput:
    return errors.InvalidInput(
        f'The reference is not JSON of the form {{"columns": […], "data": [[…]]}}: {error}. pandas writes it with'
        ' to_json(orient="split", index=False); "dcmon reference load" takes CSV, Parquet and JSON lines.'
    )


def load(
    session: Session, model: Model, version: Version, table: ReferenceTable, options: LoadOptions = APPEND
) -> ReferenceLoad:
    """Append rows to the reference, or replace it: all rows, or no row.

    Each row is stored as soon as it is decoded. Afterwards the caller begins the new revision with `begin_revision`.
    Raises InvalidInput, which names row and field.
    """
    lock(session, [version])
    before = count(session, version)
    remaining = 0 if options.replace else before
    row_type = _row_type(model, version, table)
    limit = _RowLimit(version.name, remaining, options.max_rows)
    rows = _decoded(table, row_type, limit)
    next_revision = version.reference_revision + 1
    if options.dry_run:
        stored = sum(1 for _ in rows)
        return ReferenceLoad(stored, before - remaining, remaining + stored, next_revision)
    if options.replace:
        session.execute(text(f"delete from reference_{version.relation}"))
    stored = _copy(session, _ReferenceCopy.create(model, version, row_type), rows, remaining)
    return ReferenceLoad(stored, before - remaining, remaining + stored, next_revision)


def clear(session: Session, version: Version) -> ReferenceLoad:
    """Remove all rows of the reference. Afterwards the caller begins the new revision with `begin_revision`."""
    lock(session, [version])
    removed = count(session, version)
    session.execute(text(f"delete from reference_{version.relation}"))
    return ReferenceLoad(0, removed, 0, version.reference_revision + 1)


def copy(session: Session, source: Version, target: Version) -> int:
    """Copy the rows of a reference to a version without one that has the same layout; return how many.

    Afterwards the caller begins the new revision with `begin_revision`.
    """
    lock(session, [source, target])
    session.execute(text(f"insert into reference_{target.relation} select * from reference_{source.relation}"))
    return count(session, target)


def begin_revision(session: Session, version: Version) -> int:
    """Begin a new revision of the reference, and return its number.

    Results name the revision that they used. This locks the version's row until the commit.
    """
    revise = update(Version).where(Version.id == version.id).values(reference_revision=Version.reference_revision + 1)
    return int(session.scalar(revise.returning(Version.reference_revision)) or 0)


def lock(session: Session, of_versions: Iterable[Version]) -> None:
    """Let only one load of each version's reference run at a time, until the transaction ends.

    This is an advisory lock, because ingestion would wait for a lock of the version's row. A load locks the reference
    first, then its table, the due windows and the version's row: so does a deletion, or both could wait for each other.
    """
    for relation in sorted(version.relation for version in of_versions):
        locks.acquire(session, LockSpace.REFERENCE, relation)


def _row_type(model: Model, version: Version, table: ReferenceTable) -> RowType:
    try:
        return reference_row_type(sample_tables.columns(model, version), table.names)
    except RejectedRow as rejected:
        raise errors.InvalidInput(f"The reference can't be used: {rejected.detail}") from rejected


class _RowLimit(NamedTuple):
    version: str
    stored_rows: int
    max_rows: int

    def error(self) -> errors.InvalidInput:
        return errors.InvalidInput(
            f"The new rows are too many: the reference of version {self.version!r} has {self.stored_rows} rows, and at"
            f" most {self.max_rows} are allowed. Nothing was stored. Raise DCMON_REFERENCE__LARGEST to allow more."
        )


def _decoded(table: ReferenceTable, row_type: RowType, limit: _RowLimit) -> Iterator[RowValues]:
    rows = enumerate(table.rows)
    for number, row in rows:
        if limit.stored_rows + number >= limit.max_rows:
            raise limit.error()
        try:
            yield row_type.decode(row)
        except RejectedRow as rejected:
            rejections = _Rejections(table)
            rejections.add(number, row, rejected)
            rejections.find(islice(rows, limit.max_rows), row_type)
            raise rejections.error() from rejected


class _Rejections:
    """The rows of a reference that can't be stored: how many of each reason, and the first of each reason."""

    def __init__(self, table: ReferenceTable) -> None:
        self.table, self.received = table, 0
        self.counts = Counter[str]()
        self.first: dict[str, RejectedExample] = {}

    def add(self, number: int, row: msgspec.Raw, rejected: RejectedRow) -> None:
        reason, self.received = str(rejected.reason), number + 1
        self.counts[reason] += 1
        if reason not in self.first:
            example = RejectedExample.create(number, bytes(row), rejected, self.table.names)
            self.first[reason] = replace(example, detail=rejected.file_detail) if self.table.is_of_file else example

    def find(self, rows: Iterable[tuple[int, msgspec.Raw]], row_type: RowType) -> None:
        """Add the rejected ones of further rows, so that all of them can be mended at once."""
        with suppress(errors.DcmonError):  # A file may end in the middle of a row: its first rejection counts.
            for number, row in rows:
                self.received = number + 1
                try:
                    row_type.decode(row)
                except RejectedRow as rejected:
                    self.add(number, row, rejected)

    def error(self) -> errors.InvalidInput:
        """Return the error, with the counts and the first rows as its information."""
        first = min(self.first.values(), key=lambda example: example.row)
        detail = first.detail.rstrip(".") if first.field is None else f"{first.field}: {first.detail.rstrip('.')}"
        message = f"Row {first.row} of the reference can't be used: {detail}. Nothing was stored."
        rejected, reasons = self.counts.total(), ", ".join(f"{name} {n:,}" for name, n in self.counts.most_common())
        if rejected > 1:
            message += f" {rejected:,} of {self.received:,} rows can't be used: {reasons}."
        examples = {reason: asdict(example) for reason, example in self.first.items()}
        information = {"received": self.received, "stored": 0, "rejected": dict(self.counts), "first": examples}
        return errors.InvalidInput(message, information=information)


class _ReferenceCopy(NamedTuple):
    """How reference rows are copied: into which table, and which of a row's values go into columns and into arrays.

    `kinds`: the type of the values that may be stored differently, by position.
    `own` and `array_positions` have positions of values. A row may lack an additional column: its position is None.
    """

    relation: int
    names: list[str]
    sql_types: list[str]
    own: list[int]
    array_positions: list[tuple[str, list[int | None]]]
    kinds: dict[int, str]

    @classmethod
    def create(cls, model: Model, version: Version, row_type: RowType) -> "_ReferenceCopy":
        layout = table_layout.of(sample_tables.columns(model, version))
        positions = {name: position for position, name in enumerate(row_type.names)}
        own = [position for name, position in positions.items() if name not in layout.elements]
        array_positions = [
            (array.name, [positions.get(name) for name in array.column_types]) for array in layout.array_columns
        ]
        fields = [row_type.fields[position] for position in own]
        names = [*(quoted(field.name) for field in fields), *(array.name for array in layout.array_columns)]
        sql_types = [*(TYPES[field.kind].sql for field in fields), *(array.sql_type for array in layout.array_columns)]
        kinds = {
            position: field.role or field.kind
            for position, field in enumerate(row_type.fields)
            if field.role == FieldRole.PROBABILITIES or (field.kind == "categorical" and field.role is None)
        }
        return cls(version.relation, names, sql_types, own, array_positions, kinds)

    def stored_values(self, row: RowValues) -> Iterator[Any]:
        """Yield the values for the columns `names`."""
        for position in self.own:
            yield self._stored(position, row[position])
        for array, positions in self.array_positions:
            values = [None if position is None else self._stored(position, row[position]) for position in positions]
            yield [math.nan if value is None else float(value) for value in values] if array == NUMBERS else values

    def _stored(self, position: int, value: Any) -> Any:
        """Return a value as samples have it: categories in their normal spelling, percent as probabilities."""
        if value is None or position not in self.kinds:
            return value
        return normalize(value) if self.kinds[position] == "categorical" else probabilities.share(value)


def _copy(session: Session, copied: _ReferenceCopy, rows: Iterable[RowValues], first: int) -> int:
    """COPY rows with positions from `first` on, and return how many."""
    names = ", ".join(copied.names)
    target = f"copy reference_{copied.relation} (revision, _dc_position, {HASH}, {names}) from stdin (format binary)"
    position = first - 1
    with db.copy(session, target) as copy:
        copy.set_types(["int4", "int4", "int4", *copied.sql_types])
        for position, row in enumerate(rows, first):
            copy.write_row((0, position, _hash(position), *copied.stored_values(row)))
    return position - first + 1


def _hash(position: int) -> int:
    """Return 31 bits that order reference rows for the deterministic sample. Reference rows have no id to do this."""
    return int.from_bytes(blake2b(position.to_bytes(8), digest_size=4).digest()) >> 1
