from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from mmap import mmap
from typing import Any

import msgspec
from sqlalchemy import text, update
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db.tables.org import Model, Version
from dcmon.ingestion.row_decoder import Rejected, Shape
from dcmon.ingestion.row_types import reference_shape
from dcmon.storage import sample_tables
from dcmon.storage.columns import HASH, TYPES, quoted
from dcmon.storage.references import count

LARGEST = 100_000
REFERENCE_LOCK = 4  # advisory lock space, beside those of dcmon.storage.sample_tables
Document = bytes | mmap


@dataclass(frozen=True)
class Table:
    """Reference rows on their way: JSON lists in the order of `names`; JSON objects when there are none."""

    rows: Iterable[msgspec.Raw]
    names: Sequence[str] | None = None


@dataclass(frozen=True)
class Loaded:
    """What a load did: rows stored and removed, rows that are there now, and the revision that they are."""

    stored: int
    removed: int
    total: int
    revision: int


class _Split(msgspec.Struct):
    """What pandas writes with to_json(orient="split", index=False)."""

    columns: list[str]
    data: list[msgspec.Raw]


def split(document: Document) -> Table:
    """The rows of a document as pandas writes it, undecoded: they point into the document. Raises InvalidInput."""
    try:
        parsed = msgspec.json.decode(document, type=_Split)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.InvalidInput(f'The reference is no JSON {{"columns": […], "data": [[…]]}}: {error}') from error
    return Table(parsed.data, parsed.columns)


def take(session: Session, model: Model, version: Version, document: Document) -> int:
    """Append the rows of a document as pandas writes it, all or none; returns how many. Raises InvalidInput."""
    return load(session, model, version, split(document)).stored


def load(
    session: Session,
    model: Model,
    version: Version,
    table: Table,
    *,
    replace: bool = False,
    largest: int = LARGEST,
    dry_run: bool = False,
    samples_kept: timedelta | None = None,
) -> Loaded:
    """Append rows to the reference, or put them in its place: all of them, or none. A row is stored as it is decoded.

    It makes a new revision of the whole: results say which they used, and the last windows become due again, but for
    those that begin before the retention (`samples_kept`: the organization's). Raises InvalidInput, which names row and
    field.
    """
    _lock(session, version)
    there = count(session, version)
    kept = 0 if replace else there
    shape = _shape(model, version, table)
    rows = _decoded(table, shape, largest - kept, f"of version {version.name!r} has {kept} rows, and at most {largest}")
    if dry_run:
        stored = sum(1 for _ in rows)
        return Loaded(stored, there - kept, kept + stored, version.reference_revision + 1)
    if replace:
        session.execute(text(f"delete from reference_{version.relation}"))
    stored = _copy(session, version, shape, rows, kept)
    return Loaded(stored, there - kept, kept + stored, _revise(session, version, samples_kept))


def clear(session: Session, version: Version, samples_kept: timedelta | None = None) -> Loaded:
    """Remove all rows of the reference: a new revision, without any. `samples_kept`: the organization's retention."""
    _lock(session, version)
    removed = count(session, version)
    session.execute(text(f"delete from reference_{version.relation}"))
    return Loaded(0, removed, 0, _revise(session, version, samples_kept))


def _lock(session: Session, version: Version) -> None:
    """One load at a time. Not by the version's row, for which ingestion would have to wait."""
    lock = text("select pg_advisory_xact_lock(:space, :version)")
    session.execute(lock, {"space": REFERENCE_LOCK, "version": version.relation})


def _shape(model: Model, version: Version, table: Table) -> Shape:
    try:
        return reference_shape(sample_tables.columns(model, version), table.names)
    except Rejected as why:
        raise errors.InvalidInput(f"The reference can't be used: {why.detail}") from why


def _decoded(table: Table, shape: Shape, most: int, has: str) -> Iterator[tuple[Any, ...]]:
    decode = shape.decode if table.names is None else shape.decode_list
    for number, row in enumerate(table.rows):
        if number >= most:
            said = f"The reference {has}: these are too many. DCMON_REFERENCE__LARGEST allows more. Nothing was stored."
            raise errors.InvalidInput(said)
        try:
            yield decode(row)
        except Rejected as why:
            said = why.detail.rstrip(".")
            raise errors.InvalidInput(
                f"Row {number} of the reference can't be used: {said}. Nothing was stored."
            ) from why


def _copy(session: Session, version: Version, shape: Shape, rows: Iterable[tuple[Any, ...]], first: int) -> int:
    names = ", ".join(quoted(name) for name in shape.names)
    into = f"copy reference_{version.relation} (revision, _dc_position, {HASH}, {names}) from stdin (format binary)"
    position = first - 1
    with db.copy(session, into) as copy:
        copy.set_types(["int4", "int4", "int4", *(TYPES[field.kind].sql for field in shape.fields)])
        for position, row in enumerate(rows, first):
            copy.write_row((0, position, _hash(position), *row))
    return position - first + 1


def _revise(session: Session, version: Version, samples_kept: timedelta | None) -> int:
    revise = update(Version).where(Version.id == version.id).values(reference_revision=Version.reference_revision + 1)
    return int(session.scalar(revise.returning(Version.reference_revision)) or 0)


def _hash(position: int) -> int:
    """31 bits that order the fair sample of a reference, whose rows have no id."""
    return int.from_bytes(blake2b(position.to_bytes(8), digest_size=4).digest()) >> 1
