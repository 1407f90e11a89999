"""The scheduler: run jobs at fixed intervals, and enqueue work that a crash lost.

One scheduler leads. The others wait for its lock.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any, NamedTuple

from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy.orm import Session

from dcmon import authors, db, errors
from dcmon.app import App
from dcmon.authors import DCMON
from dcmon.db import Organization, filled_tables
from dcmon.db.leader_lock import Leadership
from dcmon.db.work_queue import Work
from dcmon.health import process_heartbeats, scheduler_runs
from dcmon.health.scheduler_runs import ScheduledJobName
from dcmon.ingestion import offsets
from dcmon.ingestion.files import sources
from dcmon.ingestion.files.scanner import Scanner, ScanStopped
from dcmon.jobs import health, prune
from dcmon.monitoring import due_windows, elapsed_windows
from dcmon.notifications import outbox, receiver_probes, receiver_tests
from dcmon.storage import ledger
from dcmon.tenancy import organizations

log = logging.getLogger(__name__)

LEAD_ATTEMPT_INTERVAL = 0.5  # seconds
SWEEP_STEP_INTERVAL, PRUNE_INTERVAL = 1, 3600  # seconds
SWEEP_STEPS = 60  # the steps of a sweep of all organizations
# Without rows in these tables there is nothing to enqueue.
TABLES_WITH_WORK = ("versions", "notifications", "receiver_tests", "webhooks")
SCAN_SECONDS = 60.0  # for the sources of an organization in a scan, so that the others get their turn
RECORD_INTERVAL = 15.0  # seconds between recorded runs of the job that runs every second
READ_RANGE_AGE, LEDGER_LINE_AGE = timedelta(hours=1), timedelta(days=1)


def run(app: App, stop: Event) -> None:
    """Lead, or wait for the lead, until stop is set."""
    with Leadership(app.engine) as leadership:
        scheduler: BackgroundScheduler | None = None
        while not stop.is_set():
            is_leader = leadership.holds()
            if is_leader and scheduler is None:
                scheduler = _start_scheduler(app, stop)
                log.info("this scheduler leads")
            elif not is_leader and scheduler is not None:
                scheduler.shutdown(wait=False)
                scheduler = None
                log.warning("this scheduler has lost the lead")
            stop.wait(LEAD_ATTEMPT_INTERVAL)
        if scheduler is not None:
            scheduler.shutdown(wait=True)


class ScheduledJob(NamedTuple):
    """A job of the leader. Its runs are recorded under `name`."""

    name: str
    call: Callable[..., object]
    arguments: Sequence[object]
    seconds: float


def _start_scheduler(app: App, stop: Event) -> BackgroundScheduler:
    """Start the jobs of the leader. A job that an outage interrupts logs the error and runs again at its next time."""
    # It warns each second while a step of the sweep takes longer; the recorded runs show a job that does not get on.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    scheduler = BackgroundScheduler(timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1})
    scan_every = app.settings.sources.scan_every.total_seconds()
    jobs = [
        ScheduledJob(ScheduledJobName.CLOCK, OrganizationSweep(app).step, [], SWEEP_STEP_INTERVAL),
        ScheduledJob(ScheduledJobName.SCAN, scan_sources, [app, stop], scan_every),
        ScheduledJob(ScheduledJobName.PRUNE, prune.run, [app, stop], PRUNE_INTERVAL),
        ScheduledJob(ScheduledJobName.COMPACT_READ_RANGES, merge_offset_moves, [app, stop], PRUNE_INTERVAL),
        ScheduledJob(ScheduledJobName.FOLD_LEDGER, merge_ledger_lines, [app, stop], PRUNE_INTERVAL),
        ScheduledJob(
            ScheduledJobName.CHECK_HEALTH, health.check_health, [app], app.settings.health.every.total_seconds()
        ),
    ]
    if (ping := app.settings.ping).url is not None:
        jobs.append(
            ScheduledJob(ScheduledJobName.PING, health.ping_dead_mans_switch, [app], ping.every.total_seconds())
        )
    _record(
        app, scheduler_runs.record_start, ScheduledJobName.LEAD, f"{process_heartbeats.HOSTNAME} (pid {os.getpid()})"
    )
    for name, call, arguments, seconds in jobs:
        recorded = log_failures(
            RecordedJob(app, name, call, RECORD_INTERVAL if name == ScheduledJobName.CLOCK else 0), name
        )
        scheduler.add_job(recorded, "interval", arguments, seconds=seconds, next_run_time=datetime.now(UTC), name=name)
    scheduler.start()
    return scheduler


def log_failures(job: Callable[..., object], name: str) -> Callable[..., None]:
    """Wrap a job so that its failure is only logged. The scheduler runs it again at its next time."""

    def run(*arguments: object) -> None:
        try:
            job(*arguments)
        except errors.DcmonError as error:
            log.warning("%s was interrupted, it runs again at its next time: %s", name, error)
        except Exception:
            log.exception("%s failed, it runs again at its next time", name)

    return run


class RecordedJob:
    """A job whose runs and outcomes are recorded. So dcmon.health.checks notices a job that does not run.

    `pause` is the minimum time between recorded runs, in seconds: a job that runs every second records only some runs.
    """

    def __init__(self, app: App, name: str, job: Callable[..., object], pause: float) -> None:
        self.app, self.name, self.job, self.pause = app, name, job, pause
        self._recorded_at = float("-inf")

    def __call__(self, *arguments: object) -> None:
        is_recorded = time.monotonic() - self._recorded_at >= self.pause
        if is_recorded:
            self._recorded_at = time.monotonic()
            _record(self.app, scheduler_runs.record_start, self.name, None)
        try:
            with authors.acting(authors.on_this_host(DCMON, f"job {self.name}")):
                summary = self.job(*arguments)
        except Exception as error:
            _record(self.app, scheduler_runs.record_failure, self.name, str(error) or type(error).__name__)
            raise
        if is_recorded:
            _record(self.app, scheduler_runs.record_success, self.name, summary if isinstance(summary, str) else None)


def _record(app: App, write: Callable[[Session, str, Any], None], name: str, detail: str | None) -> None:
    """Record the start or outcome of a run. If this fails, the run continues: it is more important than its record."""
    try:
        with app.public() as session:
            write(session, name, detail)
    except errors.DcmonError as error:
        log.debug("scheduler run %s can't be recorded: %s", name, error)


class OrganizationSweep:
    """A sweep of all organizations that may have work, each minute. One step per second avoids a peak of load."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._remaining, self._step_size = list[Organization](), 0

    def step(self) -> int:
        """Sweep the next few organizations. Return how many of them have work."""
        if not self._remaining:
            self._remaining = _organizations(self.app, *TABLES_WITH_WORK)
            self._step_size = -(-len(self._remaining) // SWEEP_STEPS)
        orgs, self._remaining = self._remaining[: self._step_size], self._remaining[self._step_size :]
        return sweep(self.app, orgs)


def sweep(app: App, orgs: Sequence[Organization] | None = None) -> int:
    """Enqueue organizations that have work, in case a crash left them out of the queue. Return how many.

    Also make elapsed windows of live versions due. An organization without work costs one statement.
    """
    with_work = 0
    has_probes = receiver_probes.has_work(app.settings.webhooks)
    has_messages = f"({outbox.HAS_WORK}) or {receiver_tests.HAS_WORK} or {has_probes}"
    query = f"select {due_windows.HAS_DUE_WINDOWS}, {has_messages}, {elapsed_windows.MAY_HAVE_ELAPSED}"
    with db.peeking(app.engine) as run_query:
        for org in _organizations(app, *TABLES_WITH_WORK) if orgs is None else orgs:
            try:
                has_windows, has_notifications, may_have_elapsed = run_query(org, query)
            except errors.Unavailable as error:
                log.warning("organization %s can't be read now, the next sweep tries it again: %s", org.name, error)
                continue
            has_windows = (may_have_elapsed and _enqueue_elapsed_windows(app, org) > 0) or has_windows
            for work, has in ((Work.evaluate, has_windows), (Work.notify, has_notifications)):
                if has:
                    app.enqueue(org, work)
            with_work += bool(has_windows or has_notifications)
    return with_work


def _enqueue_elapsed_windows(app: App, org: Organization) -> int:
    now = datetime.now(UTC)
    try:
        with db.org_session(app.engine, org) as session:
            added = elapsed_windows.enqueue_elapsed(session, now, org.retention)
            stale = elapsed_windows.mark_stale(session, now)
    except errors.DcmonError as error:
        log.warning("organization %s is skipped: %s", org.name, error)
        return 0
    if added:
        log.info("organization %s: %d windows without new rows are due, because their time is over", org.name, added)
    for name in stale:
        log.warning(
            "organization %s: %s is stale: it gets no new samples, so its empty windows are not evaluated any more",
            org.name,
            name,
        )
    return added


def merge_offset_moves(app: App, stop: Event) -> int:
    """Merge older entries in the history of committed offsets. Return how many rows were removed."""
    before, removed = datetime.now(UTC) - READ_RANGE_AGE, 0
    try:
        while not stop.is_set():
            with app.public() as session:
                count = offsets.merge_moves(session, before)
            removed += count
            if not count:
                break
    except errors.DcmonError as error:
        log.warning("waiting: %s", error)
    return removed


def merge_ledger_lines(app: App, stop: Event) -> int:
    """Merge the older ledger lines of requests and batches. Return how many rows were removed."""
    before, removed = datetime.now(UTC) - LEDGER_LINE_AGE, 0
    for org in _organizations(app, "batches"):
        try:
            while not stop.is_set():
                with db.org_session(app.engine, org) as session:
                    count = ledger.merge_requests(session, before)
                removed += count
                if count < ledger.MAX_MERGED:
                    break
            with db.org_session(app.engine, org) as session:
                removed += ledger.merge_moves(session, before)
        except errors.DcmonError as error:
            log.warning("organization %s: its ledger is merged at the next run: %s", org.name, error)
    return removed


def scan_sources(app: App, stop: Event) -> int:
    """Load new files of every source. Return how many. A source that can't be scanned does not stop the others.

    Each organization has a time: after it, no file is begun, and the next scan begins with the sources that waited.
    """
    loaded = 0
    for org in _organizations(app, "sources"):
        try:
            with db.org_session(app.engine, org) as session:
                watched = [(source.name, source.last_error) for source in sources.longest_unscanned(session)]
        except errors.DcmonError as error:
            log.warning("organization %s is skipped: %s", org.name, error)
            continue
        scanner = Scanner(app.engine, org, app.settings.s3, stop, time.monotonic() + SCAN_SECONDS)
        for name, last_error in watched:
            if not scanner.is_late():
                loaded += _scan(scanner, name, last_error)
    return loaded


def _scan(scanner: Scanner, name: str, last_error: str | None) -> int:
    try:
        result = scanner.scan(name)
    except (ScanStopped, errors.Locked):
        return 0
    except errors.DcmonError as error:
        # Warn only once about the same error; `dcmon source show` shows it afterwards.
        log.log(logging.DEBUG if str(error) == last_error else logging.WARNING, "source %s: %s", name, error)
        return 0
    except Exception:
        log.exception("source %s can't be scanned", name)
        return 0
    for path in result.newly_failed:
        log.warning("source %s: %s can't be read: %s", name, path, result.failed[path])
    if result.loaded:
        log.info("organization %s, source %s: %d files loaded", scanner.org.name, name, len(result.loaded))
    return len(result.loaded)


def _organizations(app: App, *tables: str) -> list[Organization]:
    """Return the organizations that have rows in one of the tables."""
    try:
        with app.public() as session:
            orgs = organizations.entries(session)
            filled = filled_tables.schemas_with(session, *tables)
            return [org for org in orgs if org.schema in filled]
    except errors.DcmonError as error:
        log.warning("waiting: %s", error)
        return []
