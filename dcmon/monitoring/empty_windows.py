"""Windows without a row, which only monitors on the flow of rows evaluate (see monitoring.flow_metrics).

Of each gap in the rows only the first windows are evaluated: of a live version as the clock goes on, between two rows
once both are stored, and of a version that never got a row from its creation on. Then the version counts as stale.
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

MAX_EMPTY_WINDOWS = 24  # of each gap
MAX_RECEIPTS = 5_000  # that one call takes

# Whether there may be an empty window that a monitor on the flow counts: the shortest window is an hour.
MAY_HAVE_EMPTY_WINDOWS = f"""
    exists (select 1 from checks c join versions v on v.model_id = c.model_id
             where c.class_name = '{DATA_FLOW.class_name}'
               and (v.watermark is null or v.watermark < now() - interval '1 hour'))
"""
# The version is locked before its receipts, as its deletion does: in the other order the two would deadlock.
TAKE_TOUCHED = text("""
    update receipts r set is_touched = false
      from (select r.version_id, r.at from receipts r join versions v on v.id = r.version_id
             where r.is_touched order by r.version_id, r.at
             limit :limit for key share of v skip locked for update of r skip locked) t
     where (r.version_id, r.at) = (t.version_id, t.at) returning r.version_id, r.at
""")
# The gaps of more than an hour before and after quarter hours, as pairs of the quarter hours at their ends.
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


def take_touched_receipts(session: Session) -> dict[int, set[datetime]]:
    """Take the touched receipts: by version, the quarter hours in which rows came or left the quarantine."""
    quarter_hours: dict[int, set[datetime]] = {}
    for version_id, at in session.execute(TAKE_TOUCHED, {"limit": MAX_RECEIPTS}):
        quarter_hours.setdefault(version_id, set()).add(at)
    return quarter_hours


def windows_around(
    session: Session, version: Version, quarter_hours: Collection[datetime], grids: Collection[WindowGrid]
) -> set[Window]:
    """Return the empty windows before and after these quarter hours, up to the next rows of the version."""
    zone = time_zone(session.get_one(Model, version.model_id).time_zone)
    gaps = session.execute(GAPS_AROUND, {"version": version.id, "ats": sorted(quarter_hours)})
    return {
        window for before, after in gaps for grid in grids for window in _windows_between(before, after, grid, zone)
    }


def elapsed_windows(session: Session, now: datetime, org_retention: timedelta | None) -> set[VersionWindow]:
    """Return the empty windows that have ended by now, of live versions and of versions that never got a row."""
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
        until, zone = now - model.lateness - GRACE, time_zone(model.time_zone)
        first_start = schedules.retained_from(model, org_retention, now)
        for grid in grids_by_model[model.id]:
            windows |= {
                VersionWindow(version.id, window)
                for window in _windows_between(since, until, grid, zone)
                if window.start >= first_start
            }
    return windows


def _windows_between(before: datetime, after: datetime, grid: WindowGrid, zone: ZoneInfo) -> Iterator[Window]:
    """Yield the first windows without a row when no row came between these two moments."""
    last = floor(after, grid.frequency, zone)
    end = step(floor(before, grid.frequency, zone), grid.frequency, 1 + grid.units, zone)
    for _ in range(MAX_EMPTY_WINDOWS):
        if end > last:
            return
        yield grid.ending(end, zone)
        end = step(end, grid.frequency, 1, zone)
