"""Deliver notifications: claim, send, write down how it went. A crash in between delivers again, with the same id."""

import logging
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event

from dcmon import db, errors
from dcmon.alerting import alert_payload
from dcmon.app import App
from dcmon.db import Organization, work_queue
from dcmon.db.work_queue import Work
from dcmon.jobs.worker_loop import take_turns
from dcmon.notifications import outbox, receivers
from dcmon.notifications.integrations import registry
from dcmon.notifications.integrations.base import DeliverySettings
from dcmon.notifications.notification_writer import AlertRenderer
from dcmon.notifications.outbox import ClaimedMessage
from dcmon.tenancy import organizations

log = logging.getLogger(__name__)

IDLE = timedelta(milliseconds=100)
SOON = timedelta(milliseconds=200)
HOLD = timedelta(seconds=1)  # how long others leave an organization to a worker that looks at it
SENT_AT_ONCE, OF_AN_ORGANIZATION, TO_A_RECEIVER = 64, 16, 4


def run(app: App, stop: Event) -> None:
    """Deliver until stop is set. A dependency that is away is waited for."""
    with ThreadPoolExecutor(SENT_AT_ONCE, thread_name_prefix="deliver") as pool:
        at_work = Sending(app, pool)
        take_turns(stop, lambda: _turn(app, at_work), IDLE, log)


class Sending:
    """What this worker sends just now: so much to a receiver, of an organization, and in all.

    A receiver gets one message at a time until one was delivered, and again when one was not. Those that failed last
    have half of the room together, so that those that hang leave the rest for others.
    """

    def __init__(self, app: App, pool: ThreadPoolExecutor) -> None:
        self._app, self._pool, self._lock = app, pool, threading.Lock()
        self._ways = DeliverySettings(app.settings.webhooks, app.settings.smtp)
        self._to = Counter[tuple[int, int]]()
        self._went_well: dict[tuple[int, int], bool] = {}

    def room(self, org_id: int, webhook_id: int, claimed: int = 0) -> int:
        """How many messages may be sent to a receiver now, beside so many that are claimed for others."""
        with self._lock:
            key = (org_id, webhook_id)
            in_all, of_org, well = self._to.total(), self._count(org_id), self._went_well.get(key)
            left = min(SENT_AT_ONCE - in_all - claimed, OF_AN_ORGANIZATION - of_org - claimed)
            left = min(left, (TO_A_RECEIVER if well else 1) - self._to[key])
            if well is False:
                left = min(left, SENT_AT_ONCE // 2 - self._failing(), OF_AN_ORGANIZATION // 2 - self._failing(org_id))
            return max(0, left)

    def _count(self, org_id: int) -> int:
        return sum(count for (org, _), count in self._to.items() if org == org_id)

    def _failing(self, org_id: int | None = None) -> int:
        """Messages that are on their way to receivers that failed last."""
        bad = (key for key in self._to if self._went_well.get(key) is False and org_id in (None, key[0]))
        return sum(self._to[key] for key in bad)

    def busy(self, org_id: int) -> list[int]:
        """Receivers of an organization that take no more just now: when a message is there, it is looked again."""
        with self._lock:
            sent_to = [webhook for (org, webhook), count in self._to.items() if org == org_id and count > 0]
        return [webhook for webhook in sent_to if self.room(org_id, webhook) == 0]

    def send(self, org: Organization, claimed: ClaimedMessage) -> None:
        """Send a message on a thread of the pool."""
        with self._lock:
            self._to[org.id, claimed.receiver_id] += 1
        self._pool.submit(self._send, org, claimed)

    def _send(self, org: Organization, claimed: ClaimedMessage) -> None:
        key, name, is_delivered = (org.id, claimed.receiver_id), claimed.message.id, False
        try:
            if time.monotonic() > claimed.send_before:
                log.warning("message %s: it was claimed too long ago, and is sent by who claims it next", name)
                return
            sent = registry.send(claimed.target, claimed.message, self._ways)
            is_delivered = sent.is_delivered
            said = f"delivered in {sent.seconds:.2f} s" if is_delivered else sent.error
            log.info("message %s to %s: %s", name, claimed.target.name, said)
            with db.org_session(self._app.engine, org) as session:
                outbox.record(session, claimed, sent, self._ways.webhooks)
        except errors.DcmonError as error:
            log.warning("message %s: how it went is not written down, so it is sent again: %s", name, error)
        except Exception:
            log.exception("message %s: how it went is not written down, so it is sent again", name)
        finally:
            with self._lock:
                self._to[key] -= 1
                self._to += Counter()  # forget those with nothing on its way
                self._went_well[key] = is_delivered
            self._ring(org)

    def _ring(self, org: Organization) -> None:
        """There may be more for the receiver, now or later."""
        try:
            with db.org_session(self._app.engine, org) as session:
                next_at = outbox.next_due_at(session, self._ways.webhooks)
            if next_at is not None:
                with self._app.public() as session:
                    work_queue.enqueue(session, org.id, Work.notify, next_at)
        except errors.DcmonError as error:
            log.info("organization %s is looked at again within a minute: %s", org.name, error)


def _turn(app: App, at_work: Sending) -> bool:
    """Look at one organization that has notifications, and begin to send them; False when none has."""
    settings = app.settings.webhooks
    with app.public() as session:
        picked = work_queue.claim(session, Work.notify, HOLD)
        org = organizations.by_id(session, picked[0]) if picked else None
    if picked is None or org is None:
        return False
    with db.org_session(app.engine, org) as session:
        claimed = outbox.claim(
            session,
            AlertRenderer(org, app.settings.url, alert_payload.describe),
            settings,
            capacity=lambda receiver_id, claimed: at_work.room(org.id, receiver_id, claimed),
        )
    for each in claimed:
        at_work.send(org, each)
    with db.org_session(app.engine, org) as session:
        now = receivers.database_time(session)
        next_at = outbox.next_due_at(session, settings, busy=at_work.busy(org.id), now=now)
    if next_at is not None and not claimed:
        next_at = max(next_at, now + SOON)  # due, but there is no room for it
    with app.public() as session:
        work_queue.release(session, org.id, Work.notify, picked[1], next_at)
    return True
