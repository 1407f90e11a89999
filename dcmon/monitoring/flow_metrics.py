"""Metrics of the flow of rows, for monitors with the check DataFlow.

They count how many rows came, with labels or into the quarantine, and how late; no sample is read. Rows and labels
count in the window of their own time. Quarantined rows, and how long rows waited to be stored, count in the window in
which the rows were received. docs/dcmon-health.md says which windows are counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon.checks.data_flow import METRICS
from dcmon.checks.dataset_schema import CheckValue
from dcmon.db.tables.org import Model, Version
from dcmon.formatting import format_moment
from dcmon.monitoring.liveness import is_live
from dcmon.states import ResultState
from dcmon.windows import Window

if TYPE_CHECKING:  # the module loads numpy, which `dcmon status` does not need
    from dcmon.storage.sampling import WindowStatistics


LABEL_METRICS, ROW_METRICS = ("labels", "label ratio"), ("rows", "labels", "label ratio")
RECEIVED_METRICS = ("quarantined", "quarantine share")
SIGNIFICANT_CHANGE = 0.10  # when a metric has changed by a tenth, the window is evaluated again at once

RECEIVED = text("""
    select coalesce(sum(taken), 0) as received, coalesce(max(waited), interval '0') as longest_wait,
           coalesce(sum(revision), 0) as revision,
           (select count(*) from quarantine where version_id = :version and kind = 'samples'
               and logged_at >= :start and logged_at < :end) as quarantined
      from receipts where version_id = :version and at >= :start and at < :end
""")


@dataclass(frozen=True)
class FlowCounts:
    """What came for a version in a window.

    `statistics`: of the window's rows, with a revision that grows with everything that is counted here, so that a
    result shows whether it is up to date. `received`: all rows that were received. `counts_rows`: False if no rows were
    expected, so that the number of rows has no meaning. `labels_awaited_until`: None if labels are not awaited.
    """

    statistics: "WindowStatistics"
    received: int
    quarantined: int
    longest_wait: timedelta
    counts_rows: bool
    labels_awaited_until: datetime | None


class TimeRange(NamedTuple):
    """The period in which the rows of a version can be counted."""

    start: datetime
    end: datetime


def measure(
    session: Session,
    model: Model,
    version: Version,
    window: Window,
    statistics: "WindowStatistics",
    labels_awaited_until: datetime | None,
) -> FlowCounts:
    """Count what came in a window.

    `statistics`: of the window's rows.
    """
    receipts = session.execute(RECEIVED, {"version": version.id, "start": window.start, "end": window.end}).one()
    # When labels are no longer awaited, the metrics change without new rows: this counts as a revision, too.
    revision = (
        statistics.rows_revision + statistics.labels_revision + int(receipts.revision) + (labels_awaited_until is None)
    )
    return FlowCounts(
        replace(statistics, rows_revision=revision, labels_revision=0),
        int(receipts.received),
        int(receipts.quarantined),
        receipts.longest_wait,
        bool(statistics.n) or _is_row_expected(model, version, window),
        labels_awaited_until,
    )


def _is_row_expected(model: Model, version: Version, window: Window) -> bool:
    """Return True if rows are expected in a window.

    No row is expected after the end of history that was loaded.
    """
    return version.watermark is None or window.end <= version.watermark or is_live(model, version)


def countable_range(model: Model, version: Version, now: datetime) -> TimeRange:
    """Return the period in which the rows of a version can be counted.

    It ends now, less the lateness, if the version is live or never got a row; otherwise with the newest row.
    """
    end = now - model.lateness
    if version.watermark is None:
        return TimeRange(version.created_at, end)
    newest = max(version.watermark, end) if is_live(model, version) else version.watermark
    return TimeRange(version.earliest or version.created_at, newest)


def flow_value(counts: FlowCounts, chosen: Sequence[str] | None) -> CheckValue:
    """Return the metrics of a window that are chosen (None: all) and known."""
    statistics = counts.statistics
    metrics = {
        "rows": float(statistics.n),
        "labels": float(statistics.n_labelled),
        "label ratio": statistics.label_ratio,
        "quarantined": float(counts.quarantined),
        "quarantine share": counts.quarantined / max(counts.received, counts.quarantined, 1),
        "lag": counts.longest_wait.total_seconds(),
    }
    unknown = {
        *(LABEL_METRICS if counts.labels_awaited_until is not None else ()),
        *(() if counts.counts_rows else ROW_METRICS),
        *(() if statistics.n else ("label ratio",)),
    }
    known = {name: metrics[name] for name in METRICS if name in (chosen or METRICS) and name not in unknown}
    if known:
        return CheckValue(ResultState.OK, known, intervals=_intervals(counts, known))
    return CheckValue(ResultState.NO_DATA, reason=_no_value_reason(counts))


def n_counted(counts: FlowCounts, chosen: Sequence[str] | None) -> int:
    """Return from how many rows the chosen metrics are: those of the window, or those that were received in it."""
    if chosen and all(name in RECEIVED_METRICS for name in chosen):
        return max(counts.received, counts.quarantined)
    return counts.statistics.n


def _intervals(counts: FlowCounts, known: Mapping[str, float]) -> dict[str, list[float]]:
    """Return the intervals of the shares among the known metrics; counts of rows are exact."""
    from dcmon.statistics import intervals

    statistics, received = counts.statistics, max(counts.received, counts.quarantined)
    shares = {"label ratio": (statistics.n_labelled, statistics.n), "quarantine share": (counts.quarantined, received)}
    return {
        name: [float(limit) for limit in intervals.share(count, n)]
        for name, (count, n) in shares.items()
        if name in known and n
    }


def reads_labels(chosen: Sequence[str] | None) -> bool:
    """Return True if one of the chosen metrics counts labels."""
    return not chosen or any(name in LABEL_METRICS for name in chosen)


def has_changed(counts: FlowCounts, chosen: Sequence[str] | None, last: Mapping[str, float]) -> bool:
    """Return True if a metric was added, removed, or has changed by a tenth."""
    metrics = flow_value(counts, chosen).metrics
    return metrics.keys() != last.keys() or any(
        abs(value - last[name]) > max(1e-9, SIGNIFICANT_CHANGE * abs(last[name])) for name, value in metrics.items()
    )


def _no_value_reason(counts: FlowCounts) -> str:
    if counts.labels_awaited_until is not None:
        return f"Labels are awaited until {format_moment(counts.labels_awaited_until)} (the model's label delay)."
    return "The window has no rows, and no rows were expected: the version's rows are loaded later."
