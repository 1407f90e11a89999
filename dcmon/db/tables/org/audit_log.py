"""The log of changes of an organization."""

import datetime as dt

from sqlalchemy import BigInteger, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from dcmon.db.tables import Org
from dcmon.db.tables.change_columns import ChangeColumns


class AuditLogEntry(ChangeColumns, Org):
    """A change of a row, written by a trigger (db.change_log). Entries can't be changed; prune deletes the oldest."""

    __tablename__ = "audit_log"
    __logged__ = None  # the log itself
    __table_args__ = (Index("ix_audit_log_object", "kind", "object_id"),)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[dt.datetime] = mapped_column(index=True)
