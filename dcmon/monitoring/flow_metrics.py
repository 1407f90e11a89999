"""The flow of rows, which monitors watch like anything else: how many came, with labels or in the quarantine, how late.

No sample is read. Rows and labels belong to the window of their time; what was refused, and how long rows waited until
they were stored, to the window of their receipt. docs/watching.md says which windows are counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon.checks.data_flow import METRICS
from dcmon.checks.dataset_schema import Value
from dcmon.db.tables.org import Model, Version
from dcmon.states import ResultState
from dcmon.windows import Window

if TYPE_CHECKING:  # numpy behind it is not loaded for a status
    from dcmon.storage.sampling import Extent


LABEL_METRICS, ROW_METRICS = ("labels", "label ratio"), ("rows", "labels", "label ratio")
SIGNIFICANT_CHANGE = 0.10  # what moved by a tenth is evaluated again at once
MAX_LIVE_AGE = timedelta(
    hours=1
)  # a version is live while its newest sample was this young, or a lateness more, when logged
# The same of a version v and its model m.
IS_LIVE = f"v.newest_logged_at - v.watermark < interval '{MAX_LIVE_AGE.total_seconds()} seconds' + m.lateness"

RECEIVED = text("""
    select coalesce(sum(taken), 0) as taken, coalesce(max(waited), interval '0') as waited,
           coalesce(sum(revision), 0) as revision,
           (select count(*) from quarantine where version_id = :version and kind = 'samples'
               and logged_at >= :start and logged_at < :end) as quarantined
      from receipts where version_id = :version and at >= :start and at < :end
""")


@dataclass(frozen=True)
class FlowStatistics:
    """What came for a version in a window. `extent` grows with all of it, so that a result knows what it has seen.

    `counts_rows`: whether no row is a finding too; `labels_due_at`: until when labels are waited for.
    """

    extent: "Extent"
    taken: int
    quarantined: int
    waited: timedelta
    counts_rows: bool
    labels_due_at: datetime | None


def measure(
    session: Session,
    model: Model,
    version: Version,
    window: Window,
    there: "Extent",
    now: datetime,
    *,
    waits: bool = True,
) -> FlowStatistics:
    """What came in a window; `there`: what the version has in it. `waits`: for labels, as checks on labels do."""
    span = {"version": version.id, "start": window.start, "end": window.end}
    received = session.execute(RECEIVED, span).one()
    due_at = _labels_due_at(model, there, now) if waits else None
    # Labels that are waited for no more change what is said, though nothing came: that is a revision too.
    seen = there.rows_revision + there.labels_revision + int(received.revision) + (due_at is None)
    return FlowStatistics(
        replace(there, rows_revision=seen, labels_revision=0),
        int(received.taken),
        int(received.quarantined),
        received.waited,
        bool(there.n) or _is_counted(model, version, window),
        due_at,
    )


def _labels_due_at(model: Model, there: "Extent", now: datetime) -> datetime | None:
    """Until when labels are waited for; None when they are not."""
    if not there.n or there.label_ratio >= model.label_ratio:
        return None
    due_at = (there.logged_at or now) + model.label_delay
    return due_at if due_at > now else None


def _is_counted(model: Model, version: Version, window: Window) -> bool:
    """Whether a window without a row says something: of history that was loaded nothing is expected after its end."""
    return version.watermark is None or window.end <= version.watermark or is_live(model, version)


def is_live(model: Model, version: Version) -> bool:
    """Whether a version's rows come as they are made; those of a model with a lateness come that much later."""
    if version.watermark is None or version.newest_logged_at is None:
        return False
    return version.newest_logged_at - version.watermark < MAX_LIVE_AGE + model.lateness


def countable_range(model: Model, version: Version, now: datetime) -> tuple[datetime, datetime]:
    """From when to when a version's windows can be counted: of a live one until now, or one that never got a row."""
    until = now - model.lateness
    if version.watermark is None:
        return version.created_at, until
    newest = max(version.watermark, until) if is_live(model, version) else version.watermark
    return version.earliest or version.created_at, newest


def flow_value(flow: FlowStatistics, chosen: Sequence[str] | None) -> Value:
    """The numbers of a window: those that are chosen and can be said."""
    there, share = flow.extent, flow.quarantined / max(flow.taken, flow.quarantined, 1)
    numbers = {
        "rows": float(there.n),
        "labels": float(there.n_labelled),
        "label ratio": there.label_ratio,
        "quarantined": float(flow.quarantined),
        "quarantine share": share,
        "lag": flow.waited.total_seconds(),
    }
    left_out = {*(LABEL_METRICS if flow.labels_due_at is not None else ()), *(() if flow.counts_rows else ROW_METRICS)}
    left_out |= set() if there.n else {"label ratio"}
    wanted = [name for name in METRICS if name in (chosen or METRICS)]
    found = {name: numbers[name] for name in wanted if name not in left_out}
    if found:
        return Value(ResultState.OK, found)
    return Value(ResultState.NO_DATA, reason=_why_nothing(flow))


def reads_labels(chosen: Sequence[str] | None) -> bool:
    """Whether labels are among the numbers that are chosen."""
    return not chosen or any(name in LABEL_METRICS for name in chosen)


def has_changed(flow: FlowStatistics, chosen: Sequence[str] | None, before: Mapping[str, float]) -> bool:
    """Whether a number is there that was not, or differs by a tenth from what it was."""
    now = flow_value(flow, chosen).metrics
    return now.keys() != before.keys() or any(
        abs(now[name] - before[name]) > max(1e-9, SIGNIFICANT_CHANGE * abs(before[name])) for name in now
    )


def _why_nothing(flow: FlowStatistics) -> str:
    if flow.labels_due_at is not None:
        return f"Labels are waited for until {flow.labels_due_at:%Y-%m-%d %H:%M} UTC (the model's label delay)."
    return "The window has no rows, and none were to be expected: the version's rows are loaded later."
