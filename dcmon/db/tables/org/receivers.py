"""Receivers, and the outbox of their notifications."""

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from dcmon.db import encryption
from dcmon.db.tables import Logged, Org


class Webhook(Org):
    """A receiver of notifications. `kind` names its integration (notifications.integrations).

    `secret` signs messages; neither it nor `credentials` are ever shown. These, `url` and `options`, which has the
    arguments of a command, are encrypted (db.encryption) where DCMON_SECRET_KEYS has a key. `model_ids`: only alerts of
    these models (null: of all). `cap`: messages in a minute (null: unlimited). `repeat_every`: how often a firing alert
    is sent again. From `paused_at` to `paused_until` (null: until resumed) its notifications wait. `not_before`: the
    receiver asked for no message before this time.
    """

    __tablename__ = "webhooks"
    # Of the options, only the change is recorded: the arguments of commands may be secret.
    __logged__ = Logged(
        "receiver", state=("not_before",), secret=("secret", "old_secret", "credentials", "options"), url=("url",)
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str] = mapped_column(server_default="")
    kind: Mapped[str] = mapped_column(server_default="webhook")
    stored_url: Mapped[str] = mapped_column("url")
    stored_secret: Mapped[bytes] = mapped_column("secret")
    stored_old_secret: Mapped[bytes | None] = mapped_column("old_secret")
    old_secret_until: Mapped[dt.datetime | None]
    stored_options: Mapped[dict[str, Any]] = mapped_column("options", server_default=text("'{}'"))
    stored_credentials: Mapped[dict[str, str]] = mapped_column("credentials", server_default=text("'{}'"))
    severities: Mapped[list[str]]
    model_ids: Mapped[list[int] | None]
    cap: Mapped[int | None] = mapped_column(server_default="20")
    repeat_every: Mapped[dt.timedelta | None] = mapped_column(server_default=text("'24 hours'"))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    paused_at: Mapped[dt.datetime | None]
    paused_until: Mapped[dt.datetime | None]
    paused_because: Mapped[str | None]
    not_before: Mapped[dt.datetime | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    url = encryption.SecretText("stored_url")
    options = encryption.SecretJson("stored_options")
    secret = encryption.SecretBytes("stored_secret")
    old_secret = encryption.SecretBytes("stored_old_secret")
    credentials = encryption.SecretJson("stored_credentials")


class ChosenLevels(Org):
    """The severities that receivers of a channel (notification_levels) get which are added later."""

    __tablename__ = "chosen_levels"
    __logged__ = Logged("notification levels", id="channel", name="channel")
    channel: Mapped[str] = mapped_column(primary_key=True)
    severities: Mapped[list[str]]


class Notification(Org):
    """A notification in the outbox, written in the transaction that changed the alert.

    It is delivered at least once; the notifications of an alert are delivered in order. Notifications with the same
    `message_id` are sent to one receiver as one message; the id is chosen before the first try, at `tried_at`, and does
    not change. A notification with `delivered_at` or `dead_at` is finished. `is_superseded`: it has `dead_at` because
    newer notifications made it useless, not because dcmon gave it up. `left_to`: the recipients that have not received
    the message yet, if others have.
    """

    __tablename__ = "notifications"
    __logged__ = None  # a queue
    __table_args__ = (
        Index(
            "ix_notifications_pending", "due_at",
            postgresql_where=text("delivered_at is null and dead_at is null"),
        ),
        Index("ix_notifications_dead", "dead_at", postgresql_where=text("dead_at is not null")),
    )  # fmt: skip
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    position: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)
    alert_id: Mapped[int | None] = mapped_column(ForeignKey("alerts.id", ondelete="CASCADE"), index=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"), index=True)
    model_id: Mapped[int | None]
    kind: Mapped[str]
    severity: Mapped[str | None]
    body: Mapped[dict[str, Any]]
    message_id: Mapped[uuid.UUID | None] = mapped_column(index=True)
    is_digest: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    due_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    lease_until: Mapped[dt.datetime | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    tried_at: Mapped[dt.datetime | None]
    delivered_at: Mapped[dt.datetime | None]
    dead_at: Mapped[dt.datetime | None]
    is_superseded: Mapped[bool] = mapped_column(server_default=text("false"))
    held_because: Mapped[str | None]
    left_to: Mapped[list[str] | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]


class ReceiverTest(Org):
    """A test of a receiver that was asked for, and its outcome.

    A notify worker claims it until `lease_until`, and sends a message with its own settings. `host` and `pid` are those
    of the worker. A test with `finished_at` is over: it was sent, or given up.
    """

    __tablename__ = "receiver_tests"
    __logged__ = None  # a queue
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"), index=True)
    requested_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[dt.datetime]
    lease_until: Mapped[dt.datetime | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    host: Mapped[str | None]
    pid: Mapped[int | None]
    finished_at: Mapped[dt.datetime | None]
    is_delivered: Mapped[bool] = mapped_column(server_default=text("false"))
    status: Mapped[int | None]
    error: Mapped[str | None]
    seconds: Mapped[float | None]


class ReceiverProbe(Org):
    """The last probe of a receiver's address: a notify worker connects to it, and sends nothing.

    `address`: the digest of the stored URL that was probed; another one is a new address, or a new encryption of the
    same one. `failures`: probes of it that failed one after the other, since `failed_since`. `connected_at`: the last
    probe of this receiver, at this or a former address, that did not fail.
    """

    __tablename__ = "receiver_probes"
    __logged__ = None  # a result, which comes again
    webhook_id: Mapped[int] = mapped_column(
        ForeignKey("webhooks.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    address: Mapped[str]
    probed_at: Mapped[dt.datetime]
    connected_at: Mapped[dt.datetime | None]
    failed_since: Mapped[dt.datetime | None]
    failures: Mapped[int] = mapped_column(server_default="0")
    error: Mapped[str | None]
