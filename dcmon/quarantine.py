"""Rows that could not be stored: kept as they came, with the reason, once however often they are replayed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon.arrivals import Delivery
from dcmon.columns import SAMPLE_ID
from dcmon.rows import Rejected
from dcmon.tables.org import Model, Quarantined, Version


@dataclass(frozen=True)
class Bad:
    """A row that can't be stored: where and when it came, its bytes, why, in which field, in words."""

    source: str
    position: int
    logged_at: datetime
    row: bytes
    reason: str
    field: str | None
    detail: str


def bad(delivery: Delivery, at: int, why: Rejected) -> Bad:
    """The row at this place of a delivery, which can't be stored."""
    position = delivery.first_position + at
    return Bad(
        delivery.source, position, delivery.logged_at, bytes(delivery.rows[at]), why.reason, why.field, why.detail
    )


def put(
    session: Session,
    model: Model,
    version: Version | None,
    kind: str,
    bad: Sequence[Bad],
) -> None:
    """Keep bad rows of `kind` samples or labels."""
    if not bad:
        return
    values = [
        {
            "model_id": model.id,
            "version_id": version.id if version else None,
            "kind": kind,
            "sample_id": _sample_id(each.row),
            "reason": each.reason,
            "field": _text(each.field),
            "detail": _text(each.detail),
            "row": each.row,
            "source": each.source,
            "position": each.position,
            "logged_at": each.logged_at,
        }
        for each in bad
    ]
    session.execute(insert(Quarantined).on_conflict_do_nothing(), values)


def _sample_id(row: bytes) -> str | None:
    """The row's id, when it can be read and PostgreSQL can store it."""
    try:
        found = msgspec.json.decode(row)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    name = found.get(SAMPLE_ID) if isinstance(found, dict) else None
    return _text(name[:1024]) if isinstance(name, str) else None


def _text(said: str | None) -> str | None:
    """What PostgreSQL can store: the row itself, as bytes, has it as it came."""
    return None if said is None else said.replace("\0", "�")


def counts(session: Session, model: Model) -> dict[str, int]:
    """How many rows of a model are quarantined, by reason."""
    statement = select(Quarantined.reason, func.count()).where(Quarantined.model_id == model.id)
    return {row[0]: row[1] for row in session.execute(statement.group_by(Quarantined.reason))}
