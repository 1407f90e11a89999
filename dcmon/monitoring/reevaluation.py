"""Windows that nothing touched and that are looked at again all the same: of a new or changed monitor, a new reference.

None that begins before the retention: it has lost rows, or will, and what it said when they were there is better.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dcmon.db.tables.org import Model, Version
from dcmon.monitoring import due_windows, schedules
from dcmon.monitoring.due_windows import VersionWindow
from dcmon.windows import Window, WindowGrid, floor, step, time_zone

WINDOWS_OF_A_NEW_MONITOR, WINDOWS_OF_A_CHANGED_MONITOR = 14, 500
SETTLED = timedelta(seconds=30)  # a reference comes in several requests: its windows wait for the last


def enqueue_for_monitor(
    session: Session, monitor_id: int, now: datetime, since: datetime | None = None, kept: timedelta | None = None
) -> int:
    """Make the last windows with samples due for a new or changed monitor; returns how many.

    With `since`, all that end from then on; at most some hundred of each version. `kept`: the organization's retention.
    """
    on = schedules.for_monitor(session, monitor_id)
    found, first = set[VersionWindow](), due_windows.retained_from(on.model, kept, now)
    versions = session.scalars(select(Version).where(Version.model_id == on.model.id, Version.watermark.is_not(None)))
    for version in versions:
        for number, window in enumerate(_last_windows(version, on.shape, on.zone, WINDOWS_OF_A_CHANGED_MONITOR)):
            is_asked = number < WINDOWS_OF_A_NEW_MONITOR or (since is not None and window.end >= since)
            if not is_asked or window.start < first:
                break
            found.add((version.id, window))
    due_windows.add(session, found)
    return len(found)


def enqueue_for_reference(session: Session, version: Version, now: datetime, kept: timedelta | None = None) -> int:
    """Make a version's last windows due, where a monitor compares them with the reference; returns how many.

    They were judged by another reference, or by none. Older results stay, and say which revision they used. `kept`: the
    organization's retention.
    """
    model, shapes = due_windows.version_grids(session, version.id, needs_reference=True)
    local, first = time_zone(model.time_zone), due_windows.retained_from(model, kept, now)
    last = {window for shape in shapes for window in _last_windows(version, shape, local)}
    found = {(version.id, window) for window in last if window.start >= first}
    due_windows.add(session, found, SETTLED)
    return len(found)


def recheck_model(session: Session, model: Model) -> None:
    """Have what waits of a model's windows looked at now: how long they wait was changed."""
    session.execute(
        text(
            "update due_windows d set due_at = now() from versions v"
            " where v.id = d.version_id and v.model_id = :model and d.due_at > now()"
        ),
        {"model": model.id},
    )


def _last_windows(
    version: Version, shape: WindowGrid, local: ZoneInfo, most: int = WINDOWS_OF_A_NEW_MONITOR
) -> Iterator[Window]:
    """The last windows that reach into a version's samples, newest first."""
    if version.watermark is None or version.earliest is None:
        return
    end = step(floor(version.watermark, shape.frequency, local), shape.frequency, 1, local)
    for _ in range(most):
        if end <= version.earliest:
            return
        yield shape.ending(end, local)
        end = step(end, shape.frequency, -1, local)
