"""References: rows with predictions and labels that production is compared with, in revisions."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from mmap import mmap
from typing import Any

import msgspec
from sqlalchemy import text, update
from sqlalchemy.orm import Session

from dcmon import db, errors, revisiting, sheets, storage
from dcmon import filters as data_filters
from dcmon.columns import HASH, LABEL, TIME, TYPES, quoted
from dcmon.filters import Filters
from dcmon.rows import Rejected, Shape
from dcmon.shapes import reference_shape
from dcmon.sheets import Sheet
from dcmon.tables.org import Model, Version
from dcmon.workload import Sample

LARGEST = 100_000
RARE = 0.05  # a share of the labelled rows
REFERENCE_LOCK = 4  # advisory lock space, beside those of dcmon.storage
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
        return reference_shape(storage.columns(model, version), table.names)
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
    revisiting.of_reference(session, version, datetime.now(UTC), samples_kept)
    revise = update(Version).where(Version.id == version.id).values(reference_revision=Version.reference_revision + 1)
    return int(session.scalar(revise.returning(Version.reference_revision)) or 0)


def _hash(position: int) -> int:
    """31 bits that order the fair sample of a reference, whose rows have no id."""
    return int.from_bytes(blake2b(position.to_bytes(8), digest_size=4).digest()) >> 1


def count(session: Session, version: Version) -> int:
    """How many reference rows a version has."""
    found = session.scalar(text(f"select count(*) from reference_{version.relation}"))
    return int(found or 0)


def fair_sample(
    session: Session, model: Model, version: Version, limit: int, *, labelled: bool = False, filters: Filters = None
) -> Sample:
    """The `limit` reference rows with the smallest hashes; filters and `labelled` apply before the limit.

    A reference has no times: filters on the sample's time leave it as it is.
    """
    columns = storage.columns(model, version)
    names = (*columns.model, *columns.own, LABEL)
    said = ", ".join(_column(name) for name in names)
    statement, values = _bottom(model, version, limit, labelled, filters, said)
    return Sample(names, [tuple(row) for row in session.execute(text(statement), values)])


def fair_sheet(
    session: Session,
    model: Model,
    version: Version,
    limit: int | None,
    features: Sequence[str],
    *,
    labelled: bool = False,
    filters: Filters = None,
    most: int = sheets.MOST,
) -> Sheet | None:
    """The fair sample in columns: these features, what the model said, and labels; None when there is no row."""
    kinds = storage.columns(model, version).read(features)
    said = ", ".join(f"{_column(name)} as c{position}" for position, name in enumerate(kinds))
    said += f", r.{HASH} as o1, r._dc_position as o2"
    return sheets.fetch(session, kinds, *_bottom(model, version, limit, labelled, filters, said), limit, most)


def is_unbalanced(session: Session, version: Version) -> bool:
    """Whether the reference's labels are of two classes, and one is rare: drift then weighs both alike.

    Of all rows of the reference, so it is one answer for each revision (as the system before dcmon had it).
    """
    if not version.reference_revision:
        return False
    counted = f"select count(*) from reference_{version.relation} r where r.revision = 0 and r.{LABEL} is not null"
    counts = session.scalars(text(f"{counted} group by r.{LABEL} limit 3")).all()
    return len(counts) == 2 and min(counts) <= RARE * sum(counts)


def _column(name: str) -> str:
    return f"r.{quoted(name)}".replace(":", "\\:")


def _bottom(
    model: Model, version: Version, limit: int | None, labelled: bool, filters: Filters, said: str
) -> tuple[str, dict[str, Any]]:
    known = storage.columns(model, version).filterable
    where, values = data_filters.condition(filters, known, "r", f"r.{LABEL}", (TIME,))
    wanted = f" and r.{LABEL} is not null" if labelled else ""
    statement = (
        f"select {said} from reference_{version.relation} r where r.revision = 0 and {where}{wanted}"
        f" order by r.{HASH}, r._dc_position"
    )
    return (statement, values) if limit is None else (f"{statement} limit :limit", {"limit": limit, **values})


def rows(session: Session, model: Model, version: Version, limit: int, filters: Filters = None) -> list[dict[str, Any]]:
    """Reference rows for a person, columns in sorted order."""
    sample = fair_sample(session, model, version, limit, filters=filters)
    order = sorted(sample.names)
    return [
        {name: row[name] for name in order} for row in (dict(zip(sample.names, r, strict=True)) for r in sample.rows)
    ]
