"""Find the empty windows that monitors on the flow of rows evaluate.

Such a monitor counts rows, so that a window without rows has a value. For all other monitors see
monitoring.elapsed_windows. Only the first windows of each gap are evaluated. A gap lies between two rows, begins with
the newest row of a live version, or begins with the creation of a version that has no row.
"""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import DateTime

from dcmon.checks.catalogue import DATA_FLOW
from dcmon.db.tables.org import Model, Version
from dcmon.monitoring import liveness, schedules
from dcmon.monitoring.due_windows import GRACE, VersionWindow
from dcmon.windows import Window, WindowGrid, floor, step, time_zone

MAX_EMPTY_WINDOWS = 24  # that are evaluated of each gap

# Whether there may be an empty window for a monitor on the flow of rows. The shortest window is an hour.
MAY_HAVE_EMPTY_WINDOWS = f"""
    exists (select 1 from checks c join versions v on v.model_id = c.model_id
             where c.class_name = '{DATA_FLOW.class_name}'
               and (v.watermark is null or v.watermark < now() - interval '1 hour'))
"""
# The gaps of more than an hour before and after quarter hours, each with the quarter hours at its two ends.
GAPS_AROUND = text("""
    select previous.at, t.at from unnest(:ats) t(at), lateral (
        select at from quarter_hours where version_id = :version and at < t.at and n > 0 order by at desc limit 1
        ) previous
     where previous.at < t.at - interval '1 hour'
    union
    select t.at, following.at from unnest(:ats) t(at), lateral (
        select at from quarter_hours where version_id = :version and at > t.at and n > 0 order by at limit 1
        ) following
     where following.at > t.at + interval '1 hour'
""").bindparams(bindparam("ats", type_=ARRAY(DateTime(timezone=True))))


def windows_around(
    session: Session, version: Version, quarter_hours: Collection[datetime], grids: Collection[WindowGrid]
) -> set[Window]:
    """Return the empty windows in the gaps before and after these quarter hours."""
    zone = time_zone(session.get_one(Model, version.model_id).time_zone)
    gaps = session.execute(GAPS_AROUND, {"version": version.id, "ats": sorted(quarter_hours)})
    return {
        window for before, after in gaps for grid in grids for window in _windows_between(before, after, grid, zone)
    }


def windows_until(session: Session, now: datetime, org_retention: timedelta | None) -> set[VersionWindow]:
    """Return the empty windows that have ended by now.

    Only live versions, and versions that never got a row, have such windows.
    """
    windows = set[VersionWindow]()
    grids_by_model = schedules.flow_grids(session)
    if not grids_by_model:
        return windows
    versions = select(Version, Model).join(Model, Model.id == Version.model_id).where(Model.id.in_(grids_by_model))
    for version, model in session.execute(versions):
        since = version.watermark if liveness.is_live(model, version) else None
        if version.watermark is None:
            since = version.created_at
        if since is None:
            continue
        end, zone = now - model.lateness - GRACE, time_zone(model.time_zone)
        first_start = schedules.retained_from(model, org_retention, now)
        for grid in grids_by_model[model.id]:
            windows |= {
                VersionWindow(version.id, window)
                for window in _windows_between(since, end, grid, zone)
                if window.start >= first_start
            }
    return windows


def _windows_between(before: datetime, after: datetime, grid: WindowGrid, zone: ZoneInfo) -> Iterator[Window]:
    """Yield the first empty windows of a gap without rows between two times."""
    last = floor(after, grid.frequency, zone)
    end = step(floor(before, grid.frequency, zone), grid.frequency, 1 + grid.units, zone)
    for _ in range(MAX_EMPTY_WINDOWS):
        if end > last:
            return
        yield grid.ending(end, zone)
        end = step(end, grid.frequency, 1, zone)
