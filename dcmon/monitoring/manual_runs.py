"""Evaluating a monitor's windows because somebody asks, not because they are due: one, or a stretch of the past."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.checks import data_flow
from dcmon.checks.worker_pool import Child
from dcmon.db import Organization
from dcmon.db.locks import LockSpace, SessionLock
from dcmon.db.tables.org import Result, Version
from dcmon.monitoring import (
    evaluation,
    flow_metrics,
    liveness,
    planner,
    reevaluation_policy,
    results,
    row_loader,
    schedules,
)
from dcmon.monitoring.due_windows import GRACE, VersionWindow
from dcmon.monitoring.row_loader import ReferenceCache
from dcmon.monitoring.schedules import Schedule
from dcmon.settings import Evaluate
from dcmon.storage import sampling
from dcmon.windows import Window

LOOKED_EVERY = 0.2  # seconds
EndRange = tuple[datetime | None, datetime | None]


def complete_windows(session: Session, monitor_id: int, span: EndRange) -> list[VersionWindow]:
    """The complete windows of a monitor that end after the first time and not after the second, in order.

    Without the first time the last one of each version.
    """
    on = schedules.for_monitor(session, monitor_id)
    after, until = span
    found = []
    for version, begins, newest in _reaches(session, on):
        end = on.floor(min(until or newest, newest))
        while end > begins and (after is None or end > after):
            found.append(VersionWindow(version.id, on.ending(end)))
            if after is None:
                break
            end = on.step(end, -1)
    return sorted(found, key=lambda each: (each[1].end, each[0]))


def _reaches(session: Session, on: Schedule) -> Iterator[tuple[Version, datetime, datetime]]:
    """The versions that have windows, from when to when; the flow of rows can be counted where there are none, too."""
    for version in session.scalars(select(Version).where(Version.model_id == on.model.id).order_by(Version.id)):
        if data_flow.is_flow(on.check):
            yield version, *flow_metrics.countable_range(on.model, version, datetime.now(UTC))
        elif version.earliest is not None and version.watermark is not None:
            yield version, version.earliest, version.watermark


def unevaluated_windows(
    session: Session,
    monitor_id: int,
    wanted: Sequence[VersionWindow],
    settings: Evaluate,
    kept: timedelta | None = None,
) -> list[VersionWindow]:
    """Those windows that have no result of the monitor as it is now, on what is there now.

    `kept`: the organization's retention.
    """
    now = datetime.now(UTC)
    return [each for each in wanted if not planner.is_answered(session, *each, monitor_id, settings, now, kept)]


def evaluate_windows(
    engine: Engine,
    org: Organization,
    monitor_id: int,
    wanted: Sequence[VersionWindow],
    settings: Evaluate,
    public_url: str | None,
) -> Iterator[Result]:
    """Evaluate these windows now, each stored and judged by itself: the newest result of each, as it is stored.

    Without `public_url` nobody is notified.
    """
    kept = ReferenceCache()
    with Child(settings) as child:
        for version_id, window in wanted:
            with db.org_session(engine, org, snapshot=True) as session:
                now = datetime.now(UTC)
                plan = planner.plan(
                    session, version_id, window, now, settings, now, only=monitor_id, kept=org.retention
                )
                workload, known = row_loader.build_workload(session, org, plan, settings, kept)
            answers = [*known, *child.run(workload)]
            with db.org_session(engine, org) as session:
                # Who asks is told of old windows too.
                evaluation.store(session, org, plan, answers, public_url, None, only=monitor_id)
                found = results.newest_by_monitor(session, version_id, window, [monitor_id]).get(monitor_id)
            if found is not None:
                yield found


@contextmanager
def exclusive_run(
    engine: Engine, org: Organization, name: str, monitor_id: int, wait: timedelta, say: Callable[[str], None]
) -> Iterator[None]:
    """Be the only one who runs a monitor by hand; whoever does is waited for. Raises Locked when it takes too long."""
    until, is_said = time.monotonic() + wait.total_seconds(), False
    with SessionLock(engine, LockSpace.MANUAL_RUN, lock_name(org, monitor_id)) as lock:
        while not lock.try_acquire():
            if time.monotonic() > until:
                raise errors.MonitorBusy(name=name)
            if not is_said:
                say(f"waiting: another run or backfill works on {name}")
                is_said = True
            time.sleep(LOOKED_EVERY)
        yield


def lock_name(org: Organization, monitor_id: int) -> str:
    """The name of the lock that a manual run of a monitor holds."""
    return f"{org.schema}/{monitor_id}"


def wait_until_complete(
    look: Callable[[], tuple[list[VersionWindow], str | None]], timeout: timedelta, say: Callable[[str], None]
) -> list[VersionWindow]:
    """Wait until `look` (which is `readiness` in a session) names no reason to wait. Raises StillIncomplete."""
    until, said = time.monotonic() + timeout.total_seconds(), ""
    while True:
        ready, why = look()
        if why is None:
            return ready
        if time.monotonic() > until:
            raise errors.StillIncomplete(why=why)
        if why != said:
            say(f"waiting: {why}")
            said = why
        time.sleep(LOOKED_EVERY)


def readiness(
    session: Session, monitor_id: int, at: datetime | None, now: datetime
) -> tuple[list[VersionWindow], str | None]:
    """The complete windows that end at `at` or before (None: now), one of each version, and why to wait for others.

    Live versions are waited for until newer samples came, or the clock says that the window is over; those that fell
    silent or were loaded are not, as long as another one has the window.
    """
    on = schedules.for_monitor(session, monitor_id)
    window = on.ending(on.floor(at or now))
    ready, waiting = list[VersionWindow](), list[str]()
    for version, begins, newest in _reaches(session, on):
        is_flow = data_flow.is_flow(on.check)
        if is_flow and window.end <= begins:
            continue
        why = _why_not_counted(window, newest) if is_flow else _why_not(session, on, version, window, now)
        if why is None:
            ready.append(VersionWindow(version.id, window))
        elif liveness.classify(on.model, version) in ("live", "empty") or why.startswith("labels"):
            waiting.append(f"version {version.name} of {on.model.name}: {why}")
    if waiting or not ready:
        nothing = f"no version of {on.model.name} has samples newer than {window.end:%Y-%m-%d %H:%M} UTC"
        return ready, "; ".join(waiting) or nothing
    return ready, None


def _why_not_counted(window: Window, newest: datetime) -> str | None:
    """The flow of rows is counted when a window's time is over, whether or not there are rows."""
    return None if window.end <= newest else f"its rows are counted until {newest:%Y-%m-%d %H:%M} UTC"


def _why_not(session: Session, on: Schedule, version: Version, window: Window, now: datetime) -> str | None:
    assert version.watermark is not None
    is_over = liveness.classify(on.model, version) == "live" and window.end + on.model.lateness + GRACE <= now
    if version.watermark < window.end + on.model.lateness and not is_over:
        return f"its newest sample is of {version.watermark:%Y-%m-%d %H:%M} UTC"
    return _why_unlabelled(session, on, version, window, now) if on.check.needs_labels else None


def _why_unlabelled(session: Session, on: Schedule, version: Version, window: Window, now: datetime) -> str | None:
    """What lacks labels that are still waited for: the window, or the one that it is compared with."""
    for each in (window, planner.compared(on.monitor, on.check, window, on.zone)):
        there = None if each is None else sampling.extent(session, version.id, each.start, each.end)
        if there is not None and reevaluation_policy.labels_awaited_until(
            [there], on.model.label_ratio, on.model.label_delay, now
        ):
            where = "" if each == window else " of the window that it is compared with"
            return f"labels of {there.n_labelled} of {there.n} samples{where} are there"
    return None
