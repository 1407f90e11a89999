"""The clockwork: what is due by wall time, and hints that a crash lost. One scheduler leads, the others wait."""

import logging
from datetime import UTC, datetime, timedelta
from threading import Event

from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import text

from dcmon import db, due, errors, ledger, offsets, organizations, outbox, sources, wake
from dcmon.app import App
from dcmon.db import Organization
from dcmon.jobs import prune
from dcmon.leadership import Leadership
from dcmon.scanning import Scanner, Stopped
from dcmon.wake import Work

log = logging.getLogger(__name__)

TRIED_EVERY = 0.5  # seconds between tries to lead
CLOCK_EVERY, SWEEP_EVERY, PRUNE_EVERY = 15, 60, 3600  # seconds
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
    scheduler = BackgroundScheduler(timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1})
    scan_every = app.settings.sources.scan_every.total_seconds()
    works = (
        (due_by_clock, [app], CLOCK_EVERY),
        (sweep, [app], SWEEP_EVERY),
        (scan_sources, [app, stop], scan_every),
        (prune.run, [app, stop], PRUNE_EVERY),
        (fold_spans, [app, stop], PRUNE_EVERY),
        (fold_lines, [app, stop], PRUNE_EVERY),
    )
    for job, given, seconds in works:
        name = f"{job.__module__}.{job.__name__}"
        scheduler.add_job(job, "interval", given, seconds=seconds, next_run_time=datetime.now(UTC), name=name)
    scheduler.start()
    return scheduler


def due_by_clock(app: App) -> int:
    """Make windows due that live versions let pass in silence; returns how many."""
    total = 0
    for org in _organizations(app):
        try:
            with db.org_session(app.engine, org) as session:
                made = due.make_due_by_clock(session, datetime.now(UTC), org.retention)
        except errors.DcmonError as error:
            log.warning("organization %s is left out: %s", org.name, error)
            continue
        if made:
            _ring(app, org, Work.evaluate)
            log.info("organization %s: %d windows are due by the clock", org.name, made)
        total += made
    return total


def fold_spans(app: App, stop: Event) -> int:
    """Make one of the spans of ingestion that are older; returns how many went."""
    before, gone = datetime.now(UTC) - SPANS_KEPT, 0
    try:
        while not stop.is_set():
            with app.public() as session:
                went = offsets.fold(session, before)
            gone += went
            if not went:
                break
    except errors.DcmonError as error:
        log.warning("waiting: %s", error)
    return gone


def fold_lines(app: App, stop: Event) -> int:
    """Make one of the ledger's lines of requests that are older; returns how many went."""
    before, gone = datetime.now(UTC) - LINES_KEPT, 0
    for org in _organizations(app):
        try:
            while not stop.is_set():
                with db.org_session(app.engine, org) as session:
                    went = ledger.fold(session, before)
                gone += went
                if went < ledger.FOLDED_AT_ONCE:
                    break
        except errors.DcmonError as error:
            log.warning("organization %s: its ledger is folded later: %s", org.name, error)
    return gone


def sweep(app: App) -> int:
    """Ring for work whose hint was lost in a crash; returns how many organizations were rung."""
    rung = 0
    for org in _organizations(app):
        try:
            with db.org_session(app.engine, org) as session:
                is_touched = "select exists (select 1 from quarter_hours where is_touched)"
                has_windows = session.scalar(text(is_touched)) or due.next_at(session) is not None
                has_notifications = outbox.next_at(session) is not None
        except errors.DcmonError as error:
            log.warning("organization %s is left out: %s", org.name, error)
            continue
        for work, has in ((Work.evaluate, has_windows), (Work.notify, has_notifications)):
            if has:
                _ring(app, org, work)
        rung += bool(has_windows or has_notifications)
    return rung


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
    except (Stopped, errors.Locked):
        return 0
    except errors.DcmonError as error:
        # Said once; then `dcmon source show` has it.
        log.log(logging.DEBUG if str(error) == last_error else logging.WARNING, "source %s: %s", name, error)
        return 0
    except Exception:
        log.exception("source %s can't be scanned", name)
        return 0
    for path in found.news:
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


def _ring(app: App, org: Organization, work: Work) -> None:
    with app.public() as session:
        wake.ring(session, org.id, work)
