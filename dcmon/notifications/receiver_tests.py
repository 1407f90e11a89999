"""Tests of receivers: asked for by a command or a request, sent by a notify worker with its own settings.

A worker that is killed between its claim and the outcome leaves a lease. When that is over, another worker sends the
test again, and after MAX_ATTEMPTS the test has failed. A test that no worker takes is given up: nothing waits
for ever.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, delete, func, select, text
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db import Organization, work_queue
from dcmon.db.tables.org import ReceiverTest, Webhook
from dcmon.db.tables.public import Worker
from dcmon.notifications import receivers
from dcmon.notifications.attempt import Attempt
from dcmon.notifications.integrations.base import DeliveryTarget, Message
from dcmon.notifications.message_types import MessageType
from dcmon.states import ProcessKind

TIMEOUT = timedelta(seconds=30)
RETENTION = timedelta(days=1)
MAX_ATTEMPTS, MAX_CLAIMED = 2, 8
POLL_SECONDS = 0.1
UNTAKEN = "No notify worker took the test in time."
LOST = "The notify worker ended before it knew the outcome."

GIVE_UP = text("""
    update receiver_tests set finished_at = now(), error = case when attempts = 0 then :untaken else :lost end
     where finished_at is null and coalesce(lease_until < now(), true) and (expires_at < now() or attempts >= :most)
""")
CLAIM = text("""
    update receiver_tests set lease_until = now() + :lease, attempts = attempts + 1, host = :host, pid = :pid
     where id in (select id from receiver_tests
                   where finished_at is null and coalesce(lease_until < now(), true)
                   order by requested_at limit :most for update skip locked)
    returning id, webhook_id, attempts
""")
NEXT_DUE_AT = text("select min(coalesce(lease_until, now())) from receiver_tests where finished_at is null")
HAS_WORK = "exists (select 1 from receiver_tests where finished_at is null)"  # an expression, as that of the outbox


@dataclass(frozen=True)
class Place:
    """The process that sends: its host and its id."""

    host: str
    pid: int


@dataclass(frozen=True)
class ClaimedTest:
    """A test that this worker sends before `send_before`, a time.monotonic(). `attempt`: 1 for the first one."""

    id: uuid.UUID
    attempt: int
    target: DeliveryTarget
    message: Message
    send_before: float


@dataclass(frozen=True)
class ReceiverTestOutcome:
    """How a test went. `host` and `pid`: the process that sent it."""

    is_delivered: bool
    status: int | None
    seconds: float
    error: str | None
    host: str
    pid: int


def test_message(org: Organization, name: str, now: datetime) -> Message:
    """Return a test message to a receiver."""
    body = {"format": 1, "type": MessageType.TEST, "timestamp": now.isoformat(), "organization": org.name}
    body["text"] = f"A test message to {name!r}: dcmon reaches it."
    return Message(f"msg_{uuid.uuid4().hex}", body)


def run(
    engine: Engine, org: Organization, find: Callable[[Session], Webhook], heartbeat_timeout: timedelta,
    timeout: timedelta = TIMEOUT,
) -> ReceiverTestOutcome:  # fmt: skip
    """Let a notify worker test the receiver that `find` returns, and wait for the outcome, in transactions of its own.

    Raises ReceiverNotFound, NoNotifyWorker, or TestUnfinished after the timeout; then no worker begins it any more.
    """
    with db.org_session(engine, org) as session:
        name, test_id = _request(session, find(session), timeout)
    if not _has_worker(engine, heartbeat_timeout):
        _cancel(engine, org, test_id)
        raise errors.NoNotifyWorker(name=name)
    work_queue.enqueue_now(engine, org.id, work_queue.Work.notify)
    end = time.monotonic() + timeout.total_seconds()
    while time.monotonic() < end:
        time.sleep(POLL_SECONDS)
        with db.org_session(engine, org) as session:
            test = session.get(ReceiverTest, test_id)
        if test is None:
            raise errors.ReceiverNotFound(name=name)
        if test.finished_at is not None:
            return _outcome(test)
    _cancel(engine, org, test_id)
    raise errors.TestUnfinished(name=name, seconds=f"{timeout.total_seconds():g}")


def _request(session: Session, receiver: Webhook, timeout: timedelta) -> tuple[str, uuid.UUID]:
    """Store a request for a test, and delete old ones."""
    session.execute(delete(ReceiverTest).where(ReceiverTest.requested_at < func.now() - RETENTION))
    test = ReceiverTest(webhook_id=receiver.id, expires_at=func.now() + timeout)
    session.add(test)
    session.flush()
    return receiver.name, test.id


def _has_worker(engine: Engine, heartbeat_timeout: timedelta) -> bool:
    statement = select(Worker.id).where(
        Worker.kind == ProcessKind.NOTIFY, Worker.ended_at.is_(None), Worker.seen_at > func.now() - heartbeat_timeout
    )
    with db.public_session(engine) as session:
        return session.execute(statement.limit(1)).first() is not None


def _cancel(engine: Engine, org: Organization, test_id: uuid.UUID) -> None:
    """Delete a test, so that no worker sends it later."""
    with db.org_session(engine, org) as session:
        session.execute(delete(ReceiverTest).where(ReceiverTest.id == test_id))


def _outcome(test: ReceiverTest) -> ReceiverTestOutcome:
    return ReceiverTestOutcome(
        test.is_delivered, test.status, test.seconds or 0.0, test.error, test.host or "", test.pid or 0
    )


def claim(session: Session, org: Organization, place: Place, timeout: timedelta) -> list[ClaimedTest]:
    """Claim tests of an organization. `timeout`: of a delivery; a lease is some seconds longer than two of them."""
    session.execute(GIVE_UP, {"untaken": UNTAKEN, "lost": LOST, "most": MAX_ATTEMPTS})
    lease = 2 * timeout + timedelta(seconds=5)
    values = {"lease": lease, "host": place.host, "pid": place.pid, "most": MAX_CLAIMED}
    claimed, now = session.execute(CLAIM, values).all(), receivers.database_time(session)
    send_before = time.monotonic() + lease.total_seconds() / 2
    webhooks = {row.id: session.get_one(Webhook, row.webhook_id) for row in claimed}
    return [
        ClaimedTest(
            row.id, row.attempts, receivers.delivery_target(webhooks[row.id], now),
            test_message(org, webhooks[row.id].name, now), send_before,
        )
        for row in claimed
    ]  # fmt: skip


def record(session: Session, claimed: ClaimedTest, attempt: Attempt) -> None:
    """Store the outcome of a test, unless another worker has claimed it meanwhile."""
    test = session.get(ReceiverTest, claimed.id, with_for_update=True)
    if test is None or test.finished_at is not None or test.attempts != claimed.attempt:
        return
    test.finished_at, test.is_delivered = func.now(), attempt.is_delivered
    test.status, test.error, test.seconds = attempt.status, attempt.error, attempt.seconds


def next_due_at(session: Session) -> datetime | None:
    """Return when a worker must look at the tests again: now, or when a lease ends; None if all are over."""
    due_at: datetime | None = session.scalar(NEXT_DUE_AT)
    return due_at
