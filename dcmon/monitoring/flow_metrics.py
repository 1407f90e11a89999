"""Metrics of the flow of rows: how many came, with labels or into the quarantine, and how late.

No sample is read. Rows and labels count in the window of their own time; quarantined rows, and how long rows waited to
be stored, in the window in which they were received. docs/dcmon-health.md says which windows are counted.
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
from dcmon.monitoring.liveness import is_live
from dcmon.states import ResultState
from dcmon.windows import Window

if TYPE_CHECKING:  # it loads numpy, which `dcmon status` does without
    from dcmon.storage.sampling import WindowStatistics


LABEL_METRICS, ROW_METRICS = ("labels", "label ratio"), ("rows", "labels", "label ratio")
SIGNIFICANT_CHANGE = 0.10  # a metric that changed by a tenth is evaluated again at once

RECEIVED = text("""
    select coalesce(sum(taken), 0) as taken, coalesce(max(waited), interval '0') as longest_wait,
           coalesce(sum(revision), 0) as revision,
           (select count(*) from quarantine where version_id = :version and kind = 'samples'
               and logged_at >= :start and logged_at < :end) as quarantined
      from receipts where version_id = :version and at >= :start and at < :end
""")


@dataclass(frozen=True)
class FlowCounts:
    """What came for a version in a window.

    `statistics`: of its rows, with a revision that grows with everything counted here, so that a result tells what it
    has seen. `counts_rows`: False if a window without rows says nothing. `labels_awaited_until`: None: not awaited.
    """

    statistics: "WindowStatistics"
    taken: int
    quarantined: int
    longest_wait: timedelta
    counts_rows: bool
    labels_awaited_until: datetime | None


class TimeRange(NamedTuple):
    """From when to when the flow of rows of a version can be counted."""

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
    """Count what came in a window. `statistics`: of the window's rows."""
    received = session.execute(RECEIVED, {"version": version.id, "start": window.start, "end": window.end}).one()
    # That labels are no longer awaited changes the metrics though nothing came: it is a revision, too.
    revision = (
        statistics.rows_revision + statistics.labels_revision + int(received.revision) + (labels_awaited_until is None)
    )
    return FlowCounts(
        replace(statistics, rows_revision=revision, labels_revision=0),
        int(received.taken),
        int(received.quarantined),
        received.longest_wait,
        bool(statistics.n) or _is_row_expected(model, version, window),
        labels_awaited_until,
    )


def _is_row_expected(model: Model, version: Version, window: Window) -> bool:
    """Return True if a window without a row is news: after the end of loaded history no row is expected."""
    return version.watermark is None or window.end <= version.watermark or is_live(model, version)


def countable_range(model: Model, version: Version, now: datetime) -> TimeRange:
    """Return where a version's flow can be counted: until now, if it is live or never got a row."""
    until = now - model.lateness
    if version.watermark is None:
        return TimeRange(version.created_at, until)
    newest = max(version.watermark, until) if is_live(model, version) else version.watermark
    return TimeRange(version.earliest or version.created_at, newest)


def flow_value(counts: FlowCounts, chosen: Sequence[str] | None) -> CheckValue:
    """Return the metrics of a window: those that are chosen (None: all) and known."""
    statistics = counts.statistics
    metrics = {
        "rows": float(statistics.n),
        "labels": float(statistics.n_labelled),
        "label ratio": statistics.label_ratio,
        "quarantined": float(counts.quarantined),
        "quarantine share": counts.quarantined / max(counts.taken, counts.quarantined, 1),
        "lag": counts.longest_wait.total_seconds(),
    }
    unknown = {
        *(LABEL_METRICS if counts.labels_awaited_until is not None else ()),
        *(() if counts.counts_rows else ROW_METRICS),
        *(() if statistics.n else ("label ratio",)),
    }
    known = {name: metrics[name] for name in METRICS if name in (chosen or METRICS) and name not in unknown}
    if known:
        return CheckValue(ResultState.OK, known)
    return CheckValue(ResultState.NO_DATA, reason=_no_value_reason(counts))


def reads_labels(chosen: Sequence[str] | None) -> bool:
    """Return True if metrics of labels are chosen."""
    return not chosen or any(name in LABEL_METRICS for name in chosen)


def has_changed(counts: FlowCounts, chosen: Sequence[str] | None, before: Mapping[str, float]) -> bool:
    """Return True if a metric is new or gone, or differs by a tenth from what it was."""
    metrics = flow_value(counts, chosen).metrics
    return metrics.keys() != before.keys() or any(
        abs(value - before[name]) > max(1e-9, SIGNIFICANT_CHANGE * abs(before[name])) for name, value in metrics.items()
    )


def _no_value_reason(counts: FlowCounts) -> str:
    if counts.labels_awaited_until is not None:
        return f"Labels are awaited until {counts.labels_awaited_until:%Y-%m-%d %H:%M} UTC (the model's label delay)."
    return "The window has no rows, and no rows were expected: the version's rows are loaded later."
