"""The clockwork: what is due by wall time, and hints that a crash lost. One scheduler leads, the others wait."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.app import App
from dcmon.db import Organization
from dcmon.db.leader_lock import Leadership
from dcmon.db.work_queue import Work
from dcmon.health import process_heartbeats, scheduler_runs
from dcmon.ingestion import offsets
from dcmon.ingestion.files import sources
from dcmon.ingestion.files.scanner import Scanner, ScanStopped
from dcmon.jobs import health, prune
from dcmon.monitoring import due_windows, elapsed_windows
from dcmon.notifications import outbox
from dcmon.storage import ledger
from dcmon.tenancy import organizations

log = logging.getLogger(__name__)

TRIED_EVERY = 0.5  # seconds between tries to lead
TURN_EVERY, TURNS, PRUNE_EVERY = 1, 60, 3600  # seconds, and turns that a round takes
NOTED_EVERY = 15.0  # seconds
SPANS_KEPT, LINES_KEPT = timedelta(hours=1), timedelta(days=1)


def run(app: App, stop: Event) -> None:
    """Lead, or wait to, until stop is set."""
    with Leadership(app.engine) as leadership:
        scheduler: BackgroundScheduler | None = None
        while not stop.is_set():
            leads = leadership.holds()
            if leads and scheduler is None:
                scheduler = _clockwork(app, stop)
                log.info("this scheduler leads")
            elif not leads and scheduler is not None:
                scheduler.shutdown(wait=False)
                scheduler = None
                log.warning("this scheduler leads no more")
            stop.wait(TRIED_EVERY)
        if scheduler is not None:
            scheduler.shutdown(wait=True)


def _clockwork(app: App, stop: Event) -> BackgroundScheduler:
    """What the leader does, and how often. A work that an outage interrupts says so, and is done the next time."""
    scheduler = BackgroundScheduler(timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1})
    scan_every = app.settings.sources.scan_every.total_seconds()
    works: list[tuple[str, Callable[..., object], Sequence[object], float]] = [
        ("clock", Round(app).turn, [], TURN_EVERY),
        ("scan", scan_sources, [app, stop], scan_every),
        ("prune", prune.run, [app, stop], PRUNE_EVERY),
        ("fold spans", fold_spans, [app, stop], PRUNE_EVERY),
        ("fold lines", fold_lines, [app, stop], PRUNE_EVERY),
        ("watch", health.judge, [app], app.settings.watch.every.total_seconds()),
    ]
    if app.settings.heartbeat.url is not None:
        works.append(("heartbeat", health.beat, [app], app.settings.heartbeat.every.total_seconds()))
    _note(app, scheduler_runs.record_start, scheduler_runs.LEAD, f"{process_heartbeats.HOSTNAME} (pid {os.getpid()})")
    for name, work, given, seconds in works:
        noted = guarded(Noted(app, name, work, NOTED_EVERY if name == "clock" else 0), name)
        scheduler.add_job(noted, "interval", given, seconds=seconds, next_run_time=datetime.now(UTC), name=name)
    scheduler.start()
    return scheduler


def guarded(work: Callable[..., object], name: str) -> Callable[..., None]:
    """A work whose failure is said and forgotten: the clockwork goes on, and does it again the next time."""

    def run(*given: object) -> None:
        try:
            work(*given)
        except errors.DcmonError as error:
            log.warning("%s waits: %s", name, error)
        except Exception:
            log.exception("%s failed; it is tried again", name)

    return run


class Noted:
    """A work that writes down when it is done and how that went: what is never done is noticed (dcmon.health.checks).

    `pause`: between two that are written down; one that is done every second need not be each time.
    """

    def __init__(self, app: App, name: str, work: Callable[..., object], pause: float) -> None:
        self.app, self.name, self.work, self.pause = app, name, work, pause
        self._noted = float("-inf")

    def __call__(self, *given: object) -> None:
        is_noted = time.monotonic() - self._noted >= self.pause
        if is_noted:
            self._noted = time.monotonic()
            _note(self.app, scheduler_runs.record_start, self.name, None)
        try:
            done = self.work(*given)
        except Exception as error:
            _note(self.app, scheduler_runs.record_failure, self.name, str(error) or type(error).__name__)
            raise
        if is_noted:
            _note(self.app, scheduler_runs.record_success, self.name, done if isinstance(done, str) else None)


def _note(app: App, how: Callable[[Session, str, Any], None], name: str, said: str | None) -> None:
    """Write something down about a round; when that can't be, the round matters more."""
    try:
        with app.public() as session:
            how(session, name, said)
    except errors.DcmonError as error:
        log.debug("round %s can't be written down: %s", name, error)


class Round:
    """The round of the organizations, in a minute, a few each second: no look at thousands of them at once."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._left, self._share = list[Organization](), 0

    def turn(self) -> int:
        """Look at the next few; returns how many of them have work."""
        if not self._left:
            self._left = _organizations(self.app)
            self._share = -(-len(self._left) // TURNS)
        these, self._left = self._left[: self._share], self._left[self._share :]
        return sweep(self.app, these)


def sweep(app: App, orgs: Sequence[Organization] | None = None) -> int:
    """Ring for work whose hint was lost in a crash, and make due what live versions let pass; returns for how many.

    An organization that has nothing to do costs one statement.
    """
    rung = 0
    look = f"select {due_windows.HAS_DUE_WINDOWS}, {outbox.HAS_WORK}, {elapsed_windows.MAY_HAVE_ELAPSED}"
    with db.peeking(app.engine) as peek:
        for org in _organizations(app) if orgs is None else orgs:
            found = peek(org, look)
            if found is None:
                log.warning("organization %s is left out", org.name)
                continue
            has_windows, has_notifications, is_silent = found
            has_windows = (is_silent and _judge_by_clock(app, org) > 0) or has_windows
            for work, has in ((Work.evaluate, has_windows), (Work.notify, has_notifications)):
                if has:
                    app.enqueue(org, work)
            rung += bool(has_windows or has_notifications)
    return rung


def _judge_by_clock(app: App, org: Organization) -> int:
    now = datetime.now(UTC)
    try:
        with db.org_session(app.engine, org) as session:
            made = elapsed_windows.enqueue_elapsed(session, now, org.retention)
            stale = elapsed_windows.mark_stale(session, now)
    except errors.DcmonError as error:
        log.warning("organization %s is left out: %s", org.name, error)
        return 0
    if made:
        log.info("organization %s: %d windows are due by the clock", org.name, made)
    for name in stale:
        log.warning(
            "organization %s: no samples of %s any more: it is stale, and not judged by the clock", org.name, name
        )
    return made


def fold_spans(app: App, stop: Event) -> int:
    """Make one of the spans of ingestion that are older; returns how many went."""
    before, gone = datetime.now(UTC) - SPANS_KEPT, 0
    try:
        while not stop.is_set():
            with app.public() as session:
                went = offsets.compact(session, before)
            gone += went
            if not went:
                break
    except errors.DcmonError as error:
        log.warning("waiting: %s", error)
    return gone


def fold_lines(app: App, stop: Event) -> int:
    """Make one of the ledger's lines of requests and batches that are older; returns how many went."""
    before, gone = datetime.now(UTC) - LINES_KEPT, 0
    for org in _organizations(app):
        try:
            while not stop.is_set():
                with db.org_session(app.engine, org) as session:
                    went = ledger.fold(session, before)
                gone += went
                if went < ledger.FOLDED_AT_ONCE:
                    break
            with db.org_session(app.engine, org) as session:
                gone += ledger.fold_moves(session, before)
        except errors.DcmonError as error:
            log.warning("organization %s: its ledger is folded later: %s", org.name, error)
    return gone


def scan_sources(app: App, stop: Event) -> int:
    """Load new files of every source; returns how many. A source that can't be scanned costs itself only."""
    loaded = 0
    for org in _organizations(app):
        try:
            with db.org_session(app.engine, org) as session:
                watched = [(source.name, source.last_error) for source in sources.entries(session) if source.is_active]
        except errors.DcmonError as error:
            log.warning("organization %s is left out: %s", org.name, error)
            continue
        for name, last_error in watched:
            loaded += _scan(app, org, name, last_error, stop)
    return loaded


def _scan(app: App, org: Organization, name: str, last_error: str | None, stop: Event) -> int:
    try:
        found = Scanner(app.engine, org, app.settings.s3, stop).scan(name)
    except (ScanStopped, errors.Locked):
        return 0
    except errors.DcmonError as error:
        # Said once; then `dcmon source show` has it.
        log.log(logging.DEBUG if str(error) == last_error else logging.WARNING, "source %s: %s", name, error)
        return 0
    except Exception:
        log.exception("source %s can't be scanned", name)
        return 0
    for path in found.newly_failed:
        log.warning("source %s: %s can't be read: %s", name, path, found.failed[path])
    if found.loaded:
        log.info("organization %s, source %s: %d files loaded", org.name, name, len(found.loaded))
    return len(found.loaded)


def _organizations(app: App) -> list[Organization]:
    try:
        with app.public() as session:
            return organizations.entries(session)
    except errors.DcmonError as error:
        log.warning("waiting: %s", error)
        return []
