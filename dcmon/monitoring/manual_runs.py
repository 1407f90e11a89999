"""Evaluate windows of a monitor on request: `monitor run` and `monitor backfill`."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.alerting.change_context import ChangeContext
from dcmon.checks import data_flow
from dcmon.checks.evaluator import CheckEvaluator
from dcmon.db import Organization
from dcmon.db.locks import LockSpace, SessionLock
from dcmon.db.tables.org import Result, Version
from dcmon.formatting import format_moment
from dcmon.monitoring import (
    complete_windows,
    evaluation,
    liveness,
    planner,
    reevaluation_policy,
    results,
    schedules,
)
from dcmon.monitoring.due_windows import GRACE, VersionWindow
from dcmon.monitoring.liveness import Liveness
from dcmon.monitoring.planner import PlanRequest
from dcmon.monitoring.reference_cache import ReferenceCache
from dcmon.monitoring.schedules import Schedule
from dcmon.settings import Evaluate
from dcmon.storage import sampling
from dcmon.windows import Window

log = logging.getLogger(__name__)
POLL_INTERVAL = 0.2  # seconds


class Readiness(NamedTuple):
    """The windows that are complete, and the reason to wait for more windows.

    `reason`: None if no more windows are expected.
    """

    windows: list[VersionWindow]
    reason: str | None


class _WaitReason(NamedTuple):
    """Why a window of a version is not complete, and whether labels are all that is missing."""

    text: str
    is_for_labels: bool = False


def unevaluated_windows(
    session: Session,
    monitor_id: int,
    windows: Sequence[VersionWindow],
    settings: Evaluate,
    org_retention: timedelta | None = None,
) -> list[VersionWindow]:
    """Return the windows that have no up-to-date result.

    A result is up to date if it is of the monitor's current revision and of all rows that are stored now.
    """
    now = datetime.now(UTC)
    return [
        window
        for window in windows
        if not planner.is_evaluated(session, window, monitor_id, settings, now, org_retention)
    ]


def evaluate_windows(
    engine: Engine,
    org: Organization,
    monitor_id: int,
    windows: Sequence[VersionWindow],
    settings: Evaluate,
    public_url: str | None,
) -> Iterator[Result]:
    """Evaluate windows one by one, and yield the newest result of each.

    Each window has transactions of its own. Without `public_url` receivers are not notified.
    """
    cache = ReferenceCache()
    with CheckEvaluator(settings) as check_evaluator:
        for number, (version_id, window) in enumerate(windows, 1):
            started = time.monotonic()
            with db.org_session(engine, org, snapshot=True) as session:
                now = datetime.now(UTC)
                request = PlanRequest(version_id, window, touched_at=now, now=now, monitor_id=monitor_id)
                plan, workload, known_results = evaluation.prepare(session, org, request, settings, cache)
            check_results = [*known_results, *check_evaluator.run(workload)]
            with db.org_session(engine, org) as session:
                evaluation.lock_results(session, plan, check_results)
                # Receivers are notified about alerts of old windows, too, because a person asked for these windows.
                evaluation.store(session, plan, check_results, ChangeContext(org, public_url, recent=None), monitor_id)
                result = results.newest_by_monitor(session, version_id, window, [monitor_id]).get(monitor_id)
            seconds, state = time.monotonic() - started, "nothing" if result is None else result.state
            log.info(
                "organization %s, monitor %d, version %d, window %d of %d, until %s: %s in %.2f s",
                org.name, monitor_id, version_id, number, len(windows), format_moment(window.end), state, seconds,
            )  # fmt: skip
            if result is not None:
                yield result


@contextmanager
def exclusive_run(
    engine: Engine, org: Organization, name: str, monitor_id: int, timeout: timedelta, report: Callable[[str], None]
) -> Iterator[None]:
    """Lock the monitor against other manual runs, after waiting for them.

    `report`: gets the reason to wait, once. Raises MonitorBusy after `timeout`.
    """
    deadline, is_reported = time.monotonic() + timeout.total_seconds(), False
    with SessionLock(engine, LockSpace.MANUAL_RUN, lock_name(org, monitor_id)) as lock:
        while not lock.try_acquire():
            if time.monotonic() > deadline:
                raise errors.MonitorBusy(name=name)
            if not is_reported:
                report(f"waiting: another run or backfill works on {name}")
                is_reported = True
            time.sleep(POLL_INTERVAL)
        yield


def lock_name(org: Organization, monitor_id: int) -> str:
    """Return the name of the lock that a manual run of a monitor holds."""
    return f"{org.schema}/{monitor_id}"


def wait_until_complete(
    read: Callable[[], Readiness], timeout: timedelta, report: Callable[[str], None]
) -> list[VersionWindow]:
    """Poll until there is no reason to wait; return the complete windows.

    `read`: calls `readiness` in a session of its own. `report`: gets each new reason to wait. Raises StillIncomplete
    after `timeout`.
    """
    deadline, last_reason = time.monotonic() + timeout.total_seconds(), ""
    while True:
        windows, reason = read()
        if reason is None:
            return windows
        if time.monotonic() > deadline:
            raise errors.StillIncomplete(reason=reason)
        if reason != last_reason:
            report(f"waiting: {reason}")
            last_reason = reason
        time.sleep(POLL_INTERVAL)


def readiness(session: Session, monitor_id: int, at: datetime | None, now: datetime) -> Readiness:
    """Return a complete window of each version, and why to wait for more windows.

    `at`: the window ends at this time, or is the first that ends after it; None: the last window that has ended by now.
    A live version is waited for until newer samples have come, or until the time of the window is over. Stale and
    loaded versions are not waited for if another version has the window.
    """
    schedule = schedules.for_monitor(session, monitor_id)
    window = schedule.ending(schedule.floor(now)) if at is None else schedule.first_ending(at)
    is_over = window.end + schedule.model.lateness + GRACE <= now
    ready, reasons = list[VersionWindow](), list[str]()
    for version, start, newest in complete_windows.version_ranges(session, schedule, now):
        is_flow = data_flow.is_data_flow(schedule.check)
        if is_flow and window.end <= start:
            continue
        if is_over and _reaches_into_samples(version, window):
            reason = None
        elif is_flow:
            reason = _uncounted_reason(window, newest)
        else:
            reason = _incomplete_reason(schedule, version, window, is_over=is_over)
        if reason is None and schedule.check.needs_labels:
            reason = _unlabelled_reason(session, schedule, version, window, now)
        if reason is None:
            ready.append(VersionWindow(version.id, window))
            continue
        state = liveness.classify(schedule.model, version)
        if state in (Liveness.LIVE, Liveness.EMPTY) or reason.is_for_labels:
            reasons.append(f"version {version.name} of {schedule.model.name}: {reason.text}")
    if reasons or not ready:
        no_samples = f"no version of {schedule.model.name} has samples newer than {format_moment(window.end)}"
        return Readiness(ready, "; ".join(reasons) or no_samples)
    return Readiness(ready, None)


def _reaches_into_samples(version: Version, window: Window) -> bool:
    """Return True if a window begins before the newest sample."""
    return version.watermark is not None and window.start <= version.watermark


def _uncounted_reason(window: Window, newest: datetime) -> _WaitReason | None:
    """Return why arriving rows are not counted yet; None if the window's time is over."""
    if window.end <= newest:
        return None
    return _WaitReason(f"its rows are counted until {format_moment(newest)}")


def _incomplete_reason(schedule: Schedule, version: Version, window: Window, *, is_over: bool) -> _WaitReason | None:
    """Return which newer samples a window waits for; None if it is complete."""
    assert version.watermark is not None
    is_live = liveness.classify(schedule.model, version) == Liveness.LIVE
    if version.watermark < window.end + schedule.model.lateness and not (is_live and is_over):
        return _WaitReason(f"its newest sample is of {format_moment(version.watermark)}")
    return None


def _unlabelled_reason(
    session: Session, schedule: Schedule, version: Version, window: Window, now: datetime
) -> _WaitReason | None:
    """Return for how many samples labels have come; None if no more labels are awaited.

    These are labels of the window, or of the window that it is compared with.
    """
    for source in (window, schedules.compared_window(schedule, window)):
        if source is None:
            continue
        statistics = sampling.window_statistics(session, version.id, source.start, source.end)
        if reevaluation_policy.labels_awaited_until(
            [statistics], schedule.model.label_ratio, schedule.model.label_delay, now
        ):
            where = "" if source == window else " of the window that it is compared with"
            text = f"labels have come for {statistics.n_labelled} of {statistics.n} samples{where}"
            return _WaitReason(text, is_for_labels=True)
    return None
