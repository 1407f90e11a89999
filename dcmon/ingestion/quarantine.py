"""Rows that could not be stored: kept as they came, with the reason.

A bad row is known by its bytes: the same row again is a duplicate, as it is for rows that can be stored. So neither a
replay nor a client that repeats a request, which it must when the answer was lost, puts it in here twice.
"""

import json
import re
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db.tables.org import IngestedFile, Model, Quarantined, Version
from dcmon.ingestion.row_batch import RowBatch
from dcmon.ingestion.row_decoder import RejectedRow
from dcmon.storage.columns import SAMPLE_ID

REASONS = frozenset(
    {"missing_feature", "unknown_field", "wrong_type", "wrong_length", "out_of_range", "malformed", "nul_character",
     "unknown_class", "too_long", "future_timestamp", "too_old", "conflict", "refused"}
)  # fmt: skip
FILE_SOURCE_PREFIX, LABELS_SOURCE_SUFFIX = (
    "file/",
    "/labels",
)  # around a file's mark in the source of its rows (dcmon.ingestion.files.loader.row_source)
ID_WRITTEN = re.compile(rb'"%b"\s*:\s*("(?:[^"\\]|\\.)*+")' % SAMPLE_ID.encode(), re.DOTALL)


@dataclass(frozen=True)
class BadRow:
    """A row that can't be stored: where and when it came, its bytes, why, in which field, in words.

    `sample_id`: when it is known and can't be read from the bytes alone.
    """

    source: str
    position: int
    logged_at: datetime
    row: bytes
    reason: str
    field: str | None
    detail: str
    sample_id: str | None = None


def bad_row(delivery: RowBatch, at: int, why: RejectedRow) -> BadRow:
    """The row at this place of a delivery, which can't be stored."""
    position = delivery.first_position + at
    return BadRow(
        delivery.source, position, delivery.logged_at, bytes(delivery.rows[at]), why.reason, why.field, why.detail
    )


def add(
    session: Session,
    model: Model,
    version: Version | None,
    kind: str,
    bad: Sequence[BadRow],
) -> int:
    """Keep bad rows of `kind` samples or labels; returns how many were not there yet."""
    if not bad:
        return 0
    values = [
        {
            "model_id": model.id,
            "version_id": version.id if version else None,
            "kind": kind,
            "sample_id": _text(each.sample_id and each.sample_id[:1024]) or _sample_id(each.row),
            "reason": each.reason,
            "field": _text(each.field),
            "detail": _text(each.detail),
            "row": each.row,
            "source": each.source,
            "position": each.position,
            "logged_at": each.logged_at,
            "digest": digest,
        }
        # Sorted, so that two that keep the same rows wait for each other in turn.
        for digest, each in sorted(_digested(kind, model, version, bad).items())
    ]
    kept = session.scalars(insert(Quarantined).on_conflict_do_nothing().returning(Quarantined.id), values)
    return len(kept.all())


def not_quarantined_yet(
    session: Session, model: Model, version: Version | None, kind: str, bad: Sequence[BadRow]
) -> dict[uuid.UUID, BadRow]:
    """Those of these rows that `put` would keep, by what they are known by."""
    digested = _digested(kind, model, version, bad)
    known = set(session.scalars(select(Quarantined.digest).where(Quarantined.digest.in_(list(digested)))))
    return {digest: each for digest, each in digested.items() if digest not in known}


def _digested(kind: str, model: Model, version: Version | None, bad: Sequence[BadRow]) -> dict[uuid.UUID, BadRow]:
    """The first row of each content, by 128 bits of its target and its bytes (a migration computes them in SQL)."""
    target = f"{kind}/{model.id}/{version.id if version else ''}/".encode()
    return {uuid.UUID(bytes=sha256(target + each.row).digest()[:16]): each for each in reversed(bad)}


def _sample_id(row: bytes) -> str | None:
    """The row's id, when it can be read; also that of a row which is no JSON, by its key."""
    try:
        found = json.loads(row)
        name = found.get(SAMPLE_ID) if isinstance(found, dict) else None
    except (ValueError, RecursionError):
        name = _written_id(row)
    return _text(name[:1024]) if isinstance(name, str) else None


def _written_id(row: bytes) -> Any:
    match = ID_WRITTEN.search(row)
    try:
        return json.loads(match[1].decode(errors="replace"), strict=False) if match else None
    except ValueError:
        return None


def _text(said: str | None) -> str | None:
    """What PostgreSQL can store: the row itself, as bytes, has it as it came."""
    return None if said is None else said.replace("\0", "�").encode(errors="replace").decode()


@dataclass(frozen=True)
class QuarantineFilter:
    """Quarantined rows by what is said of them; what is None, or empty, leaves none out.

    `source`: how it begins, or the path of a file.
    """

    ids: Sequence[int] = ()
    model: str | None = None
    version: str | None = None
    reason: str | None = None
    since: datetime | None = None
    source: str | None = None

    @property
    def is_all(self) -> bool:
        return self == QuarantineFilter()


def require_known(session: Session, what: QuarantineFilter) -> None:
    """Raises NotFound for ids, a model or a version that are not there, InvalidInput for a reason that is none."""
    if what.reason is not None and what.reason not in REASONS:
        raise errors.InvalidInput(f"There is no reason {what.reason!r}: it is one of {', '.join(sorted(REASONS))}.")
    _require_names(session, what.model, what.version)
    there = set(session.scalars(select(Quarantined.id).where(Quarantined.id.in_(what.ids))))
    if missing := [str(each) for each in what.ids if each not in there]:
        raise errors.QuarantinedNotFound(name=" or ".join(missing))


def _require_names(session: Session, model: str | None, version: str | None) -> None:
    if model is not None and session.scalar(select(Model.id).where(Model.name == model)) is None:
        raise errors.ModelNotFound(name=model)
    if version is None:
        return
    found = select(Version.id).join(Model, Model.id == Version.model_id).where(Version.name == version).limit(1)
    if model is None and session.scalar(found) is None:
        raise errors.NotFound(f'No model has a version {version!r}. "dcmon model show MODEL" shows those of a model.')
    if model is not None and session.scalar(found.where(Model.name == model)) is None:
        raise errors.VersionNotFound(name=version, model=model)


def select_rows(what: QuarantineFilter) -> Any:
    """A statement for these rows, with the names of their models and versions."""
    statement = (
        select(Quarantined, Model.name, Version.name)
        .join(Model, Model.id == Quarantined.model_id)
        .join(Version, Version.id == Quarantined.version_id, isouter=True)
    )
    if what.ids:
        statement = statement.where(Quarantined.id.in_(what.ids))
    if what.since is not None:
        statement = statement.where(Quarantined.logged_at >= what.since)
    if what.source is not None:
        begins_so = Quarantined.source.startswith(what.source, autoescape=True)
        mark = FILE_SOURCE_PREFIX + IngestedFile.digest
        files = [select(said).where(IngestedFile.path == what.source) for said in (mark, mark + LABELS_SOURCE_SUFFIX)]
        statement = statement.where(or_(begins_so, *(Quarantined.source.in_(each) for each in files)))
    said = ((Model.name, what.model), (Version.name, what.version), (Quarantined.reason, what.reason))
    return statement.where(*(column == given for column, given in said if given is not None))


def summary(session: Session, what: QuarantineFilter) -> list[dict[str, Any]]:
    """Counts by model, version, kind and reason, most first, with the first and last time and an example's id."""
    found = select_rows(what).subquery()
    grouped = [found.c.name, found.c.name_1, found.c.kind, found.c.reason]
    counted = [func.count(), func.min(found.c.logged_at), func.max(found.c.logged_at), func.max(found.c.id)]
    rows = session.execute(select(*grouped, *counted).group_by(*grouped).order_by(func.count().desc(), *grouped))
    names = ("model", "version", "kind", "reason", "rows", "first", "last", "example")
    return [dict(zip(names, row, strict=True)) for row in rows]


def newest(session: Session, what: QuarantineFilter, limit: int) -> list[dict[str, Any]]:
    """The newest of these rows."""
    found = session.execute(select_rows(what).order_by(Quarantined.id.desc()).limit(limit)).all()
    paths = _paths(session, [row.source for row, _, _ in found])
    return [_described(row, model, version, paths.get(row.source)) for row, model, version in found]


def row_details(session: Session, row_id: int) -> dict[str, Any]:
    """One row with all that is known of it. Raises NotFound."""
    found = newest(session, QuarantineFilter([row_id]), 1)
    if not found:
        raise errors.QuarantinedNotFound(name=row_id)
    return found[0]


def _paths(session: Session, sources: Sequence[str]) -> dict[str, str]:
    """The paths of the files that rows came from, by source."""
    marks = {source: source.removeprefix(FILE_SOURCE_PREFIX).removesuffix(LABELS_SOURCE_SUFFIX) for source in sources}
    entries = session.scalars(select(IngestedFile).where(IngestedFile.digest.in_(set(marks.values()))))
    paths = {entry.digest: entry.path for entry in entries}
    return {source: paths[mark] for source, mark in marks.items() if mark in paths}


def _described(row: Quarantined, model: str, version: str | None, path: str | None) -> dict[str, Any]:
    return {
        "id": row.id, "model": model, "version": version, "kind": row.kind, "sample_id": row.sample_id,
        "reason": row.reason, "field": row.field, "detail": row.detail, "logged_at": row.logged_at,
        "source": row.source, "file": path, "position": row.position, "row": row.row.decode(errors="replace"),
    }  # fmt: skip


def restore_ids(session: Session, rows: Sequence[Quarantined]) -> dict[str, int]:
    """These rows were taken out and tried again: those that are there again get their ids back; counts by reason."""
    known = {(row.source, row.position): row for row in rows}
    place = tuple_(Quarantined.source, Quarantined.position)
    again = session.execute(
        select(Quarantined.id, *place.clauses, Quarantined.reason).where(place.in_(list(known)))
    ).all()
    for row_id, source, position, _ in again:
        before = known[source, position]
        named = func.coalesce(Quarantined.sample_id, before.sample_id)
        changed = update(Quarantined).where(Quarantined.id == row_id).values(id=before.id, sample_id=named)
        session.execute(changed, execution_options={"synchronize_session": False})
    return dict(Counter(reason for *_, reason in again))


def counts(session: Session, model: Model) -> dict[str, int]:
    """How many rows of a model are quarantined, by reason."""
    statement = select(Quarantined.reason, func.count()).where(Quarantined.model_id == model.id)
    return {row[0]: row[1] for row in session.execute(statement.group_by(Quarantined.reason))}
