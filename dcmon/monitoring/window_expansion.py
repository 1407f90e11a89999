"""Turn touched quarter hours into due windows.

A quarter hour is touched when rows of it are new, changed or deleted.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon.db.tables.org import Model, Version
from dcmon.monitoring import due_windows, empty_windows, schedules
from dcmon.monitoring.due_windows import VersionWindow
from dcmon.monitoring.liveness import MAX_LIVE_AGE
from dcmon.windows import Window, time_zone

MAX_QUARTER_HOURS = 5_000  # that one call takes of each table

# The version is locked before its quarter hours, in the same order as when it is deleted, to avoid a deadlock.
# A row that another transaction has locked is skipped. While touched rows are left, the organization stays due.
TAKE_TOUCHED = """
    update {table} touched set is_touched = false
      from (select t.version_id, t.at from {table} t join versions v on v.id = t.version_id
             where t.is_touched order by t.version_id, t.at
             limit :limit for key share of v skip locked for update of t skip locked) candidate
     where (touched.version_id, touched.at) = (candidate.version_id, candidate.at) returning {columns}
"""
TAKE_QUARTER_HOURS = text(
    TAKE_TOUCHED.format(table="quarter_hours", columns="touched.version_id, touched.at, touched.logged_at")
)
TAKE_RECEIPTS = text(TAKE_TOUCHED.format(table="receipts", columns="touched.version_id, touched.at"))


class _TouchedWindows(NamedTuple):
    """Windows of a version that rows touched.

    `backfilled`: those of the due windows whose rows came long after the window's end.
    """

    due: set[VersionWindow]
    backfilled: set[VersionWindow]


def expand(session: Session, org_retention: timedelta | None = None) -> int:
    """Turn touched quarter hours into due windows; return how many.

    `org_retention`: the organization's retention. A window that begins before the retention is not evaluated again: it
    has lost rows, or will lose them soon.
    """
    touched = session.execute(TAKE_QUARTER_HOURS, {"limit": MAX_QUARTER_HOURS}).all()
    due, backfilled = set[VersionWindow](), set[VersionWindow]()
    for version_id in {row.version_id for row in touched}:
        quarter_hours = [row for row in touched if row.version_id == version_id]
        windows = _touched_windows(session, version_id, quarter_hours, org_retention)
        due |= windows.due
        backfilled |= windows.backfilled
    due_windows.add(session, due - backfilled)
    due_windows.add(session, backfilled, is_backfill=True)
    flow = _flow_windows(session, touched, org_retention) - due
    backfilled_versions = {version_id for version_id, _ in backfilled}
    backfilled_flow = {window for window in flow if window.version_id in backfilled_versions}
    due_windows.add(session, flow - backfilled_flow, is_flow=True)
    due_windows.add(session, backfilled_flow, is_flow=True, is_backfill=True)
    return len(due) + len(flow)


def _touched_windows(
    session: Session, version_id: int, quarter_hours: Sequence[Any], org_retention: timedelta | None
) -> _TouchedWindows:
    """Return the windows that contain these quarter hours.

    Windows with rows that are compared with such a window count, too.
    """
    model, grids = schedules.version_grids(session, version_id)
    zone, first_start = time_zone(model.time_zone), schedules.retained_from(model, org_retention, datetime.now(UTC))
    comparisons = schedules.comparisons(session, model)
    dependent = {
        row.at: {window for comparison in comparisons for window in comparison.dependent_windows(row.at, zone)}
        for row in quarter_hours
    }
    # A dependent window without rows has no result, even if the windows that it is compared with have rows.
    with_rows = schedules.windows_with_rows(session, version_id, set[Window]().union(*dependent.values()))
    due, backfilled = set[VersionWindow](), set[VersionWindow]()
    for row in quarter_hours:
        windows = {window for grid in grids for window in grid.containing(row.at, zone)}
        windows |= with_rows & dependent[row.at]
        windows = {window for window in windows if window.start >= first_start}
        due |= {VersionWindow(version_id, window) for window in windows}
        backfilled |= {
            VersionWindow(version_id, window)
            for window in windows
            if row.logged_at > window.end + model.lateness + MAX_LIVE_AGE
        }
    return _TouchedWindows(due, backfilled)


def _flow_windows(session: Session, touched: Sequence[Any], org_retention: timedelta | None) -> set[VersionWindow]:
    """Return the windows that are due for monitors on the flow of rows.

    These are the windows of touched receipts, and the empty windows before and after new rows.
    """
    receipts, grids_by_model = _take_touched_receipts(session), schedules.flow_grids(session)
    due = set[VersionWindow]()
    for version_id in {row.version_id for row in touched} | receipts.keys() if grids_by_model else ():
        version = session.get_one(Version, version_id)
        grids = grids_by_model.get(version.model_id, set())
        model = session.get_one(Model, version.model_id)
        zone, first_start = time_zone(model.time_zone), schedules.retained_from(model, org_retention, datetime.now(UTC))
        windows = {
            window for at in receipts.get(version_id, ()) for grid in grids for window in grid.containing(at, zone)
        }
        if quarter_hours := {row.at for row in touched if row.version_id == version_id}:
            windows |= empty_windows.windows_around(session, version, quarter_hours, grids)
        due |= {VersionWindow(version_id, window) for window in windows if window.start >= first_start}
    return due


def _take_touched_receipts(session: Session) -> dict[int, set[datetime]]:
    """Take the touched receipts, and return their quarter hours by version.

    A receipt is touched when rows were received or left the quarantine in its quarter hour.
    """
    quarter_hours: dict[int, set[datetime]] = {}
    for version_id, at in session.execute(TAKE_RECEIPTS, {"limit": MAX_QUARTER_HOURS}):
        quarter_hours.setdefault(version_id, set()).add(at)
    return quarter_hours
