"""Deliver notifications: claim, send, write down how it went. A crash in between delivers again, with the same id."""

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event

from dcmon import db, errors, notifications, organizations, wake, webhooks
from dcmon.app import App
from dcmon.wake import Work

log = logging.getLogger(__name__)

IDLE = timedelta(milliseconds=200)
CLAIMED_AT_ONCE = 16
SENT_AT_ONCE = 4


def run(app: App, stop: Event) -> None:
    """Deliver until stop is set. A dependency that is away is waited for."""
    is_away = False
    with ThreadPoolExecutor(SENT_AT_ONCE, thread_name_prefix="deliver") as pool:
        while not stop.is_set():
            try:
                worked = _turn(app, pool)
                if is_away:
                    log.warning("PostgreSQL is back: notifying again")
                is_away = False
            except errors.OrganizationNotFound as error:
                log.info("gone meanwhile: %s", error)
                worked = True
            except (errors.Unreachable, errors.Locked, errors.SchemaOutOfDate, errors.DiskFull) as error:
                if not is_away:
                    log.warning("waiting: %s", error)
                worked, is_away = False, True
                stop.wait(1)
            if not worked:
                stop.wait(IDLE.total_seconds())


def _turn(app: App, pool: ThreadPoolExecutor) -> bool:
    """Serve one organization that has notifications; False when none has."""
    settings = app.settings.webhooks
    lease = settings.timeout * 2 + timedelta(seconds=5)
    with app.public() as session:
        picked = wake.pick(session, Work.notify, lease)
        org = organizations.by_id(session, picked[0]) if picked else None
    if picked is None or org is None:
        return False
    with db.org_session(app.engine, org) as session:
        claimed = notifications.claim(session, CLAIMED_AT_ONCE, lease)

    def send(each: notifications.Claimed) -> webhooks.Delivery:
        return webhooks.deliver(each.url, each.secret, f"msg_{each.id.hex}", each.body, settings, datetime.now(UTC))

    for each, delivery in zip(claimed, pool.map(send, claimed), strict=True):
        with db.org_session(app.engine, org) as session:
            notifications.record(session, each.id, delivery, settings)
        log.info("notification %s: %s", each.id, delivery.error or f"delivered ({delivery.status})")
    with db.org_session(app.engine, org) as session:
        next_at = notifications.next_at(session)
    with app.public() as session:
        wake.rest(session, org.id, Work.notify, picked[1], next_at)
    return bool(claimed)
