"""Quarantine: rows that could not be stored, kept unchanged, with the reason.

A bad row is identified by its bytes: the same row again is a duplicate, as it is with stored rows. So a row is
quarantined once, even if messages are read again, or if a client repeats a request because the response was lost.
"""

import json
import re
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy import func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db.tables.org import IngestedFile, Model, Quarantined, Version
from dcmon.ingestion.field_value import field_value
from dcmon.ingestion.rejected_row import RejectedRow, RejectionReason
from dcmon.ingestion.row_batch import RowBatch
from dcmon.nearest import meant
from dcmon.storage.columns import SAMPLE_ID

# Prefix and suffix of a file's digest in the source of its rows (dcmon.ingestion.files.file_target.row_source).
FILE_SOURCE_PREFIX, LABELS_SOURCE_SUFFIX = "file/", "/labels"
MAX_SAMPLE_ID_LENGTH = 1024
ID_IN_TEXT = re.compile(rb'"%b"\s*:\s*("(?:[^"\\]|\\.)*+")' % SAMPLE_ID.encode(), re.DOTALL)


class QuarantineTarget(NamedTuple):
    """The target of quarantined rows. `kind` is the text of a RowKind. `version_id` is None for labels."""

    kind: str
    model_id: int
    version_id: int | None


@dataclass(frozen=True)
class BadRow:
    """A row that can't be stored, with the reason code, the field and a message.

    `sample_id` is set if the id is known but can't be read from the bytes alone.
    """

    source: str
    position: int
    logged_at: datetime
    row: bytes
    reason: RejectionReason
    field: str | None
    detail: str
    sample_id: str | None = None


def bad_row(batch: RowBatch, position: int, rejected: RejectedRow) -> BadRow:
    """Return the row at this position of a batch as a bad row."""
    is_of_file = batch.source.startswith(FILE_SOURCE_PREFIX)
    return BadRow(
        batch.source,
        batch.first_position + position,
        batch.logged_at,
        bytes(batch.rows[position]),
        rejected.reason,
        rejected.field,
        rejected.file_detail if is_of_file else rejected.detail,
    )


def add(session: Session, target: QuarantineTarget, rows: Sequence[BadRow]) -> int:
    """Quarantine bad rows, and return how many were not quarantined before."""
    if not rows:
        return 0
    values = [
        {
            "model_id": target.model_id,
            "version_id": target.version_id,
            "kind": target.kind,
            "sample_id": _storable(row.sample_id and row.sample_id[:MAX_SAMPLE_ID_LENGTH]) or _sample_id(row.row),
            "reason": row.reason,
            "field": _storable(row.field),
            "detail": _storable(row.detail),
            "row": row.row,
            "source": row.source,
            "position": row.position,
            "logged_at": row.logged_at,
            "digest": digest,
        }
        # In order of digest: two transactions that quarantine the same rows must not deadlock.
        for digest, row in sorted(_by_digest(target, rows).items())
    ]
    added = session.scalars(insert(Quarantined).on_conflict_do_nothing().returning(Quarantined.id), values)
    return len(added.all())


def new_rows_by_digest(session: Session, target: QuarantineTarget, rows: Sequence[BadRow]) -> dict[uuid.UUID, BadRow]:
    """Return the rows that `add` would quarantine, by digest."""
    by_digest = _by_digest(target, rows)
    known = set(session.scalars(select(Quarantined.digest).where(Quarantined.digest.in_(list(by_digest)))))
    return {digest: row for digest, row in by_digest.items() if digest not in known}


def _by_digest(target: QuarantineTarget, rows: Sequence[BadRow]) -> dict[uuid.UUID, BadRow]:
    """Return the first row of each content, by a 128-bit digest of target and bytes.

    A migration computes the same digest in SQL.
    """
    prefix = f"{target.kind}/{target.model_id}/{target.version_id or ''}/".encode()
    return {uuid.UUID(bytes=sha256(prefix + row.row).digest()[:16]): row for row in reversed(rows)}


def _sample_id(row: bytes) -> str | None:
    """Return the row's id if it can be read. The row may be invalid JSON."""
    try:
        fields = json.loads(row)
        sample_id = fields.get(SAMPLE_ID) if isinstance(fields, dict) else None
    except (ValueError, RecursionError):
        sample_id = _id_in_text(row)
    return _storable(sample_id[:MAX_SAMPLE_ID_LENGTH]) if isinstance(sample_id, str) else None


def _id_in_text(row: bytes) -> Any:
    match = ID_IN_TEXT.search(row)
    try:
        return json.loads(match[1].decode(errors="replace"), strict=False) if match else None
    except ValueError:
        return None


def _storable(text: str | None) -> str | None:
    """Replace characters that PostgreSQL's text can't hold. The row itself is stored as bytes, unchanged."""
    return None if text is None else text.replace("\0", "�").encode(errors="replace").decode()


@dataclass(frozen=True)
class QuarantineFilter:
    """Conditions on quarantined rows, all of which must hold. None, or an empty `ids`, is no condition.

    `source` is the beginning of a source, or the path of a file.
    """

    ids: Sequence[int] = ()
    model: str | None = None
    version: str | None = None
    reason: str | None = None
    since: datetime | None = None
    source: str | None = None
    until: datetime | None = None

    @property
    def is_all(self) -> bool:
        """True if there is no condition, so that every quarantined row matches."""
        return self == QuarantineFilter()


def require_known(session: Session, rows: QuarantineFilter) -> None:
    """Check that the ids, model, version and reason of a filter exist. Raises NotFound or InvalidInput."""
    if rows.reason is not None and rows.reason not in list(RejectionReason):
        raise errors.UnknownChoice("reason", rows.reason, sorted(RejectionReason))
    _require_names(session, rows.model, rows.version)
    existing = set(session.scalars(select(Quarantined.id).where(Quarantined.id.in_(rows.ids))))
    if missing := [str(row_id) for row_id in rows.ids if row_id not in existing]:
        raise errors.QuarantinedNotFound(name=" or ".join(missing))


def _require_names(session: Session, model: str | None, version: str | None) -> None:
    if model is not None and session.scalar(select(Model.id).where(Model.name == model)) is None:
        raise errors.ModelNotFound(name=model, known=session.scalars(select(Model.name)))
    if version is None:
        return
    version_id = select(Version.id).join(Model, Model.id == Version.model_id).where(Version.name == version).limit(1)
    if model is None and session.scalar(version_id) is None:
        raise errors.NotFound(
            f"No model has a version {version!r}.{meant(version, session.scalars(select(Version.name).distinct()))}"
            ' "dcmon version list" lists the versions of all models.'
        )
    if model is not None and session.scalar(version_id.where(Model.name == model)) is None:
        versions = select(Version.name).join(Model, Model.id == Version.model_id).where(Model.name == model)
        raise errors.VersionNotFound(name=version, model=model, known=session.scalars(versions))


def select_rows(rows: QuarantineFilter) -> Any:
    """Return a statement that selects matching rows with the names of models and versions."""
    statement = (
        select(Quarantined, Model.name, Version.name)
        .join(Model, Model.id == Quarantined.model_id)
        .join(Version, Version.id == Quarantined.version_id, isouter=True)
    )
    if rows.ids:
        statement = statement.where(Quarantined.id.in_(rows.ids))
    if rows.since is not None:
        statement = statement.where(Quarantined.logged_at >= rows.since)
    if rows.until is not None:
        statement = statement.where(Quarantined.logged_at < rows.until)
    if rows.source is not None:
        has_prefix = Quarantined.source.startswith(rows.source, autoescape=True)
        source = FILE_SOURCE_PREFIX + IngestedFile.digest
        file_sources = (source, source + LABELS_SOURCE_SUFFIX)
        of_file = [select(file_source).where(IngestedFile.path == rows.source) for file_source in file_sources]
        statement = statement.where(or_(has_prefix, *(Quarantined.source.in_(sources) for sources in of_file)))
    exact = ((Model.name, rows.model), (Version.name, rows.version), (Quarantined.reason, rows.reason))
    return statement.where(*(column == value for column, value in exact if value is not None))


def summary(session: Session, rows: QuarantineFilter) -> list[dict[str, Any]]:
    """Count rows by model, version, kind and reason. Add the first and last time, and the newest row as an example.

    The largest counts come first.
    """
    matching = select_rows(rows).subquery()
    grouped = [matching.c.name, matching.c.name_1, matching.c.kind, matching.c.reason]
    counted = [func.count(), func.min(matching.c.logged_at), func.max(matching.c.logged_at), func.max(matching.c.id)]
    counts = session.execute(select(*grouped, *counted).group_by(*grouped).order_by(func.count().desc(), *grouped))
    names = ("model", "version", "kind", "reason", "rows", "first", "last", "example")
    groups = [dict(zip(names, values, strict=True)) for values in counts]
    with_ids = select(Quarantined).where(Quarantined.id.in_([group["example"] for group in groups]))
    examples = {row.id: row for row in session.scalars(with_ids)}
    return [group | _met(examples[group["example"]]) for group in groups]


def _met(row: Quarantined) -> dict[str, Any]:
    """Return what was wrong with a row: the field, the value that was met, and a sentence."""
    return {"field": row.field, "value": field_value(row.row, row.field), "detail": row.detail}


def newest_rows(session: Session, rows: QuarantineFilter, limit: int) -> list[dict[str, Any]]:
    """Return the newest matching rows, as rows of the command's output."""
    matching = session.execute(select_rows(rows).order_by(Quarantined.id.desc()).limit(limit)).all()
    paths = _file_paths(session, [row.source for row, _, _ in matching])
    return [_output_row(row, model, version, paths.get(row.source)) for row, model, version in matching]


def row_details(session: Session, row_id: int) -> dict[str, Any]:
    """Return one row as a row of the command's output. Raises NotFound."""
    rows = newest_rows(session, QuarantineFilter([row_id]), 1)
    if not rows:
        raise errors.QuarantinedNotFound(name=row_id)
    return rows[0]


def _file_paths(session: Session, sources: Sequence[str]) -> dict[str, str]:
    """Return the paths of the files that rows came from, by source."""
    digests = {source: source.removeprefix(FILE_SOURCE_PREFIX).removesuffix(LABELS_SOURCE_SUFFIX) for source in sources}
    files = session.scalars(select(IngestedFile).where(IngestedFile.digest.in_(set(digests.values()))))
    paths = {file.digest: file.path for file in files}
    return {source: paths[digest] for source, digest in digests.items() if digest in paths}


def _output_row(row: Quarantined, model: str, version: str | None, path: str | None) -> dict[str, Any]:
    return {
        "id": row.id, "model": model, "version": version, "kind": row.kind, "sample_id": row.sample_id,
        "reason": row.reason, **_met(row), "logged_at": row.logged_at,
        "source": row.source, "file": path, "position": row.position, "row": row.row.decode(errors="replace"),
    }  # fmt: skip


def restore_ids(session: Session, rows: Sequence[Quarantined]) -> dict[str, int]:
    """Restore the ids of rows that were quarantined again after a retry. Count these rows by reason."""
    before = {(row.source, row.position): row for row in rows}
    key = tuple_(Quarantined.source, Quarantined.position)
    again = session.execute(select(Quarantined.id, *key.clauses, Quarantined.reason).where(key.in_(list(before)))).all()
    for row_id, source, position, _ in again:
        row = before[source, position]
        sample_id = func.coalesce(Quarantined.sample_id, row.sample_id)
        changed = update(Quarantined).where(Quarantined.id == row_id).values(id=row.id, sample_id=sample_id)
        session.execute(changed, execution_options={"synchronize_session": False})
    return dict(Counter(reason for *_, reason in again))


def counts_by_reason(session: Session, model: Model) -> dict[str, int]:
    """Count the quarantined rows of a model by reason."""
    statement = select(Quarantined.reason, func.count()).where(Quarantined.model_id == model.id)
    return {row[0]: row[1] for row in session.execute(statement.group_by(Quarantined.reason))}
