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


class Receipt(Org):
    """What a version was sent in fifteen minutes, by the time of receipt: rows, and how long the slowest took to store.

    `revision` grows with each touch: rows that came, quarantined rows that left.
    """

    __tablename__ = "receipts"
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
    """When a monitor's windows are bad, and what becomes of that. `start_time`: the end of the first window it judged.

    `condition` is as a person writes it (dcmon.criteria); null: `operator` and `threshold` alone are the condition.
    `revision` grows when it would judge otherwise.
    """

    __tablename__ = "alert_rules"
    id: Mapped[int] = mapped_column(primary_key=True)
    monitor_id: Mapped[int] = mapped_column(ForeignKey("monitors.id", ondelete="CASCADE"), index=True)
    name: Mapped[str | None]
    operator: Mapped[str]
    threshold: Mapped[float]
    condition: Mapped[str | None]
    severity: Mapped[str]
    warn_severity: Mapped[str | None]
    for_windows: Mapped[int] = mapped_column(server_default="1")
    keep_firing: Mapped[int] = mapped_column(server_default="0")
    min_n: Mapped[int] = mapped_column(server_default="0")
    no_data: Mapped[str] = mapped_column(server_default="keep")
    on_error: Mapped[str] = mapped_column(server_default="keep")
    is_inhibited: Mapped[bool] = mapped_column(server_default=text("true"))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    start_time: Mapped[dt.datetime | None]
    revision: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class DueWindow(Org):
    """A version's window that waits for evaluation: the row is the queue, a lease is the claim.

    `is_first`: nobody evaluated it before; `is_backfill`: its rows were logged long after it was over; `is_flow`: only
    the monitors on the flow of rows are evaluated, because nothing came that others read.
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
    is_flow: Mapped[bool] = mapped_column(server_default=text("false"))


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


class Baseline(Org):
    """What a monitor's check gives on the rows of a version's reference, for rules that compare with it."""

    __tablename__ = "baselines"
    monitor_id: Mapped[int] = mapped_column(ForeignKey("monitors.id", ondelete="CASCADE"), primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True, index=True)
    reference_revision: Mapped[int] = mapped_column(primary_key=True)
    monitor_revision: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str]
    metrics: Mapped[dict[str, float]]
    entries: Mapped[dict[str, float]]
    reason: Mapped[str | None]
    n: Mapped[int]
    computed_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Alert(Org):
    """One span of bad windows of a version under a rule, from its first window to its last.

    `told_severity`: what receivers were told that it fires with; null when they were not, or were told that it is over.
    """

    __tablename__ = "alerts"
    __table_args__ = (Index("ix_alerts_rule", "rule_id", "version_id", "first_window_end"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    rule_id: Mapped[int] = mapped_column(ForeignKey("alert_rules.id", ondelete="CASCADE"))
    rule_revision: Mapped[int] = mapped_column(server_default="1")
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"), index=True)
    state: Mapped[str]
    severity: Mapped[str]
    first_window_start: Mapped[dt.datetime]
    first_window_end: Mapped[dt.datetime]
    fired_window_end: Mapped[dt.datetime | None]
    last_window_end: Mapped[dt.datetime]
    windows: Mapped[int]
    metric: Mapped[str]
    worst_value: Mapped[float | None]
    worst_window_end: Mapped[dt.datetime]
    current_value: Mapped[float | None]
    drivers: Mapped[dict[str, float]]
    details: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    n: Mapped[int]
    opened_at: Mapped[dt.datetime]
    told_severity: Mapped[str | None]
    acknowledged_at: Mapped[dt.datetime | None]
    acknowledged_by: Mapped[str | None]
    acknowledgement: Mapped[str | None]
    resolved_at: Mapped[dt.datetime | None]
    resolved_by: Mapped[str | None]


class AlertChange(Org):
    """A line of an alert's history: what became of it (dcmon.episodes.KINDS), when, by whom, in which window.

    `by`: null for dcmon itself. `result_revision`: of the result that changed it.
    """

    __tablename__ = "alert_changes"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    alert_id: Mapped[int] = mapped_column(ForeignKey("alerts.id", ondelete="CASCADE"), index=True)
    at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    kind: Mapped[str]
    by: Mapped[str | None]
    window_end: Mapped[dt.datetime | None]
    result_revision: Mapped[int | None]
    severity: Mapped[str]
    value: Mapped[float | None]
    note: Mapped[str | None]


class Silence(Org):
    """A span of time in which notifications about matching alerts are held back. `matchers`: dcmon.matchers."""

    __tablename__ = "silences"
    id: Mapped[int] = mapped_column(primary_key=True)
    matchers: Mapped[list[str]]
    starts_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    ends_at: Mapped[dt.datetime] = mapped_column(index=True)
    reason: Mapped[str]
    by: Mapped[str]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class MuteTime(Org):
    """Hours of the week, in a time zone, in which notifications about matching alerts are held back.

    `days`: mon, tue, …; `begins` and `ends`: minutes after midnight, past midnight where it ends before it begins.
    """

    __tablename__ = "mute_times"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    days: Mapped[list[str]]
    begins: Mapped[int]
    ends: Mapped[int]
    time_zone: Mapped[str]
    matchers: Mapped[list[str]]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Webhook(Org):
    """A receiver of notifications, of a kind (dcmon.receivers). `secret` signs; `credentials` are never shown either.

    `model_ids`: only alerts of these (null: of all). `cap`: messages a minute (null: any number). `repeat_every`: how
    often it is told again of what still fires. `paused_at` .. `paused_until` (null: for good): what comes waits.
    `not_before`: the receiver asked to be left alone until then.
    """

    __tablename__ = "webhooks"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str] = mapped_column(server_default="webhook")
    url: Mapped[str]
    secret: Mapped[bytes]
    old_secret: Mapped[bytes | None]
    old_secret_until: Mapped[dt.datetime | None]
    options: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    credentials: Mapped[dict[str, str]] = mapped_column(server_default=text("'{}'"))
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


class Notification(Org):
    """The outbox: written in the transaction that moved the alert, delivered at least once, in order per alert.

    What is sent is a message, to one receiver: the notifications with one `message_id`, which is drawn before the first
    try and stays. `tried_at` is that first try. Over are those with `delivered_at` or `dead_at`; `is_superseded`: not
    given up, but no longer worth telling. `left_to`: the others that it goes to have it.
    """

    __tablename__ = "notifications"
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


class Quarantined(Org):
    """A row that could not be stored, as it came, with the reason.

    `digest` is what the row is known by, so that it is kept once; null in rows of a dcmon that knew them by place.
    """

    __tablename__ = "quarantine"
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
