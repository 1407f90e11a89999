"""Make windows due when their time is over, although no sample came.

The scheduler calls this, because no new row makes such a window due. The windows are the first ones after the newest
sample of a live version, which is then marked as stale; and, for monitors on the flow of rows, those that
monitoring.empty_windows finds.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, or_, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import DateTime, Integer

from dcmon.checks.catalogue import DATA_FLOW
from dcmon.db.tables.org import Model, Version
from dcmon.monitoring import due_windows, empty_windows, schedules
from dcmon.monitoring.due_windows import GRACE, VersionWindow
from dcmon.monitoring.liveness import IS_LIVE, MAX_LIVE_AGE
from dcmon.windows import Window, floor, step, time_zone

MAX_ELAPSED_WINDOWS = 3  # after so many windows without a sample a version is stale
# Whether a window may be due because its time is over. The shortest window is an hour.
MAY_HAVE_ELAPSED = f"""
    exists (select 1 from versions v join models m on m.id = v.model_id where {IS_LIVE}
               and v.watermark < now() - interval '1 hour' and v.stale_at is distinct from v.watermark)
    or {empty_windows.MAY_HAVE_EMPTY_WINDOWS}
"""
WINDOW_PARAMETERS = (
    bindparam("versions", type_=ARRAY(Integer)),
    bindparam("starts", type_=ARRAY(DateTime(timezone=True))),
    bindparam("ends", type_=ARRAY(DateTime(timezone=True))),
)
# Each window is looked up by the index on versions and windows, because there may be millions of results.
HANDLED_WINDOWS = text("""
    select w.version_id, w.window_start, w.window_end
      from unnest(:versions, :starts, :ends) w(version_id, window_start, window_end)
     where exists (select 1 from results r join monitors m on m.id = r.monitor_id join checks c on c.id = m.check_id
                    where r.version_id = w.version_id and r.window_end = w.window_end
                      and r.window_start = w.window_start and (c.class_name = :flow) = :is_flow)
        or exists (select 1 from due_windows d
                    where d.version_id = w.version_id and d.window_start = w.window_start
                      and d.window_end = w.window_end and (:is_flow or not d.is_flow))
""").bindparams(*WINDOW_PARAMETERS)


def enqueue_elapsed(session: Session, now: datetime, org_retention: timedelta | None = None) -> int:
    """Make the elapsed windows of an organization due; return how many.

    Stale versions are skipped, except for monitors on the flow of rows.
    """
    elapsed = set[VersionWindow]()
    for version in _live_versions(session, now):
        assert version.watermark is not None
        model, grids = schedules.version_grids(session, version.id, reads_rows=True)
        zone, first_start = time_zone(model.time_zone), schedules.retained_from(model, org_retention, now)
        for grid in grids:
            end = step(floor(version.watermark, grid.frequency, zone), grid.frequency, 1, zone)
            for _ in range(MAX_ELAPSED_WINDOWS):
                end = step(end, grid.frequency, 1, zone)
                if end + model.lateness + GRACE > now:
                    break
                if (window := grid.ending(end, zone)).start >= first_start:
                    elapsed.add(VersionWindow(version.id, window))
    new = elapsed - handled_windows(session, elapsed, is_flow=False)
    due_windows.add(session, new)
    return len(new) + _enqueue_empty(session, now, org_retention)


def _enqueue_empty(session: Session, now: datetime, org_retention: timedelta | None) -> int:
    """Make empty windows due for monitors on the flow of rows; return how many."""
    empty = empty_windows.windows_until(session, now, org_retention)
    new = empty - handled_windows(session, empty, is_flow=True)
    due_windows.add(session, new, is_flow=True)
    return len(new)


def mark_stale(session: Session, now: datetime) -> Sequence[str]:
    """Mark versions without new samples as stale; return their names MODEL/VERSION.

    A window of a stale version is no longer due because its time is over. A version is returned only once, until new
    samples come.
    """
    names = []
    for version in _live_versions(session, now):
        assert version.watermark is not None
        model, grids = schedules.version_grids(session, version.id)
        zone = time_zone(model.time_zone)
        last_ends = [
            step(floor(version.watermark, grid.frequency, zone), grid.frequency, MAX_ELAPSED_WINDOWS + 1, zone)
            for grid in grids
        ]
        if last_ends and max(last_ends) + model.lateness + GRACE <= now:
            session.execute(update(Version).where(Version.id == version.id).values(stale_at=version.watermark))
            names.append(f"{model.name}/{version.name}")
    return names


def _live_versions(session: Session, now: datetime) -> Sequence[Version]:
    """Return the live versions that may have a window without a sample."""
    return session.scalars(
        select(Version)
        .join(Model)
        .where(
            Version.newest_logged_at - Version.watermark < MAX_LIVE_AGE + Model.lateness,
            Version.watermark < now - timedelta(hours=1),
            or_(Version.stale_at.is_(None), Version.stale_at != Version.watermark),
        )
    ).all()


def handled_windows(session: Session, windows: set[VersionWindow], *, is_flow: bool) -> set[VersionWindow]:
    """Return the windows that have a result, or are due already.

    `is_flow`: True for results of monitors on the flow of rows; False for results of other monitors.
    """
    if not windows:
        return set()
    rows = session.execute(HANDLED_WINDOWS, window_parameters(windows, is_flow=is_flow))
    return {VersionWindow(row.version_id, Window(row.window_start, row.window_end)) for row in rows}


def window_parameters(windows: set[VersionWindow], *, is_flow: bool) -> dict[str, Any]:
    """Return the parameters of HANDLED_WINDOWS."""
    ordered = sorted(windows)
    return {
        "versions": [version_id for version_id, _ in ordered],
        "starts": [window.start for _, window in ordered],
        "ends": [window.end for _, window in ordered],
        "flow": DATA_FLOW.class_name,
        "is_flow": is_flow,
    }
