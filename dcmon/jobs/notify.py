"""Deliver notifications: claim, send, record the outcome. After a crash, messages are sent again with the same ids."""

import logging
import os
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
from dcmon.health.process_heartbeats import HOSTNAME
from dcmon.jobs.worker_loop import claim_organization, poll_until_stopped
from dcmon.notifications import outbox, receiver_probes, receiver_tests, receivers
from dcmon.notifications.integrations import registry
from dcmon.notifications.integrations.base import DeliverySettings
from dcmon.notifications.notification_writer import AlertRenderer
from dcmon.notifications.outbox import ClaimedMessage
from dcmon.notifications.receiver_probes import ClaimedProbe
from dcmon.notifications.receiver_tests import ClaimedTest, Place

log = logging.getLogger(__name__)

IDLE = timedelta(milliseconds=100)
RETRY_PAUSE = timedelta(milliseconds=200)  # before the next try if messages are due but there is no capacity
LEASE = timedelta(seconds=1)  # how long other workers skip a claimed organization
MAX_IN_FLIGHT, MAX_PER_ORGANIZATION, MAX_PER_RECEIVER = 64, 16, 4  # messages
MAX_PROBES = 4  # in flight, each on a thread: none waits for one


def run(app: App, stop: Event) -> None:
    """Deliver until stop is set. During outages of PostgreSQL, wait."""
    with (
        ThreadPoolExecutor(MAX_IN_FLIGHT, thread_name_prefix="deliver") as pool,
        ThreadPoolExecutor(MAX_PROBES, thread_name_prefix="probe") as probe_pool,
    ):
        deliveries, probes = DeliveryPool(app, pool), ProbePool(app, probe_pool)
        poll_until_stopped(stop, lambda: _poll(app, deliveries, probes), IDLE, log)


class DeliveryPool:
    """The messages in flight, limited per receiver, per organization and in total.

    A receiver gets only one message at a time before its first successful delivery and after a failed one. Receivers
    whose last delivery failed share half of the capacity, so that the other half stays free for working receivers.
    """

    def __init__(self, app: App, pool: ThreadPoolExecutor) -> None:
        self._app, self._pool, self._lock = app, pool, threading.Lock()
        self._delivery_settings = DeliverySettings(app.settings.webhooks, app.settings.smtp)
        self._in_flight = Counter[tuple[int, int]]()
        self._last_succeeded: dict[tuple[int, int], bool] = {}

    def capacity(self, org_id: int, receiver_id: int, claimed: int = 0) -> int:
        """Return how many more messages a receiver may get. `claimed`: messages just claimed for other receivers."""
        with self._lock:
            key = (org_id, receiver_id)
            total, of_org, has_succeeded = self._in_flight.total(), self._count(org_id), self._last_succeeded.get(key)
            capacity = min(MAX_IN_FLIGHT - total - claimed, MAX_PER_ORGANIZATION - of_org - claimed)
            capacity = min(capacity, (MAX_PER_RECEIVER if has_succeeded else 1) - self._in_flight[key])
            if has_succeeded is False:
                capacity = min(
                    capacity, MAX_IN_FLIGHT // 2 - self._failing(), MAX_PER_ORGANIZATION // 2 - self._failing(org_id)
                )
            return max(0, capacity)

    def _count(self, org_id: int) -> int:
        return sum(count for (org, _), count in self._in_flight.items() if org == org_id)

    def _failing(self, org_id: int | None = None) -> int:
        """Count the messages in flight to receivers whose last delivery failed."""
        failing = (
            key for key in self._in_flight if self._last_succeeded.get(key) is False and org_id in (None, key[0])
        )
        return sum(self._in_flight[key] for key in failing)

    def busy(self, org_id: int) -> list[int]:
        """Return the ids of receivers without capacity. The end of a delivery enqueues their organization again."""
        with self._lock:
            receiver_ids = [
                receiver_id for (org, receiver_id), count in self._in_flight.items() if org == org_id and count
            ]
        return [receiver_id for receiver_id in receiver_ids if self.capacity(org_id, receiver_id) == 0]

    def send(self, org: Organization, claimed: ClaimedMessage) -> None:
        """Send a message on a thread of the pool."""
        with self._lock:
            self._in_flight[org.id, claimed.receiver_id] += 1
        self._pool.submit(self._send, org, claimed)

    def _send(self, org: Organization, claimed: ClaimedMessage) -> None:
        key, name, is_delivered = (org.id, claimed.receiver_id), claimed.message.id, False
        try:
            if time.monotonic() > claimed.send_before:
                log.warning("message %s: its lease has expired, another worker sends it", name)
                return
            delivery = registry.send(claimed.target, claimed.message, self._delivery_settings)
            is_delivered = delivery.is_delivered
            outcome = f"delivered in {delivery.seconds:.2f} s" if is_delivered else delivery.error
            log.info("message %s to %s: %s", name, claimed.target.name, outcome)
            with db.org_session(self._app.engine, org) as session:
                outbox.record(session, claimed, delivery, self._delivery_settings.webhooks)
        except errors.DcmonError as error:
            log.warning("message %s: its outcome is not recorded, so it is sent again: %s", name, error)
        except Exception:
            log.exception("message %s: its outcome is not recorded, so it is sent again", name)
        finally:
            with self._lock:
                self._in_flight[key] -= 1
                self._in_flight += Counter()  # removes receivers that have no message in flight
                self._last_succeeded[key] = is_delivered
            self._enqueue_next(org)

    def test(self, org: Organization, claimed: ClaimedTest) -> None:
        """Send a test on a thread of the pool. Tests are few, and don't count in the limits of messages."""
        self._pool.submit(self._test, org, claimed)

    def _test(self, org: Organization, claimed: ClaimedTest) -> None:
        try:
            if time.monotonic() > claimed.send_before:
                log.warning("test of %s: its lease has expired, another worker sends it", claimed.target.name)
                return
            delivery = registry.send(claimed.target, claimed.message, self._delivery_settings)
            log.info("test of %s: %s", claimed.target.name, delivery.error or "delivered")
            with db.org_session(self._app.engine, org) as session:
                receiver_tests.record(session, claimed, delivery)
        except errors.DcmonError as error:
            log.warning("test of %s: its outcome is not recorded: %s", claimed.target.name, error)
        except Exception:
            log.exception("test of %s: its outcome is not recorded", claimed.target.name)

    def _enqueue_next(self, org: Organization) -> None:
        """Enqueue the organization for its next due message, now that its receiver has capacity."""
        try:
            with db.org_session(self._app.engine, org) as session:
                next_at = outbox.next_due_at(session, self._delivery_settings.webhooks)
            if next_at is not None:
                with self._app.public() as session:
                    work_queue.enqueue(session, org.id, Work.notify, next_at)
        except errors.DcmonError as error:
            log.info("organization %s: not enqueued, the scheduler enqueues it within a minute: %s", org.name, error)


class ProbePool:
    """The probes in flight. They have threads of their own: addresses that hang don't take those of messages."""

    def __init__(self, app: App, pool: ThreadPoolExecutor) -> None:
        self._app, self._pool, self._lock, self._in_flight = app, pool, threading.Lock(), 0

    def capacity(self) -> int:
        """Return how many more probes may be claimed."""
        with self._lock:
            return MAX_PROBES - self._in_flight

    def make(self, org: Organization, claimed: ClaimedProbe) -> None:
        """Connect to a receiver on a thread of the pool."""
        with self._lock:
            self._in_flight += 1
        self._pool.submit(self._make, org, claimed)

    def _make(self, org: Organization, claimed: ClaimedProbe) -> None:
        try:
            error = receiver_probes.make(claimed, self._app.settings.webhooks)
            log.info("probe of %s: %s", claimed.name, error or "reached")
            with db.org_session(self._app.engine, org) as session:
                receiver_probes.record(session, claimed, error)
        except errors.DcmonError as error:
            log.info("probe of %s: its outcome is not recorded: %s", claimed.name, error)
        except Exception:
            log.exception("probe of %s: its outcome is not recorded", claimed.name)
        finally:
            with self._lock:
                self._in_flight -= 1


def _poll(app: App, deliveries: DeliveryPool, probe_pool: ProbePool) -> bool:
    """Claim and send due messages of one organization. Return False if no organization has due messages."""
    settings, claimed_org = app.settings.webhooks, claim_organization(app, Work.notify, LEASE)
    if claimed_org is None:
        return False
    org = claimed_org.org
    with db.org_session(app.engine, org) as session:
        claimed = outbox.claim(
            session,
            AlertRenderer(org, app.settings.url, alert_payload.describe),
            settings,
            capacity=lambda receiver_id, claimed: deliveries.capacity(org.id, receiver_id, claimed),
        )
        tests = receiver_tests.claim(session, org, Place(HOSTNAME, os.getpid()), settings.timeout)
        most_probes = probe_pool.capacity()  # if none, the scheduler enqueues the organization within a minute
        probes = receiver_probes.claim(session, settings, most_probes)
    for probe in probes:
        probe_pool.make(org, probe)
    for test in tests:
        deliveries.test(org, test)
    for message in claimed:
        deliveries.send(org, message)
    with db.org_session(app.engine, org) as session:
        now = receivers.database_time(session)
        next_at = outbox.next_due_at(session, settings, busy=deliveries.busy(org.id), now=now)
        next_test_at = receiver_tests.next_due_at(session)
    if next_at is not None and not claimed:
        next_at = max(next_at, now + RETRY_PAUSE)  # a message is due, but there is no capacity
    next_probe_at = now + RETRY_PAUSE if probes and len(probes) == most_probes else None  # more may be due
    next_at = min((at for at in (next_at, next_test_at, next_probe_at) if at is not None), default=None)
    with app.public() as session:
        work_queue.release(session, org.id, Work.notify, claimed_org.seq, next_at)
    return True
