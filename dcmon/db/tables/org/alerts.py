"""Alert rules, their alerts, and the silences and mute times that hold notifications back."""

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from dcmon.db.tables import Logged, Org


class AlertRule(Org):
    """The condition under which windows of a monitor violate a rule, and its alert options.

    `condition` is the text that a user writes (alerting.rule_conditions); null: `operator` and `threshold` are the
    condition. `start_time`: the end of the first window that the rule judged. `revision` grows with each change after
    which the rule would judge differently. `ingestion_type`: what a data-ingestion rule counts
    (monitoring.ingestion_rules); null for all other rules.
    """

    __tablename__ = "alert_rules"
    __logged__ = Logged("rule", state=("start_time",))
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
    ingestion_type: Mapped[str | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Alert(Org):
    """A span of windows, from first to last, in which a version violates a rule.

    `told_severity`: the severity in the last notification that the alert fires; null when receivers were never
    notified, or were notified that the alert is resolved.
    """

    __tablename__ = "alerts"
    __logged__ = None  # what operators do is in AlertChange
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
    """A change in an alert's history: its kind (states.AlertChangeKind), time, user and window.

    `by`: null for dcmon itself. `result_revision`: the revision of the result that caused the change.
    """

    __tablename__ = "alert_changes"
    __logged__ = Logged("alert", id="alert_id", name=None, action="kind", condition="new.by is not null")
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
    """A span of time in which notifications about matching alerts are held back.

    `matchers` are described in notifications.matchers.
    """

    __tablename__ = "silences"
    __logged__ = Logged("silence", name="reason")
    id: Mapped[int] = mapped_column(primary_key=True)
    matchers: Mapped[list[str]]
    starts_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    ends_at: Mapped[dt.datetime] = mapped_column(index=True)
    reason: Mapped[str]
    by: Mapped[str]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class MuteTime(Org):
    """Hours of the week in which notifications about matching alerts are held back.

    `days`: mon, tue, …; `begins` and `ends`: minutes after midnight. With `ends` before `begins`, the hours
    cross midnight.
    """

    __tablename__ = "mute_times"
    __logged__ = Logged("mute time")
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    days: Mapped[list[str]]
    begins: Mapped[int]
    ends: Mapped[int]
    time_zone: Mapped[str]
    matchers: Mapped[list[str]]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
