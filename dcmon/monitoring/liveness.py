"""Live and stale versions: whose windows the clock makes due, and who has fallen silent.

A version is live while its newest sample was young when it was logged (`monitoring.flow_metrics.is_live`). One that
was loaded is
history, which no clock judges.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import bindparam, or_, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import DateTime, Integer

from dcmon.checks.catalogue import DATA_FLOW
from dcmon.db.tables.org import Model, Version
from dcmon.monitoring import due_windows, empty_windows, flow_metrics
from dcmon.monitoring.due_windows import GRACE, VersionWindow
from dcmon.monitoring.flow_metrics import MAX_LIVE_AGE
from dcmon.windows import Window, floor, step, time_zone

SILENT_WINDOWS = 3  # so many windows without a sample are judged by the clock, then the version is stale
# Whether the clock may have something to judge: an hour is the shortest window that can pass in silence.
MAY_HAVE_ELAPSED = f"""
    exists (select 1 from versions v join models m on m.id = v.model_id where {flow_metrics.IS_LIVE}
               and v.watermark < now() - interval '1 hour' and v.stale_at is distinct from v.watermark)
    or {empty_windows.MAY_HAVE_EMPTY_WINDOWS}
"""
WINDOW_PARAMETERS = (
    bindparam("versions", type_=ARRAY(Integer)),
    bindparam("starts", type_=ARRAY(DateTime(timezone=True))),
    bindparam("ends", type_=ARRAY(DateTime(timezone=True))),
)
# Each window by the index on versions and windows: there may be millions of results.
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
Liveness = Literal["live", "stale", "loaded", "empty"]


def classify(model: Model, version: Version) -> Liveness:
    """Whether a version's samples come as they are made, came so until it fell silent, or were loaded."""
    if version.watermark is None or version.newest_logged_at is None:
        return "empty"
    if not flow_metrics.is_live(model, version):
        return "loaded"
    return "stale" if version.stale_at == version.watermark else "live"


def enqueue_elapsed(session: Session, now: datetime, kept: timedelta | None = None) -> int:
    """Make windows due that a live version let pass without a sample; returns how many. Stale ones are left alone."""
    found = set[VersionWindow]()
    for version in _live(session, now):
        assert version.watermark is not None
        model, shapes = due_windows.version_grids(session, version.id, reads_rows=True)
        local, first = time_zone(model.time_zone), due_windows.retained_from(model, kept, now)
        for shape in shapes:
            end = step(floor(version.watermark, shape.frequency, local), shape.frequency, 1, local)
            for _ in range(SILENT_WINDOWS):
                end = step(end, shape.frequency, 1, local)
                if end + model.lateness + GRACE > now:
                    break
                if (window := shape.ending(end, local)).start >= first:
                    found.add((version.id, window))
    fresh = found - handled_windows(session, found, is_flow=False)
    due_windows.add(session, fresh)
    return len(fresh) + _count_silences(session, now, kept)


def _count_silences(session: Session, now: datetime, kept: timedelta | None) -> int:
    """Make windows due in which nothing came, for the monitors that say so; returns how many."""
    let_pass = empty_windows.elapsed_windows(session, now, GRACE)
    found = {
        (version, window)
        for version, window, model in let_pass
        if window.start >= due_windows.retained_from(model, kept, now)
    }
    fresh = found - handled_windows(session, found, is_flow=True)
    due_windows.add(session, fresh, is_flow=True)
    return len(fresh)


def mark_stale(session: Session, now: datetime) -> Sequence[str]:
    """The versions that the clock judges no more from now on, as MODEL/VERSION: named once until samples come."""
    named = []
    for version in _live(session, now):
        assert version.watermark is not None
        model, shapes = due_windows.version_grids(session, version.id)
        local = time_zone(model.time_zone)
        silent = [
            step(floor(version.watermark, shape.frequency, local), shape.frequency, SILENT_WINDOWS + 1, local)
            for shape in shapes
        ]
        if silent and max(silent) + model.lateness + GRACE <= now:
            session.execute(update(Version).where(Version.id == version.id).values(stale_at=version.watermark))
            named.append(f"{model.name}/{version.name}")
    return named


def _live(session: Session, now: datetime) -> Sequence[Version]:
    """Live versions that may have let a window pass."""
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
    """Those that have a result, or wait for one, already: of monitors on the flow of rows, or of others."""
    if not windows:
        return set()
    found = session.execute(HANDLED_WINDOWS, window_parameters(windows, is_flow=is_flow))
    return {(row.version_id, Window(row.window_start, row.window_end)) for row in found}


def window_parameters(windows: set[VersionWindow], *, is_flow: bool) -> dict[str, Any]:
    """What JUDGED is asked with."""
    ordered = sorted(windows)
    return {
        "versions": [version_id for version_id, _ in ordered],
        "starts": [window.start for _, window in ordered],
        "ends": [window.end for _, window in ordered],
        "flow": DATA_FLOW.class_name,
        "is_flow": is_flow,
    }
