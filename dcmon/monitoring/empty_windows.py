"""Windows in which nothing came, which only monitors on the flow of rows say something of (monitoring.flow_metrics).

Of each silence the first windows are counted: that of a live version, as the clock goes on; one between two rows, when
both are there; and that of a version which never got a row, from its creation on. After so many a version is stale.
"""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import DateTime

from dcmon.checks.catalogue import DATA_FLOW
from dcmon.db.tables.org import Check, Model, Monitor, Version
from dcmon.monitoring import flow_metrics
from dcmon.windows import Frequency, Window, WindowGrid, floor, step, time_zone

MAX_EMPTY_WINDOWS = 24  # windows of a silence
EXPANDED_AT_ONCE = 5_000

# Whether anybody counts the windows in which nothing came, and there may be one: an hour is the shortest.
MAY_HAVE_EMPTY_WINDOWS = f"""
    exists (select 1 from checks c join versions v on v.model_id = c.model_id
             where c.class_name = '{DATA_FLOW.class_name}'
               and (v.watermark is null or v.watermark < now() - interval '1 hour'))
"""
# The version is locked before its receipts, as its deletion does.
TOUCHED = text("""
    update receipts r set is_touched = false
      from (select r.version_id, r.at from receipts r join versions v on v.id = r.version_id
             where r.is_touched order by r.version_id, r.at
             limit :limit for key share of v skip locked for update of r skip locked) t
     where (r.version_id, r.at) = (t.version_id, t.at) returning r.version_id, r.at
""")
AROUND = text("""
    select p.at, t.at from unnest(:ats) t(at), lateral (
        select at from quarter_hours where version_id = :version and at < t.at and n > 0 order by at desc limit 1) p
     where p.at < t.at - interval '1 hour'
    union
    select t.at, f.at from unnest(:ats) t(at), lateral (
        select at from quarter_hours where version_id = :version and at > t.at and n > 0 order by at limit 1) f
     where f.at > t.at + interval '1 hour'
""").bindparams(bindparam("ats", type_=ARRAY(DateTime(timezone=True))))


def flow_grids(session: Session) -> dict[int, set[WindowGrid]]:
    """The shapes that windows of the monitors on the flow have, by model."""
    found: dict[int, set[WindowGrid]] = {}
    rows = session.execute(
        select(Check.model_id, Monitor.frequency, Monitor.aggregation_window)
        .join(Monitor, Monitor.check_id == Check.id)
        .where(Check.module_name == DATA_FLOW.module_name, Check.class_name == DATA_FLOW.class_name)
        .distinct()
    )
    for model_id, frequency, units in rows:
        found.setdefault(model_id, set()).add(WindowGrid(Frequency(frequency), units))
    return found


def take_touched_receipts(session: Session) -> dict[int, set[datetime]]:
    """The quarter hours in which something came or left the quarantine, by version; they are not touched any more."""
    found: dict[int, set[datetime]] = {}
    for version_id, at in session.execute(TOUCHED, {"limit": EXPANDED_AT_ONCE}):
        found.setdefault(version_id, set()).add(at)
    return found


def windows_around(
    session: Session, version: Version, touched: Collection[datetime], of: Collection[WindowGrid]
) -> set[Window]:
    """The windows without a row before and after these quarter hours, up to the next rows of the version."""
    local = time_zone(session.get_one(Model, version.model_id).time_zone)
    found = session.execute(AROUND, {"version": version.id, "ats": sorted(touched)})
    return {
        window for before, after in found for shape in of for window in windows_between(before, after, shape, local)
    }


def elapsed_windows(session: Session, now: datetime, grace: timedelta) -> Iterator[tuple[int, Window, Model]]:
    """The windows that live versions, and those that never got a row, have let pass without one."""
    of = flow_grids(session)
    versions = select(Version, Model).join(Model, Model.id == Version.model_id).where(Model.id.in_(of))
    for version, model in session.execute(versions) if of else ():
        since = version.watermark if flow_metrics.is_live(model, version) else None
        if version.watermark is None:
            since = version.created_at
        if since is not None:
            until, local = now - model.lateness - grace, time_zone(model.time_zone)
            for shape in of[model.id]:
                yield from ((version.id, window, model) for window in windows_between(since, until, shape, local))


def windows_between(before: datetime, after: datetime, shape: WindowGrid, local: ZoneInfo) -> Iterator[Window]:
    """The first windows in which there is nothing, when nothing came between these two moments."""
    last = floor(after, shape.frequency, local)
    end = step(floor(before, shape.frequency, local), shape.frequency, 1 + shape.units, local)
    for _ in range(MAX_EMPTY_WINDOWS):
        if end > last:
            return
        yield shape.ending(end, local)
        end = step(end, shape.frequency, 1, local)
