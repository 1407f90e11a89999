"""Checks, their monitors, the windows that wait for evaluation, and the results."""

import datetime as dt
import uuid
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from dcmon.db.tables import Logged, Org


class Check(Org):
    """A deepchecks check with its parameters."""

    __tablename__ = "checks"
    __logged__ = Logged("check")
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
    """A set of monitors. `name`: null until it is chosen."""

    __tablename__ = "dashboards"
    __logged__ = Logged("dashboard")
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None]


class Monitor(Org):
    """A check with a schedule, filters and options.

    `revision` grows with each change after which the monitor would compute other values. `rows`: the number of rows
    that it reads of a window; 0: all; null: DCMON_EVALUATE__SAMPLE_SIZE. `compared_with`: the reference, or the earlier
    window that is used in its place (dcmon.windows.ComparedWith).
    """

    __tablename__ = "monitors"
    __logged__ = Logged("monitor")
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


class MonitorWithCheck(NamedTuple):
    """A monitor and the check that it runs."""

    monitor: Monitor
    check: Check


class DueWindow(Org):
    """A window of a version that waits for evaluation.

    The row is the entry of the queue; a worker claims it by a lease. `is_first`: the window was never evaluated before.
    `is_backfill`: its rows were logged long after its end. `is_flow`: only the data flow monitors are evaluated,
    because no rows came that other monitors read. `is_reevaluation`: no rows came, its version has another reference.
    """

    __tablename__ = "due_windows"
    __logged__ = None  # a queue
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
    is_reevaluation: Mapped[bool] = mapped_column(server_default=text("false"))


class Result(Org):
    """The result of a monitor in a window of a version.

    The unique key, not the lease, stops an evaluator that has lost its lease from storing a second result. `how`:
    whether all rows or a sample were read, how many rows were requested, and the versions of the libraries.
    `compared_…`: the earlier window that was used in place of the reference, its revisions then, and its number of rows
    (of labelled rows, for a check on labels). `intervals`: [low, high] by name of a metric or entry, the confidence
    interval of 95 %; `noise`: by name the drift without drift; null in results from before migration 0013.
    """

    __tablename__ = "results"
    __logged__ = None  # computed
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
    intervals: Mapped[dict[str, Any] | None]
    noise: Mapped[dict[str, Any] | None]
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
    """The values of a monitor's check on a reference, for rules that compare with it."""

    __tablename__ = "baselines"
    __logged__ = None  # computed
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
