"""Tables of lineage "public"."""

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, SmallInteger, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from dcmon.db.tables import Logged, Public
from dcmon.db.tables.change_columns import ChangeColumns


class Organization(Public):
    """A tenant: its name, its PostgreSQL schema, retention terms and limits.

    `default_monitors`: the DefaultSet of new models. `model_membership`: whether members with a role below admin see
    only the models that they are members of. `max_…`: how many of these objects it may have (null: any number).
    """

    __tablename__ = "organizations"
    __logged__ = Logged("organization")
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    schema_name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    deleted_at: Mapped[dt.datetime | None]
    retention: Mapped[dt.timedelta | None]
    results_retention: Mapped[dt.timedelta | None]
    samples_per_minute: Mapped[int | None] = mapped_column(BigInteger)
    labels_per_minute: Mapped[int | None] = mapped_column(BigInteger)
    sample_bytes_per_minute: Mapped[int | None] = mapped_column(BigInteger)
    label_bytes_per_minute: Mapped[int | None] = mapped_column(BigInteger)
    default_monitors: Mapped[str] = mapped_column(server_default="all")
    model_membership: Mapped[bool] = mapped_column(server_default=text("false"))
    max_models: Mapped[int | None] = mapped_column(server_default="1000")
    max_versions_per_model: Mapped[int | None] = mapped_column(server_default="1000")
    max_monitors: Mapped[int | None] = mapped_column(server_default="50000")
    max_rules: Mapped[int | None] = mapped_column(server_default="100000")
    max_receivers: Mapped[int | None] = mapped_column(server_default="1000")
    max_tokens: Mapped[int | None] = mapped_column(server_default="1000")
    max_users: Mapped[int | None] = mapped_column(server_default="1000")


class User(Public):
    """A person, identified by an e-mail address."""

    __tablename__ = "users"
    __logged__ = None  # belongs to no organization; Member has the e-mail
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    full_name: Mapped[str | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Member(Public):
    """A user's role in an organization (tenancy.permissions.Role)."""

    __tablename__ = "members"
    __logged__ = Logged("member", id="user_id", name="user_id")
    org_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str]


class Token(Public):
    """An API token. Only its SHA-256 is stored; the prefix identifies it in lists.

    `bcrypt_hash`: of a token that was imported without its text; the first use replaces it with the SHA-256. `scope`:
    tenancy.permissions.Scope. `highest_role`: it permits no more than this role, also if its user has more (null:
    no limit); it is the role of another person who made the token.
    """

    __tablename__ = "tokens"
    __logged__ = Logged("token", state=("last_used_at",), secret=("digest", "bcrypt_hash"))
    id: Mapped[int] = mapped_column(primary_key=True)
    org_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    prefix: Mapped[str] = mapped_column(unique=True)
    digest: Mapped[bytes]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[dt.datetime | None]
    revoked_at: Mapped[dt.datetime | None]
    last_used_at: Mapped[dt.datetime | None]
    scope: Mapped[str] = mapped_column(server_default="full")
    bcrypt_hash: Mapped[str | None]
    highest_role: Mapped[str | None]


class Invitation(Public):
    """A code that turns the person with an e-mail address into a member once. Only the code's SHA-256 is stored.

    `highest_role`: of the first token; the role of the person who invited (null: an operator, no limit).
    """

    __tablename__ = "invitations"
    __logged__ = Logged("invitation", name="email", secret=("digest",))
    __table_args__ = (UniqueConstraint("org_id", "email"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    org_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    email: Mapped[str]
    role: Mapped[str]
    digest: Mapped[bytes] = mapped_column(unique=True)
    invited_by: Mapped[str]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[dt.datetime]
    highest_role: Mapped[str | None]


class FailedLogin(Public):
    """How many log-ins failed in an hour, in all processes of the endpoint."""

    __tablename__ = "failed_logins"
    __logged__ = None  # a count
    hour: Mapped[dt.datetime] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)


class OrganizationHealth(Public):
    """What a health check read of an organization at `read_at` (health.organization_healths).

    `changes`: how many changes of rows PostgreSQL had counted in the tables that it reads.
    """

    __tablename__ = "organization_health"
    __logged__ = None  # is read again each few minutes
    org_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    read_at: Mapped[dt.datetime]
    changes: Mapped[int] = mapped_column(BigInteger)
    health: Mapped[dict[str, Any]]


class WorkQueueEntry(Public):
    """A hint that an organization has work from `due_at` on.

    `kind`: 0 evaluate, 1 notify. The hint has no data of the organization itself.
    """

    __tablename__ = "work_queue"
    __logged__ = None  # a queue
    __table_args__ = ({"postgresql_with": {"fillfactor": 40}},)
    org_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    due_at: Mapped[dt.datetime | None]
    served_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    seq: Mapped[int] = mapped_column(BigInteger, server_default="1")


class CommittedOffset(Public):
    """The offset of a partition below which all messages are stored, parked or dead-lettered."""

    __tablename__ = "committed_offsets"
    __logged__ = None  # progress
    topic_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    partition: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    next_offset: Mapped[int] = mapped_column(BigInteger)


class IngestTopic(Public):
    """The id that a topic had when it was first read.

    Another id under the same name is another topic: the topic was created again.
    """

    __tablename__ = "ingest_topics"
    __logged__ = None  # progress
    name: Mapped[str] = mapped_column(primary_key=True)
    topic_id: Mapped[uuid.UUID]
    seen_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class IngestSpan(Public):
    """A line in the ledger of committed offsets: a move of an offset.

    `messages` maps the ids of organizations to the numbers of their messages; `dead` is the number of dead letters.
    """

    __tablename__ = "ingest_spans"
    __logged__ = None  # progress
    __table_args__ = (
        Index("ix_ingest_spans_partition", "topic_id", "partition", "id"),
        Index("ix_ingest_spans_seek", "topic_id", "partition", "id", postgresql_where=text("action = 'seek'")),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    action: Mapped[str] = mapped_column(server_default="ingest")
    topic_id: Mapped[uuid.UUID]
    partition: Mapped[int]
    first_offset: Mapped[int] = mapped_column(BigInteger)
    next_offset: Mapped[int] = mapped_column(BigInteger)
    messages: Mapped[dict[str, Any]]
    dead: Mapped[int] = mapped_column(server_default="0")
    by: Mapped[str | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class ParkedMessage(Public):
    """A message of one organization that could not be stored, and is retried.

    Messages of other organizations do not wait for it. `seek` is the last seek of its partition before it was read.
    """

    __tablename__ = "parked_messages"
    __logged__ = None  # a queue
    topic_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    partition: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at_offset: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    org_id: Mapped[int] = mapped_column(index=True)
    body: Mapped[bytes]
    reason: Mapped[str]
    seek: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, server_default="0")
    parked_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class DeadLetter(Public):
    """A message that can't be read, with the reason.

    It is identified by its partition, its offset and its bytes. `resolution`: what an operator did with it at
    `resolved_at` (ingestion.dead_letters.Resolution); then its body is removed, and the row stays for the audit.
    """

    __tablename__ = "dead_letters"
    __logged__ = None  # a queue
    __table_args__ = (
        Index(
            "uq_dead_letters_place", "topic_id", "partition", "at_offset", text("sha256(coalesce(body, '\\x'))"),
            unique=True,
        ),
    )  # fmt: skip
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    topic: Mapped[str] = mapped_column(server_default="")
    topic_id: Mapped[uuid.UUID]
    partition: Mapped[int]
    at_offset: Mapped[int] = mapped_column(BigInteger)
    body: Mapped[bytes | None]
    reason: Mapped[str]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    sent_at: Mapped[dt.datetime | None]
    resolved_at: Mapped[dt.datetime | None]
    resolution: Mapped[str | None]
    resolved_by: Mapped[str | None]

    @property
    def headers(self) -> dict[str, bytes]:
        """Return the message's topic, partition, offset and reason as Kafka headers."""
        values = {"topic": self.topic, "partition": self.partition, "offset": self.at_offset, "reason": self.reason}
        return {f"dcmon.{name}": str(value).encode() for name, value in values.items()}


class Worker(Public):
    """A process that runs a part of dcmon, and its last process heartbeat.

    `seen_at`: the last heartbeat; `polled_at`: the last poll of its loop; `ended_at`: the time of a regular stop.
    """

    __tablename__ = "workers"
    __logged__ = None  # heartbeats
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    host: Mapped[str]
    pid: Mapped[int]
    is_leading: Mapped[bool] = mapped_column(server_default=text("false"))
    started_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    polled_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[dt.datetime | None]


class SchedulerRun(Public):
    """A periodic job of the leader, with its last run and the outcome."""

    __tablename__ = "scheduler_runs"
    __logged__ = None  # progress
    name: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[dt.datetime]
    succeeded_at: Mapped[dt.datetime | None]
    failed_at: Mapped[dt.datetime | None]
    message: Mapped[str | None]


class SigningKey(Public):
    """A random key that signs what has a purpose, where DCMON_SECRET_KEYS has no key. No backup or export has it."""

    __tablename__ = "signing_keys"
    __logged__ = None  # it never changes
    purpose: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[bytes]


class KnownProblem(Public):
    """A problem of dcmon itself, with its start and the time of its notification."""

    __tablename__ = "problems"
    __logged__ = None  # found by dcmon itself
    name: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    severity: Mapped[str]
    sentence: Mapped[str]
    command: Mapped[str]
    since: Mapped[dt.datetime]
    notified_at: Mapped[dt.datetime | None]


class AuditLogEntry(ChangeColumns, Public):
    """A change of an organization, its members or its tokens.

    It has no foreign key: the deletion of an organization stays recorded.
    """

    __tablename__ = "audit_log"
    __logged__ = None  # the log itself
    __table_args__ = (Index("ix_audit_log_organization", "org_id", "at"),)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    org_id: Mapped[int]
    at: Mapped[dt.datetime] = mapped_column(index=True)
