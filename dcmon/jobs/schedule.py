"""The clockwork: what is due by wall time, and hints that a crash lost. One scheduler leads, the others wait."""

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon import db, due, errors, ledger, notifications, offsets, organizations, rounds, signs, sources, wake
from dcmon.app import App
from dcmon.db import Organization
from dcmon.jobs import prune, watch
from dcmon.leadership import Leadership
from dcmon.scanning import Scanner, Stopped
from dcmon.wake import Work

log = logging.getLogger(__name__)

TRIED_EVERY = 0.5  # seconds between tries to lead
CLOCK_EVERY, SWEEP_EVERY, PRUNE_EVERY = 15, 60, 3600  # seconds
TOUCHED = text("""
    select exists (select 1 from quarter_hours where is_touched) or exists (select 1 from receipts where is_touched)
""")
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
    works: list[tuple[str, Callable[[], object], float]] = [
        ("clock", lambda: due_by_clock(app), CLOCK_EVERY),
        ("sweep", lambda: sweep(app), SWEEP_EVERY),
        ("scan", lambda: scan_sources(app, stop), scan_every),
        ("prune", lambda: prune.run(app, stop), PRUNE_EVERY),
        ("fold spans", lambda: fold_spans(app, stop), PRUNE_EVERY),
        ("fold lines", lambda: fold_lines(app, stop), PRUNE_EVERY),
        ("watch", lambda: watch.judge(app), app.settings.watch.every.total_seconds()),
    ]
    if app.settings.heartbeat.url is not None:
        works.append(("heartbeat", lambda: watch.beat(app), app.settings.heartbeat.every.total_seconds()))
    _note(app, rounds.begin, rounds.LEAD, f"{signs.HERE} (pid {os.getpid()})")
    for name, work, seconds in works:
        given = {"seconds": seconds, "next_run_time": datetime.now(UTC), "name": name}
        scheduler.add_job(_round, "interval", [app, name, work], **given)
    scheduler.start()
    return scheduler


def _round(app: App, name: str, work: Callable[[], object]) -> None:
    """Make a round, and write down how it went: what is never done is noticed (dcmon.watch)."""
    _note(app, rounds.begin, name, None)
    try:
        done = work()
    except errors.DcmonError as error:
        log.warning("%s: %s", name, error)
        _note(app, rounds.fail, name, str(error))
    except Exception as error:
        log.exception("%s failed", name)
        _note(app, rounds.fail, name, f"{type(error).__name__}: {error}")
    else:
        _note(app, rounds.succeed, name, done if isinstance(done, str) else None)


def _note(app: App, how: Callable[[Session, str, Any], None], name: str, said: str | None) -> None:
    """Write something down about a round; when that can't be, the round matters more."""
    try:
        with app.public() as session:
            how(session, name, said)
    except errors.DcmonError as error:
        log.debug("round %s can't be written down: %s", name, error)


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
                has_windows = session.scalar(TOUCHED) or due.next_at(session) is not None
                has_notifications = notifications.next_at(session) is not None
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
