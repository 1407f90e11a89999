"""Counts of a version's samples by quarter hour, and the quarantine.

Samples are in tables that are created at run time (dcmon.storage.sample_tables).
"""

import datetime as dt
import uuid

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from dcmon.db.tables import Org


class QuarterHour(Org):
    """The numbers of rows and labels of a version in a quarter hour.

    The revisions grow with each change of the rows or of the labels. `summarized_revision`: the revision of the rows
    that the version's statistics have.
    """

    __tablename__ = "quarter_hours"
    __logged__ = None  # counts
    __table_args__ = (
        Index("ix_quarter_hours_touched", "version_id", "at", postgresql_where=text("is_touched")),
        {"postgresql_with": {"fillfactor": 70}},
    )
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True)
    at: Mapped[dt.datetime] = mapped_column(primary_key=True)
    n: Mapped[int]
    n_labelled: Mapped[int] = mapped_column(server_default="0")
    rows_revision: Mapped[int] = mapped_column(BigInteger, server_default="0")
    labels_revision: Mapped[int] = mapped_column(BigInteger, server_default="0")
    summarized_revision: Mapped[int] = mapped_column(BigInteger, server_default="0")
    logged_at: Mapped[dt.datetime]
    is_touched: Mapped[bool]


class Receipt(Org):
    """The number of rows that a version received in a quarter hour.

    `waited`: the longest time until one of them was stored. `revision` grows when rows arrive and when quarantined rows
    are removed.
    """

    __tablename__ = "receipts"
    __logged__ = None  # counts
    __table_args__ = (
        Index("ix_receipts_touched", "version_id", "at", postgresql_where=text("is_touched")),
        {"postgresql_with": {"fillfactor": 70}},
    )
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True)
    at: Mapped[dt.datetime] = mapped_column(primary_key=True)
    taken: Mapped[int] = mapped_column(BigInteger)
    waited: Mapped[dt.timedelta]
    revision: Mapped[int] = mapped_column(BigInteger)
    is_touched: Mapped[bool]


class Quarantined(Org):
    """A row that could not be stored, unchanged, with the reason.

    `digest` identifies the row, so that it is stored only once. It is null in rows of older releases, which identified
    a row by its source and position.
    """

    __tablename__ = "quarantine"
    __logged__ = None  # rows; what operators do is in Batch
    __table_args__ = (
        UniqueConstraint("source", "position"),
        Index("ix_quarantine_receipt", "version_id", "logged_at"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), index=True)
    version_id: Mapped[int | None] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"))
    kind: Mapped[str]
    sample_id: Mapped[str | None]
    reason: Mapped[str]
    field: Mapped[str | None]
    detail: Mapped[str]
    row: Mapped[bytes]
    source: Mapped[str]
    position: Mapped[int]
    logged_at: Mapped[dt.datetime]
    digest: Mapped[uuid.UUID | None] = mapped_column(unique=True)
