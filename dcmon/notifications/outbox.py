"""The outbox: what is written is claimed, grouped into messages, and what became of them is written down.

At least once and in order per alert: of an alert only the newest state that is not delivered is sent, and not while an
older one is on its way. A message keeps its id and its notifications from its first try on; where one of them is
superseded, or held back by now, the others go into a message of a new id, for an id stands for one content.
"""

import random
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dcmon.db import Organization, locks
from dcmon.db.locks import LockSpace
from dcmon.db.tables.org import Alert, Notification, Webhook
from dcmon.notifications import batching, integrations, message_body, receivers
from dcmon.notifications.batching import ON_ITS_WAY, OPEN, SUBJECT, ClaimContext, PendingMessage
from dcmon.notifications.http_delivery import Attempt
from dcmon.notifications.integrations.base import DeliveryTarget, Message
from dcmon.notifications.notifications import Describe
from dcmon.settings import Webhooks

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(hours=1)
REPEATED_AGAIN = timedelta(minutes=1)

# Whoever was held back is superseded unheard: then nobody was told, and the newer one has to know.
_SUPERSEDE = f"""
    with newest as (
        select distinct on ({{about}}, n.webhook_id) n.id, {{about}} as about, n.webhook_id, n.position
          from notifications n where {OPEN} and {{which}}
         order by {{about}}, n.webhook_id, n.position desc
    ), over as (
        update notifications n set dead_at = :now, is_superseded = true,
               last_error = concat_ws(' ', n.last_error, 'Superseded by a newer state.')
          from newest
         where newest.about = {{about}} and {{which}} and newest.webhook_id = n.webhook_id
           and n.position < newest.position and {OPEN} and (n.lease_until is null or n.lease_until < :now)
        returning newest.id as newer, n.message_id, case when n.attempts = 0 then n.held_because end as held
    ), dissolved as (
        update notifications n set message_id = null, is_digest = false, left_to = null
         where {OPEN} and n.message_id in (select message_id from over)
           and not exists (select 1 from newest where newest.about = {{about}} and {{which}}
                              and newest.webhook_id = n.webhook_id and newest.position > n.position)
    )
    update notifications n set held_because = over.held
      from (select newer, max(held) as held from over where held is not null group by newer) over
     where n.id = over.newer and n.held_because is null
"""
SUPERSEDE = text(_SUPERSEDE.format(about="n.alert_id", which="n.alert_id is not null"))
SUPERSEDE_OF_DCMON = text(_SUPERSEDE.format(about=SUBJECT, which="n.alert_id is null"))
OPEN_RECEIVERS = text(f"""
    select distinct n.webhook_id from notifications n
     where {OPEN} and n.due_at <= :now and (n.lease_until is null or n.lease_until < :now)
""")
# The last that a receiver was told of an alert that fires still, with nothing on its way.
TO_REPEAT = """
    select last.id, last.alert_id, last.webhook_id, coalesce(last.delivered_at, last.dead_at) + w.repeat_every as at
      from (select distinct on (n.alert_id, n.webhook_id)
                   n.id, n.alert_id, n.webhook_id, n.kind, n.delivered_at, n.dead_at
              from notifications n join alerts a on a.id = n.alert_id
             where a.state = 'firing' and a.acknowledged_at is null and not n.is_superseded
             order by n.alert_id, n.webhook_id, n.position desc) last
      join webhooks w on w.id = last.webhook_id
     where coalesce(last.delivered_at, last.dead_at) is not null
       and last.kind not in ('resolved', 'retracted')
       and w.is_active and w.repeat_every is not null and (w.paused_at is null or w.paused_until <= :now)
"""
NEXT = text(f"""
    select min(greatest(
               n.due_at, n.lease_until, w.not_before, w.paused_until,
               case when n.message_id is null and not (w.kind = any(:per_alert)) then n.created_at + :wait end))
      from notifications n join webhooks w on w.id = n.webhook_id
     where {OPEN} and not (w.id = any(:busy)) and (w.paused_at is null or w.paused_until is not null)
       and (n.lease_until >= :now or not {ON_ITS_WAY})
""")


# Whether an organization may have something to send, now or later: a hint.
HAS_WORK = """
    exists (select 1 from notifications where delivered_at is null and dead_at is null)
    or (exists (select 1 from webhooks where is_active and repeat_every is not null)
        and exists (select 1 from alerts where state = 'firing'))
"""


@dataclass(frozen=True)
class ClaimedMessage:
    """A message that this worker may send: it begins to until half of the lease is over, by time.monotonic().

    One that stood still for longer must not: another worker may have told something newer meanwhile.
    """

    id: uuid.UUID
    webhook_id: int
    to: DeliveryTarget
    message: Message
    notifications: int
    begun_by: float


Room = Callable[[int, int], int]  # how many messages may be sent to a receiver, beside so many claimed for others


def claim(
    session: Session, org: Organization, settings: Webhooks, public_url: str, describe: Describe, *,
    room: Room = lambda _, __: 4,
    lease: timedelta | None = None, now: datetime | None = None,
) -> list[ClaimedMessage]:  # fmt: skip
    """Claim what is due, and make messages of it. `now`: PostgreSQL's time when it is not given."""
    locks.acquire(session, LockSpace.NOTIFICATION_CLAIM, org.id)  # one worker at a time in an organization
    box = ClaimContext(session, org, settings, public_url, now or receivers.database_time(session), describe)
    session.execute(SUPERSEDE, {"now": box.now})
    session.execute(SUPERSEDE_OF_DCMON, {"now": box.now})
    _repeat(box)
    until = box.now + (lease or settings.timeout * 2 + timedelta(seconds=5))
    claimed: list[ClaimedMessage] = []
    for webhook_id in session.scalars(OPEN_RECEIVERS, {"now": box.now}).all():
        webhook, free = session.get_one(Webhook, webhook_id), room(webhook_id, len(claimed))
        if free > 0 and receivers.state(webhook, box.now) == "active":
            claimed += [_take(webhook, draft, box.now, until) for draft in batching.next_messages(box, webhook)[:free]]
    session.flush()
    return claimed


def _repeat(box: ClaimContext) -> None:
    """Write notifications about what still fires, where a receiver was not told of it for long."""
    session, due = box.session, text(f"select * from ({TO_REPEAT}) due where at <= :now")
    for each in session.execute(due, {"now": box.now}).all():
        alert, webhook = session.get_one(Alert, each.alert_id), session.get_one(Webhook, each.webhook_id)
        model_id = session.get_one(Notification, each.id).model_id
        if box.hold(alert) is None and receivers.is_subscribed(webhook, alert.severity, model_id):
            body = box.message(alert, "repeated")
            repeated = Notification(alert_id=alert.id, webhook_id=webhook.id, kind="repeated", body=body)
            repeated.model_id, repeated.severity = model_id, alert.severity
            repeated.created_at = repeated.due_at = box.now - box.settings.group_wait  # all that are due are there
            session.add(repeated)
    session.flush()


def _take(webhook: Webhook, draft: PendingMessage, now: datetime, until: datetime) -> ClaimedMessage:
    """Give a message its id, once, and a lease."""
    members = sorted(draft.members, key=batching.rank)
    message_id = members[0].message_id or uuid.uuid4()
    for each in members:
        each.message_id, each.is_digest, each.lease_until = message_id, draft.is_digest, until
        each.attempts, each.tried_at = each.attempts + 1, each.tried_at or now
    name = f"msg_{message_id.hex}"
    body = message_body.combine([each.body for each in members], name, is_digest=draft.is_digest)
    to, begun_by = (
        receivers.delivery_target(webhook, now, members[0].left_to),
        time.monotonic() + (until - now).total_seconds() / 2,
    )
    return ClaimedMessage(message_id, webhook.id, to, Message(name, body), len(members), begun_by)


def record(
    session: Session, claimed: ClaimedMessage, sent: Attempt, settings: Webhooks, now: datetime | None = None
) -> None:
    """Write down how a message went: done, to be tried again later, or given up."""
    at = now or receivers.database_time(session)
    webhook = session.get(Webhook, claimed.webhook_id)
    ours = select(Notification).where(Notification.message_id == claimed.id, batching.is_open())
    members = session.scalars(ours.order_by(Notification.position).with_for_update()).all()
    if webhook is None or not members:
        return
    wait = max(retry_delay(members[0].attempts), sent.wait or timedelta())
    for each in members:
        each.last_status, each.last_error, each.lease_until = sent.status, sent.error, None
        each.left_to = list(sent.left) or each.left_to
        if sent.is_delivered:
            each.delivered_at = at
        elif at - (each.tried_at or at) > settings.retry_for and not sent.is_gone:
            each.dead_at = at
        else:
            each.due_at = at + wait
    if sent.wait is not None:
        webhook.not_before = at + sent.wait
    if sent.is_gone:
        receivers.pause(session, webhook, None, 'It answered 410, it is gone. "dcmon webhook set" gives another URL.')
    session.flush()


def retry_delay(attempts: int) -> timedelta:
    """How long to wait after so many attempts: doubling from 5 s to 1 h, a tenth of it by chance."""
    longest: timedelta = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempts - 1, 20))
    return longest * (0.9 + 0.1 * random.random())


def next_due_at(
    session: Session, settings: Webhooks | None = None, *, busy: Collection[int] = (), now: datetime | None = None
) -> datetime | None:
    """When something may be due again, but to receivers that are busy; None when nothing waits."""
    at = now or receivers.database_time(session)
    per_alert = [name for name, kind in integrations.INTEGRATIONS.items() if kind.IS_PER_ALERT]
    values = {
        "now": at,
        "busy": list(busy),
        "per_alert": per_alert,
        "wait": (settings or Webhooks()).group_wait,
    }
    first = session.scalar(NEXT, values)
    repeat = session.scalar(text(f"select min(at) from ({TO_REPEAT}) due"), {"now": at})
    # What is due to be repeated and was not is held back: it is looked at again.
    again = max(repeat, at + REPEATED_AGAIN) if repeat is not None and repeat <= at else repeat
    return min((each for each in (first, again) if each is not None), default=None)
