"""Pages of quarantined rows of a model, for those who log the rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from dcmon.db.tables.org import Quarantined


class SortKey(StrEnum):
    """What pages are sorted by: the time of receipt, or the reason and its detail."""

    TIMESTAMP = "timestamp"
    ERROR = "error"


@dataclass(frozen=True)
class QuarantinePage:
    """Which quarantined rows of a model to show. None is no condition.

    `contains`: part of the reason, detail or field, in any case. Rows of labels have no version.
    """

    model_id: int
    limit: int
    offset: int = 0
    version_id: int | None = None
    contains: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    sort_key: SortKey = SortKey.TIMESTAMP
    is_ascending: bool = False


def row_ids(session: Session, page: QuarantinePage) -> list[int]:
    """Return the ids of the rows of a page, in its order."""
    return list(session.scalars(_select_ids(page)))


def _select_ids(page: QuarantinePage) -> Select[Any]:
    statement = select(Quarantined.id).where(Quarantined.model_id == page.model_id)
    if page.version_id is not None:
        statement = statement.where(Quarantined.version_id == page.version_id)
    if page.contains is not None:
        columns = (Quarantined.reason, Quarantined.detail, Quarantined.field)
        statement = statement.where(or_(*(column.icontains(page.contains, autoescape=True) for column in columns)))
    if page.since is not None:
        statement = statement.where(Quarantined.logged_at >= page.since)
    if page.until is not None:
        statement = statement.where(Quarantined.logged_at <= page.until)
    keys: tuple[Any, ...] = (Quarantined.logged_at, Quarantined.id)
    if page.sort_key is SortKey.ERROR:
        keys = (Quarantined.reason, Quarantined.detail, *keys)
    order = [key.asc() if page.is_ascending else key.desc() for key in keys]
    return statement.order_by(*order).limit(page.limit).offset(page.offset)


def read_rows(session: Session, ids: Sequence[int]) -> list[Quarantined]:
    """Return rows in the order of their ids. Those that left the quarantine meanwhile are missing."""
    rows = {row.id: row for row in session.scalars(select(Quarantined).where(Quarantined.id.in_(ids)))}
    return [rows[row_id] for row_id in ids if row_id in rows]


def count_by_model(session: Session, model_ids: Sequence[int]) -> dict[int, int]:
    """Return the numbers of quarantined rows of models; a model without any is missing."""
    counted = (
        select(Quarantined.model_id, func.count())
        .where(Quarantined.model_id.in_(model_ids))
        .group_by(Quarantined.model_id)
    )
    return {model_id: int(count) for model_id, count in session.execute(counted)}
