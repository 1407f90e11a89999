"""Tables of lineage "org". Sample, label and reference tables are made at run time (dcmon.storage)."""

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from dcmon.tables import Org


class Model(Org):
    """An ML model; the numbers in the names of its run-time tables are `relation`."""

    __tablename__ = "models"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    task_type: Mapped[str]
    description: Mapped[str | None]
    time_zone: Mapped[str] = mapped_column(server_default="UTC")
    label_ratio: Mapped[float] = mapped_column(server_default="1")
    label_delay: Mapped[dt.timedelta]
    lateness: Mapped[dt.timedelta] = mapped_column(server_default=text("'0'"))
    obj_store_path: Mapped[str | None]
    retention: Mapped[dt.timedelta | None]
    relation: Mapped[int] = mapped_column(BigInteger, unique=True)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class ModelNote(Org):
    """A remark on a model."""

    __tablename__ = "model_notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), index=True)
    title: Mapped[str]
    text: Mapped[str | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Version(Org):
    """A version of a model: its columns, and how far its samples reach (watermark: the newest sample's time)."""

    __tablename__ = "versions"
    __table_args__ = (UniqueConstraint("model_id", "name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    name: Mapped[str]
    features: Mapped[dict[str, str]]
    additional: Mapped[dict[str, str]]
    feature_importance: Mapped[dict[str, float] | None]
    classes: Mapped[list[str] | None]
    label_map: Mapped[dict[str, str] | None]
    relation: Mapped[int] = mapped_column(BigInteger, unique=True)
    layout: Mapped[int] = mapped_column(server_default="1")
    earliest: Mapped[dt.datetime | None]
    watermark: Mapped[dt.datetime | None]
    newest_logged_at: Mapped[dt.datetime | None]
    reference_revision: Mapped[int] = mapped_column(server_default="0")
    stale_at: Mapped[dt.datetime | None]  # the watermark that it had when it was said to be stale
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class QuarterHour(Org):
    """What a version has in fifteen minutes: rows, labelled rows, and revisions that grow with each touch."""

    __tablename__ = "quarter_hours"
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
    logged_at: Mapped[dt.datetime]
    is_touched: Mapped[bool]


class Check(Org):
    """A deepchecks check with its parameters."""

    __tablename__ = "checks"
    __table_args__ = (UniqueConstraint("model_id", "name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    name: Mapped[str]
    module_name: Mapped[str]
    class_name: Mapped[str]
    params: Mapped[dict[str, Any]]
    needs_labels: Mapped[bool]
    needs_reference: Mapped[bool]


class Dashboard(Org):
    """A named set of monitors."""

    __tablename__ = "dashboards"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Monitor(Org):
    """A check with a schedule, filters and choices. `revision` grows when its values would change.

    `rows`: how many it reads of a window; 0: all; null: as DCMON_EVALUATE__SAMPLE_SIZE says.
    `compared_with`: reference, or the earlier window that takes its part (dcmon.comparison).
    """

    __tablename__ = "monitors"
    id: Mapped[int] = mapped_column(primary_key=True)
    check_id: Mapped[int] = mapped_column(ForeignKey("checks.id", ondelete="CASCADE"), index=True)
    dashboard_id: Mapped[int | None] = mapped_column(ForeignKey("dashboards.id", ondelete="SET NULL"))
    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    frequency: Mapped[str]
    aggregation_window: Mapped[int]
    lookback: Mapped[dt.timedelta]
    data_filters: Mapped[dict[str, Any] | None]
    additional_kwargs: Mapped[dict[str, Any] | None]
    rows: Mapped[int | None]
    compared_with: Mapped[str] = mapped_column(server_default="reference")
    revision: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class AlertRule(Org):
    """A threshold on a monitor's value. `start_time`: the end of the first window that it judged."""

    __tablename__ = "alert_rules"
    id: Mapped[int] = mapped_column(primary_key=True)
    monitor_id: Mapped[int] = mapped_column(ForeignKey("monitors.id", ondelete="CASCADE"), index=True)
    operator: Mapped[str]
    threshold: Mapped[float]
    severity: Mapped[str]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    start_time: Mapped[dt.datetime | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class DueWindow(Org):
    """A version's window that waits for evaluation: the row is the queue, a lease is the claim.

    `is_first`: nobody evaluated it before; `is_backfill`: its rows were logged long after it was over.
    """

    __tablename__ = "due_windows"
    __table_args__ = (Index("ix_due_windows_due_at", "due_at"),)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True)
    window_start: Mapped[dt.datetime] = mapped_column(primary_key=True)
    window_end: Mapped[dt.datetime] = mapped_column(primary_key=True)
    due_at: Mapped[dt.datetime]
    touched_at: Mapped[dt.datetime]
    lease_until: Mapped[dt.datetime | None]
    token: Mapped[uuid.UUID | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    is_first: Mapped[bool] = mapped_column(server_default=text("true"))
    is_backfill: Mapped[bool] = mapped_column(server_default=text("false"))
    waits_since: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Result(Org):
    """What a monitor found in a window of a version. The unique key, not the lease, fences a zombie evaluator.

    `how` says what it was computed from: a sample or all rows, how many were asked for, by which libraries.
    `compared_…`: the earlier window that it was compared with in place of the reference, what it had then, and its rows
    (labelled ones, for a check on labels).
    """

    __tablename__ = "results"
    __table_args__ = (
        UniqueConstraint(
            "monitor_id", "version_id", "window_start", "window_end",
            "rows_revision", "labels_revision", "reference_revision", "monitor_revision",
            "compared_rows_revision", "compared_labels_revision",
            name="uq_results_inputs",
        ),
        Index("ix_results_window", "monitor_id", "version_id", "window_end"),
        Index("ix_results_version_window", "version_id", "window_end"),
    )  # fmt: skip
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    monitor_id: Mapped[int] = mapped_column(ForeignKey("monitors.id", ondelete="CASCADE"))
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"), index=True)
    window_start: Mapped[dt.datetime]
    window_end: Mapped[dt.datetime]
    revision: Mapped[int]
    state: Mapped[str]
    metrics: Mapped[dict[str, float]]
    entries: Mapped[dict[str, float]]
    reason: Mapped[str | None]
    n: Mapped[int]
    n_rows: Mapped[int]
    n_labelled: Mapped[int]
    rows_revision: Mapped[int] = mapped_column(BigInteger)
    labels_revision: Mapped[int] = mapped_column(BigInteger)
    reference_revision: Mapped[int]
    monitor_revision: Mapped[int]
    compared_start: Mapped[dt.datetime | None]
    compared_end: Mapped[dt.datetime | None]
    compared_n: Mapped[int] = mapped_column(server_default="0")
    compared_rows_revision: Mapped[int] = mapped_column(BigInteger, server_default="0")
    compared_labels_revision: Mapped[int] = mapped_column(BigInteger, server_default="0")
    duration: Mapped[dt.timedelta]
    how: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    computed_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Alert(Org):
    """One span of bad windows of a version under a rule, from its first window to its last."""

    __tablename__ = "alerts"
    __table_args__ = (Index("ix_alerts_rule", "rule_id", "version_id", "first_window_end"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    rule_id: Mapped[int] = mapped_column(ForeignKey("alert_rules.id", ondelete="CASCADE"))
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"), index=True)
    state: Mapped[str]
    severity: Mapped[str]
    first_window_start: Mapped[dt.datetime]
    first_window_end: Mapped[dt.datetime]
    last_window_end: Mapped[dt.datetime]
    windows: Mapped[int]
    metric: Mapped[str]
    worst_value: Mapped[float]
    worst_window_end: Mapped[dt.datetime]
    current_value: Mapped[float]
    drivers: Mapped[dict[str, float]]
    n: Mapped[int]
    opened_at: Mapped[dt.datetime]
    resolved_at: Mapped[dt.datetime | None]
    resolved_by: Mapped[str | None]


class Webhook(Org):
    """A receiver of notifications. The secret signs; it is shown once, when the webhook is added."""

    __tablename__ = "webhooks"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    url: Mapped[str]
    secret: Mapped[bytes]
    severities: Mapped[list[str]]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Notification(Org):
    """The outbox: written in the transaction that moved the alert, delivered at least once, in order per alert."""

    __tablename__ = "notifications"
    __table_args__ = (
        Index(
            "ix_notifications_pending", "due_at",
            postgresql_where=text("delivered_at is null and dead_at is null"),
        ),
    )  # fmt: skip
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    position: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)
    alert_id: Mapped[int | None] = mapped_column(ForeignKey("alerts.id", ondelete="CASCADE"), index=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str]
    body: Mapped[dict[str, Any]]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    due_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    lease_until: Mapped[dt.datetime | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    delivered_at: Mapped[dt.datetime | None]
    dead_at: Mapped[dt.datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]


class Quarantined(Org):
    """A row that could not be stored, as it came, with the reason.

    `digest` is what the row is known by, so that it is kept once; null in rows of a dcmon that knew them by place.
    """

    __tablename__ = "quarantine"
    __table_args__ = (UniqueConstraint("source", "position"),)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), index=True)
    version_id: Mapped[int | None] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"), index=True)
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


class IngestOffset(Org):
    """The truth about what this organization has of a topic's partition: messages below next_offset are in.

    `seek` is the last seek of the partition that was followed: its line in public.ingest_spans, or 0.
    """

    __tablename__ = "ingest_offsets"
    topic_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    partition: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    next_offset: Mapped[int] = mapped_column(BigInteger)
    seek: Mapped[int] = mapped_column(BigInteger, server_default="0")


class Batch(Org):
    """The ledger, a line for each transaction and target that took rows or took them out.

    In every line taken = stored + duplicates + quarantined + dropped + removed. `action` is ingest, retry, delete,
    prune or drop; what takes rows out has a negative `stored` or `quarantined`, and as many `removed`. With a topic,
    the line moved the organization's offset from first_offset to next_offset; `messages` were taken in between.
    """

    __tablename__ = "batches"
    __table_args__ = (Index("ix_batches_partition", "topic_id", "partition", "id"),)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    action: Mapped[str] = mapped_column(server_default="ingest")
    kind: Mapped[str]
    source: Mapped[str]
    model_id: Mapped[int | None]
    version_id: Mapped[int | None]
    topic_id: Mapped[uuid.UUID | None]
    partition: Mapped[int | None]
    first_offset: Mapped[int | None] = mapped_column(BigInteger)
    next_offset: Mapped[int | None] = mapped_column(BigInteger)
    messages: Mapped[int] = mapped_column(server_default="0")
    taken: Mapped[int]
    stored: Mapped[int]
    duplicates: Mapped[int]
    quarantined: Mapped[int]
    dropped: Mapped[int] = mapped_column(server_default="0")
    removed: Mapped[int] = mapped_column(server_default="0")
    conflicts: Mapped[int] = mapped_column(server_default="0")
    by: Mapped[str | None]
    note: Mapped[str | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class DataSource(Org):
    """A directory or an s3:// prefix that is watched for files of a version's samples or a model's labels."""

    __tablename__ = "sources"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    url: Mapped[str]
    kind: Mapped[str]
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), index=True)
    version_id: Mapped[int | None] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"), index=True)
    mapping: Mapped[dict[str, str]]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    scanned_at: Mapped[dt.datetime | None]
    last_error: Mapped[str | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class IngestedFile(Org):
    """How far a file is: its rows below next_row are in. `digest` names its content, its target and how it is read.

    `stamp` is what the place that it lies in says of its content: an ETag, or size and time of change.
    """

    __tablename__ = "ingested_files"
    __table_args__ = (Index("ix_ingested_files_place", "source_id", "path"),)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    source_id: Mapped[int | None] = mapped_column(ForeignKey("sources.id", ondelete="SET NULL"), index=True)
    kind: Mapped[str]
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), index=True)
    version_id: Mapped[int | None] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"), index=True)
    path: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    stamp: Mapped[str | None]
    next_row: Mapped[int] = mapped_column(BigInteger, server_default="0")
    taken: Mapped[int] = mapped_column(BigInteger, server_default="0")
    stored: Mapped[int] = mapped_column(BigInteger, server_default="0")
    duplicates: Mapped[int] = mapped_column(BigInteger, server_default="0")
    quarantined: Mapped[int] = mapped_column(BigInteger, server_default="0")
    error: Mapped[str | None]
    began_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[dt.datetime | None]
