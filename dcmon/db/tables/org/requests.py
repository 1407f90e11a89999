"""Requests that are carried out once."""

import datetime as dt

from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

from dcmon.db.tables import Org


class IdempotencyKey(Org):
    """The key of a request, and its answer; without `status` the request is in progress since `claimed_at`."""

    __tablename__ = "idempotency_keys"
    __logged__ = None  # what the request itself changes is recorded
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    claimed_at: Mapped[dt.datetime]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now(), index=True)
    status: Mapped[int | None]
    content_type: Mapped[str | None]
    body: Mapped[bytes | None]
