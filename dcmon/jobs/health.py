"""Judge dcmon itself, keep and tell what is wrong, and send the heartbeat: what the leader does each minute."""

import logging
from datetime import datetime

from dcmon import db, errors
from dcmon.app import App
from dcmon.db.work_queue import Work
from dcmon.health import checks, collector, dead_mans_switch, problem_notifications, problems, process_heartbeats
from dcmon.health.problems import ProblemChanges
from dcmon.tenancy import organizations

log = logging.getLogger(__name__)


def judge(app: App) -> str:
    """Judge dcmon once, keep what is wrong, tell whoever is to be told; returns what came of it in words."""
    bounds = app.settings.watch
    facts = collector.collect(app.engine, app.settings)
    with app.public() as session:
        known = {each.key: each.since for each in problems.entries(session)}
    found = checks.with_known_start(checks.find_problems(facts, bounds), known)
    for each in found:
        if each.key not in known:
            log.warning("%s (%s)", each.sentence, each.command)
    with app.public() as session:
        to_tell = problems.store(session, found, facts.now, bounds.sign)
        process_heartbeats.delete_old(session)
    _tell(app, to_tell, facts.now)
    return f"{len(found)} conditions"


def _tell(app: App, told: ProblemChanges, now: datetime) -> None:
    """Tell the organization that is to be told; a crash in between tells again, which the outbox notices."""
    if not told.started and not told.ongoing and not told.resolved:
        return
    if app.settings.watch.org is not None:
        try:
            _write(app, app.settings.watch.org, told, now)
        except errors.DcmonError as error:
            log.warning("DCMON_WATCH__ORG can't be told: %s", error)
            return
    with app.public() as session:
        if app.settings.watch.org is not None:
            problems.mark_notified(session, told.started, now)
        problems.delete_problems(session, told.resolved)


def _write(app: App, name: str, told: ProblemChanges, now: datetime) -> None:
    with app.public() as session:
        org = organizations.find(session, name)
    with db.org_session(app.engine, org) as session:
        written = problem_notifications.write(session, org, told, now)
    if written:
        app.enqueue(org, Work.notify)


def beat(app: App) -> str:
    """Send the heartbeat when dcmon works; returns what came of it. Raises DcmonError when it does not arrive."""
    settings, outgoing = app.settings.heartbeat, app.settings.webhooks
    dead_mans_switch.require_valid_url(settings, outgoing)
    facts = collector.collect_processes(app.engine, app.settings)
    with app.public() as session:
        standing = problems.entries(session)
    ailing = dead_mans_switch.blocking_reasons(facts, standing, app.settings.watch)
    delivery = dead_mans_switch.ping(ailing, settings, outgoing)
    if delivery is None:
        return f"withheld: {ailing[0]}"
    if not delivery.is_delivered:
        raise errors.DcmonError(delivery.error or "The receiver did not answer.")
    return f"sent as failed: {ailing[0]}" if ailing else f"sent, answered {delivery.status}"
