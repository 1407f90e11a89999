"""Check the health of dcmon, report its problems, and ping the dead man's switch."""

import logging
from datetime import datetime

from dcmon import db, errors
from dcmon.app import App
from dcmon.db.work_queue import Work
from dcmon.health import (
    collector,
    current_health,
    dead_mans_switch,
    problem_notifications,
    problems,
    process_heartbeats,
)
from dcmon.health.organization_healths import LOOK_OF_SCHEDULER
from dcmon.health.problems import ProblemChanges
from dcmon.tenancy import organizations

log = logging.getLogger(__name__)


def check_health(app: App) -> str:
    """Check the health of dcmon once, store its problems and notify. Return a summary for the scheduler's run."""
    snapshot, current_problems, new_problems = current_health.collect(app.engine, app.settings, LOOK_OF_SCHEDULER)
    for problem in new_problems:
        log.warning("%s (%s)", problem.sentence, problem.command)
    with app.public() as session:
        changes = problems.store(session, current_problems, snapshot.now, app.settings.health.heartbeat_timeout)
        process_heartbeats.delete_old(session)
    _notify(app, changes, snapshot.now)
    return f"{len(current_problems)} problems"


def _notify(app: App, changes: ProblemChanges, now: datetime) -> None:
    """Notify the organization of DCMON_HEALTH__ORG. After a crash this runs again; the outbox drops the repetition."""
    if changes.is_empty:
        return
    if app.settings.health.org is not None:
        try:
            _write(app, app.settings.health.org, changes, now)
        except errors.DcmonError as error:
            log.warning("the organization of DCMON_HEALTH__ORG can't be notified: %s", error)
            return
    with app.public() as session:
        if app.settings.health.org is not None:
            problems.mark_notified(session, changes.started, now)
        problems.delete_problems(session, changes.resolved)


def _write(app: App, name: str, changes: ProblemChanges, now: datetime) -> None:
    with app.public() as session:
        org = organizations.find(session, name)
    with db.org_session(app.engine, org) as session:
        has_written = problem_notifications.write(session, org, changes, now)
    if has_written:
        app.enqueue(org, Work.notify)


def ping_dead_mans_switch(app: App) -> str:
    """Ping the dead man's switch if dcmon works. Return a summary. Raises DcmonError if the ping does not arrive."""
    settings, outgoing = app.settings.ping, app.settings.webhooks
    dead_mans_switch.require_valid_url(settings, outgoing)
    snapshot = collector.collect_processes(app.engine, app.settings)
    with app.public() as session:
        current = problems.entries(session)
    reasons = dead_mans_switch.blocking_reasons(snapshot, current, app.settings.health)
    delivery = dead_mans_switch.ping(reasons, settings, outgoing)
    if delivery is None:
        return f"withheld: {reasons[0]}"
    if not delivery.is_delivered:
        raise errors.DcmonError(delivery.error or "The receiver at DCMON_PING__URL did not respond.")
    return f"sent as failed: {reasons[0]}" if reasons else f"sent, answered {delivery.status}"
