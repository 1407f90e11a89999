from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from mmap import mmap
from typing import Any

import msgspec
from sqlalchemy import text, update
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db import locks
from dcmon.db.locks import LockSpace
from dcmon.db.tables.org import Model, Version
from dcmon.ingestion.row_decoder import RejectedRow, RowType
from dcmon.ingestion.row_types import reference_row_type
from dcmon.storage import sample_tables
from dcmon.storage.columns import HASH, TYPES, quoted
from dcmon.storage.references import count

MAX_REFERENCE_ROWS = 100_000
Document = bytes | mmap


@dataclass(frozen=True)
class ReferenceTable:
    """Reference rows on their way: JSON lists in the order of `names`; JSON objects when there are none."""

    rows: Iterable[msgspec.Raw]
    names: Sequence[str] | None = None


@dataclass(frozen=True)
class ReferenceLoad:
    """What a load did: rows stored and removed, rows that are there now, and the revision that they are."""

    stored: int
    removed: int
    total: int
    revision: int


@dataclass(frozen=True)
class LoadOptions:
    """How reference rows are loaded.

    `replace`: the rows that are there are removed. `largest`: the most rows that the reference may have then.
    """

    replace: bool = False
    largest: int = MAX_REFERENCE_ROWS
    dry_run: bool = False


APPEND = LoadOptions()


class _Split(msgspec.Struct):
    """What pandas writes with to_json(orient="split", index=False)."""

    columns: list[str]
    data: list[msgspec.Raw]


def split_document(document: Document) -> ReferenceTable:
    """The rows of a document as pandas writes it, undecoded: they point into the document. Raises InvalidInput."""
    try:
        parsed = msgspec.json.decode(document, type=_Split)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.InvalidInput(f'The reference is no JSON {{"columns": […], "data": [[…]]}}: {error}') from error
    return ReferenceTable(parsed.data, parsed.columns)


def load(
    session: Session, model: Model, version: Version, table: ReferenceTable, options: LoadOptions = APPEND
) -> ReferenceLoad:
    """Append rows to the reference, or replace it: all of them, or none.

    Each row is stored as it is decoded. The caller then begins the new revision with `begin_revision`. Raises
    InvalidInput, which names row and field.
    """
    _lock(session, version)
    there = count(session, version)
    kept = 0 if options.replace else there
    shape = _shape(model, version, table)
    has = f"of version {version.name!r} has {kept} rows, and at most {options.largest}"
    rows = _decoded(table, shape, options.largest - kept, has)
    next_revision = version.reference_revision + 1
    if options.dry_run:
        stored = sum(1 for _ in rows)
        return ReferenceLoad(stored, there - kept, kept + stored, next_revision)
    if options.replace:
        session.execute(text(f"delete from reference_{version.relation}"))
    stored = _copy(session, version, shape, rows, kept)
    return ReferenceLoad(stored, there - kept, kept + stored, next_revision)


def clear(session: Session, version: Version) -> ReferenceLoad:
    """Remove all rows of the reference. The caller then begins the new revision with `begin_revision`."""
    _lock(session, version)
    removed = count(session, version)
    session.execute(text(f"delete from reference_{version.relation}"))
    return ReferenceLoad(0, removed, 0, version.reference_revision + 1)


def begin_revision(session: Session, version: Version) -> int:
    """Begin a new revision of the reference in place of the current one, and return its number.

    Results say which revision they used. This locks the version's row until the commit.
    """
    revise = update(Version).where(Version.id == version.id).values(reference_revision=Version.reference_revision + 1)
    return int(session.scalar(revise.returning(Version.reference_revision)) or 0)


def _lock(session: Session, version: Version) -> None:
    """One load at a time. Not by the version's row, for which ingestion would have to wait."""
    locks.acquire(session, LockSpace.REFERENCE, version.relation)


def _shape(model: Model, version: Version, table: ReferenceTable) -> RowType:
    try:
        return reference_row_type(sample_tables.columns(model, version), table.names)
    except RejectedRow as why:
        raise errors.InvalidInput(f"The reference can't be used: {why.detail}") from why


def _decoded(table: ReferenceTable, shape: RowType, most: int, has: str) -> Iterator[tuple[Any, ...]]:
    decode = shape.decode if table.names is None else shape.decode_list
    for number, row in enumerate(table.rows):
        if number >= most:
            said = f"The reference {has}: these are too many. DCMON_REFERENCE__LARGEST allows more. Nothing was stored."
            raise errors.InvalidInput(said)
        try:
            yield decode(row)
        except RejectedRow as why:
            said = why.detail.rstrip(".")
            raise errors.InvalidInput(
                f"Row {number} of the reference can't be used: {said}. Nothing was stored."
            ) from why


def _copy(session: Session, version: Version, shape: RowType, rows: Iterable[tuple[Any, ...]], first: int) -> int:
    names = ", ".join(quoted(name) for name in shape.names)
    into = f"copy reference_{version.relation} (revision, _dc_position, {HASH}, {names}) from stdin (format binary)"
    position = first - 1
    with db.copy(session, into) as copy:
        copy.set_types(["int4", "int4", "int4", *(TYPES[field.kind].sql for field in shape.fields)])
        for position, row in enumerate(rows, first):
            copy.write_row((0, position, _hash(position), *row))
    return position - first + 1


def _hash(position: int) -> int:
    """31 bits that order the fair sample of a reference, whose rows have no id."""
    return int.from_bytes(blake2b(position.to_bytes(8), digest_size=4).digest()) >> 1
