"""References: rows with predictions and labels that production is compared with, in revisions."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon import db, errors, storage
from dcmon import filters as data_filters
from dcmon.columns import HASH, LABEL, TYPES, Columns, quoted
from dcmon.filters import Filters
from dcmon.reading import Sample
from dcmon.rows import Rejected, Shape, reference_shape
from dcmon.tables.org import Model, Version

LARGEST = 100_000


class _Document(msgspec.Struct):
    """What pandas writes with to_json(orient="split", index=False)."""

    columns: list[str]
    data: list[msgspec.Raw]


def take(session: Session, model: Model, version: Version, document: bytes) -> int:
    """Append a document's rows to the reference, all or none; returns how many.

    A further upload makes a new revision of the whole: results say which they used. Raises InvalidInput, which names
    row and field.
    """
    rows, shape = _decode(document, storage.columns(model, version))
    session.execute(text("select 1 from versions where id = :id for update"), {"id": version.id})
    there = count(session, version)
    if there + len(rows) > LARGEST:
        raise errors.InvalidInput(
            f"Version {version.name!r} has {there} reference rows; {len(rows)} more would pass the limit of {LARGEST}."
        )
    _copy(session, version, shape, rows, there)
    revised = "update versions set reference_revision = reference_revision + 1 where id = :id"
    session.execute(text(revised), {"id": version.id})
    return len(rows)


def _decode(document: bytes, columns: Columns) -> tuple[list[tuple[Any, ...]], Shape]:
    try:
        parsed = msgspec.json.decode(document, type=_Document)
        shape = reference_shape(columns, parsed.columns)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.InvalidInput(f'The reference is no JSON {{"columns": […], "data": [[…]]}}: {error}') from error
    except Rejected as why:
        raise errors.InvalidInput(f"The reference can't be used: {why.detail}") from why
    return [_row(number, row, shape, columns) for number, row in enumerate(parsed.data)], shape


def _row(number: int, row: msgspec.Raw, shape: Shape, columns: Columns) -> tuple[Any, ...]:
    try:
        return shape.decode_list(row)
    except Rejected as why:
        raise errors.InvalidInput(
            f"Row {number} of the reference can't be used: {why.detail} Nothing was stored."
        ) from why


def _copy(session: Session, version: Version, shape: Shape, rows: Sequence[tuple[Any, ...]], first: int) -> None:
    names = ", ".join(quoted(name) for name in shape.names)
    into = f"copy reference_{version.relation} (revision, _dc_position, {HASH}, {names}) from stdin (format binary)"
    with db.copy(session, into) as copy:
        copy.set_types(["int4", "int4", "int4", *(TYPES[field.kind].sql for field in shape.fields)])
        for position, row in enumerate(rows, first):
            copy.write_row((0, position, _hash(position), *row))


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
    """The `limit` reference rows with the smallest hashes; filters and `labelled` apply before the limit."""
    columns = storage.columns(model, version)
    names = (*columns.model, *columns.own, LABEL)
    where, values = data_filters.condition(filters, columns.all, "r", f"r.{LABEL}")
    said = ", ".join(f"r.{quoted(name)}".replace(":", "\\:") for name in names)
    wanted = f" and r.{LABEL} is not null" if labelled else ""
    found = session.execute(
        text(
            f"select {said} from reference_{version.relation} r where {where}{wanted}"
            f" order by r.{HASH}, r._dc_position limit :limit"
        ),
        {"limit": limit, **values},
    )
    return Sample(names, [tuple(row) for row in found])


def rows(session: Session, model: Model, version: Version, limit: int, filters: Filters = None) -> list[dict[str, Any]]:
    """Reference rows for a person, columns in sorted order."""
    sample = fair_sample(session, model, version, limit, filters=filters)
    order = sorted(sample.names)
    return [
        {name: row[name] for name in order} for row in (dict(zip(sample.names, r, strict=True)) for r in sample.rows)
    ]
