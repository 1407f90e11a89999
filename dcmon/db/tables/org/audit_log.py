"""The log of changes of an organization."""

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from dcmon.db.tables import Org


class AuditLogEntry(Org):
    """A change of a row, written by a trigger (db.change_log). Entries can't be changed; prune deletes the oldest.

    `author`, `via`, `address`, `token`, `request_id`: as in dcmon.authors.Author. `kind`, `object_id`, `name`: what
    was changed. `before`, `after`: the changed fields.
    """

    __tablename__ = "audit_log"
    __logged__ = None  # the log itself
    __table_args__ = (Index("ix_audit_log_object", "kind", "object_id"),)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[dt.datetime] = mapped_column(index=True)
    author: Mapped[str]
    via: Mapped[str]
    address: Mapped[str | None]
    token: Mapped[str | None]
    request_id: Mapped[str | None]
    action: Mapped[str]
    kind: Mapped[str]
    object_id: Mapped[str | None]
    name: Mapped[str | None]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
