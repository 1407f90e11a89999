"""The outbox: what is written is claimed, grouped into messages, and what became of them is written down.

At least once and in order per alert: of an alert only the newest state that is not delivered is sent, and not while an
older one is on its way. A message keeps its id and its notifications from its first try on; where one of them is
superseded, or held back by now, the others go into a message of a new id, for an id stands for one content.
"""

import random
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, select, text
from sqlalchemy.orm import Session

from dcmon import digests, notifications, receivers, silences, webhooks
from dcmon.db import Organization
from dcmon.posting import Delivery
from dcmon.receivers.kind import Message, To
from dcmon.settings import Webhooks
from dcmon.silences import Hold
from dcmon.tables.org import Alert, Notification, Webhook

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(hours=1)
HELD_AGAIN = timedelta(seconds=15)  # how often it is looked at whether what is held still is
REPEATED_AGAIN = timedelta(minutes=1)
MINUTE = timedelta(minutes=1)
LOCK = 5  # advisory lock space, beside those of dcmon.storage: one claims in an organization at a time
CLAIMED_FROM = 2000  # notifications of a receiver that are looked at
GROUP_AT_MOST = 50
RANK = {"critical": 0, "high": 1, "medium": 2, "low": 3}

OPEN = "n.delivered_at is null and n.dead_at is null"
ON_ITS_WAY = f"""
    exists (select 1 from notifications e where e.alert_id = n.alert_id and e.webhook_id = n.webhook_id
               and e.position < n.position and {OPEN.replace("n.", "e.")} and e.lease_until >= :now)
"""
# Whoever was held back is superseded unheard: then nobody was told, and the newer one has to know.
SUPERSEDE = text(f"""
    with newest as (
        select distinct on (n.alert_id, n.webhook_id) n.id, n.alert_id, n.webhook_id, n.position
          from notifications n where {OPEN} and n.alert_id is not null
         order by n.alert_id, n.webhook_id, n.position desc
    ), over as (
        update notifications n set dead_at = :now, is_superseded = true,
               last_error = concat_ws(' ', n.last_error, 'Superseded by a newer state.')
          from newest
         where newest.alert_id = n.alert_id and newest.webhook_id = n.webhook_id and n.position < newest.position
           and {OPEN} and (n.lease_until is null or n.lease_until < :now)
        returning newest.id as newer, n.message_id, case when n.attempts = 0 then n.held_because end as held
    ), dissolved as (
        update notifications n set message_id = null, is_digest = false
         where {OPEN} and n.message_id in (select message_id from over)
           and not exists (select 1 from newest where newest.alert_id = n.alert_id
                              and newest.webhook_id = n.webhook_id and newest.position > n.position)
    )
    update notifications n set held_because = over.held
      from (select newer, max(held) as held from over where held is not null group by newer) over
     where n.id = over.newer and n.held_because is null
""")
OPEN_RECEIVERS = text(f"""
    select distinct n.webhook_id from notifications n
     where {OPEN} and n.due_at <= :now and (n.lease_until is null or n.lease_until < :now)
""")
DUE = text(f"""
    select n.id from notifications n
     where n.webhook_id = :webhook and {OPEN} and n.due_at <= :now
       and (n.lease_until is null or n.lease_until < :now) and not {ON_ITS_WAY}
     order by array_position(array['critical', 'high', 'medium', 'low'], n.severity), n.position limit :limit
""")
SENT = text("""
    select min(tried_at) from notifications where webhook_id = :webhook and tried_at > :since
     group by message_id order by 1
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
WAITS = """
    exists (select 1 from notifications where delivered_at is null and dead_at is null)
    or (exists (select 1 from webhooks where is_active and repeat_every is not null)
        and exists (select 1 from alerts where state = 'firing'))
"""


@dataclass(frozen=True)
class Claimed:
    """A message that this worker may send until the lease ends."""

    id: uuid.UUID
    webhook_id: int
    to: To
    message: Message
    notifications: int


Room = Callable[[int, int], int]  # how many messages may be sent to a receiver, beside so many claimed for others


@dataclass(frozen=True)
class Outbox:
    """An organization's outbox at a moment, in the transaction that claims from it."""

    session: Session
    org: Organization
    settings: Webhooks
    public_url: str
    now: datetime
    _held: dict[int, Hold | None] = field(default_factory=dict)

    def hold(self, alert: Alert) -> Hold | None:
        """Why a notification about an alert is held back now, and until when; looked up once for each alert."""
        if alert.id not in self._held:
            self._held[alert.id] = silences.hold(self.session, alert, self.now)
        return self._held[alert.id]

    def message(self, alert: Alert, kind: str) -> dict[str, Any]:
        """What is told of an alert as it is now."""
        return notifications.message(self.session, self.org, alert, kind, self.public_url)


def claim(
    session: Session, org: Organization, settings: Webhooks, public_url: str, *, room: Room = lambda _, __: 4,
    lease: timedelta | None = None, now: datetime | None = None,
) -> list[Claimed]:  # fmt: skip
    """Claim what is due, and make messages of it. `now`: PostgreSQL's time when it is not given."""
    session.execute(text("select pg_advisory_xact_lock(:space, :org)"), {"space": LOCK, "org": org.id})
    box = Outbox(session, org, settings, public_url, now or webhooks.moment(session))
    session.execute(SUPERSEDE, {"now": box.now})
    _repeat(box)
    until = box.now + (lease or settings.timeout * 2 + timedelta(seconds=5))
    claimed: list[Claimed] = []
    for webhook_id in session.scalars(OPEN_RECEIVERS, {"now": box.now}).all():
        webhook, free = session.get_one(Webhook, webhook_id), room(webhook_id, len(claimed))
        if free > 0 and webhooks.state(webhook, box.now) == "active":
            claimed += [_take(webhook, draft, box.now, until) for draft in _drafts(box, webhook)[:free]]
    session.flush()
    return claimed


def _repeat(box: Outbox) -> None:
    """Write notifications about what still fires, where a receiver was not told of it for long."""
    session, due = box.session, text(f"select * from ({TO_REPEAT}) due where at <= :now")
    for each in session.execute(due, {"now": box.now}).all():
        alert, webhook = session.get_one(Alert, each.alert_id), session.get_one(Webhook, each.webhook_id)
        model_id = session.get_one(Notification, each.id).model_id
        if box.hold(alert) is None and webhooks.wants(webhook, alert.severity, model_id):
            body = box.message(alert, "repeated")
            repeated = Notification(alert_id=alert.id, webhook_id=webhook.id, kind="repeated", body=body)
            repeated.model_id, repeated.severity = model_id, alert.severity
            repeated.created_at = repeated.due_at = box.now - box.settings.group_wait  # all that are due are there
            session.add(repeated)
    session.flush()


@dataclass(frozen=True)
class Draft:
    """Notifications that go in one message."""

    members: Sequence[Notification]
    is_digest: bool = False

    @property
    def rank(self) -> tuple[int, int]:
        """The worst first, then the oldest."""
        return min(map(_rank, self.members))


def _rank(each: Notification) -> tuple[int, int]:
    return RANK.get(each.severity or "", len(RANK)), each.position


def _drafts(box: Outbox, webhook: Webhook) -> list[Draft]:
    """What may be sent to a receiver now: what was tried before, as it was, and what is new."""
    found = _due(box, webhook)
    is_per_alert = receivers.find(webhook.kind).IS_PER_ALERT
    drafts = _again(box, found, is_per_alert)
    news = [each for each in found if each.message_id is None and _is_news(box, each, is_per_alert)]
    fresh = [Draft([each]) for each in news] if is_per_alert else _groups(news, box.now - box.settings.group_wait)
    capped = _capped(box, webhook, sorted(fresh, key=lambda draft: draft.rank), is_per_alert)
    return sorted([*drafts, *capped], key=lambda draft: (draft.is_digest, draft.rank))


def _again(box: Outbox, found: Sequence[Notification], is_per_alert: bool) -> list[Draft]:
    """Messages that were tried before, as they were; those with something that is held back by now are taken apart."""
    begun: dict[uuid.UUID, list[Notification]] = {}
    for each in found:
        if each.message_id is not None:
            begun.setdefault(each.message_id, []).append(each)
    for message_id, members in list(begun.items()):
        if any(_hold(box, each, is_per_alert) for each in members):
            for each in begun.pop(message_id):
                each.message_id, each.is_digest, each.tried_at = None, False, None
    return [Draft(members, members[0].is_digest) for members in begun.values()]


def _hold(box: Outbox, each: Notification, is_per_alert: bool) -> Hold | None:
    """What holds a notification back now; the end of an incident wakes nobody."""
    alert = box.session.get(Alert, each.alert_id) if each.alert_id is not None else None
    wakes_nobody = is_per_alert and each.kind in notifications.ENDS
    return None if alert is None or wakes_nobody else box.hold(alert)


def _due(box: Outbox, webhook: Webhook) -> list[Notification]:
    """What is due to a receiver, with all that goes in the same messages; the worst first."""
    values = {"webhook": webhook.id, "now": box.now, "limit": CLAIMED_FROM}
    ids = box.session.scalars(DUE, values).all()
    found = box.session.scalars(select(Notification).where(Notification.id.in_(ids))).all()
    begun = {each.message_id for each in found if each.message_id is not None}
    rest = box.session.scalars(select(Notification).where(Notification.message_id.in_(begun), _is_open())).all()
    return sorted({each.id: each for each in (*found, *rest)}.values(), key=_rank)


def _is_open() -> ColumnElement[bool]:
    return and_(Notification.delivered_at.is_(None), Notification.dead_at.is_(None))


def _is_news(box: Outbox, each: Notification, is_per_alert: bool) -> bool:
    """Whether a notification that is in no message is to be sent now: neither held back nor without meaning."""
    alert = box.session.get(Alert, each.alert_id) if each.alert_id is not None else None
    if alert is None:
        return True
    means_nothing = each.kind == "retracted" or (each.held_because and each.kind in notifications.ONLY_TO_THE_TOLD)
    if means_nothing and not _is_told(box, each):
        return _drop(box, each, "Nobody was told of the alert before.")
    hold = _hold(box, each, is_per_alert)
    if hold is not None:
        again = box.now + HELD_AGAIN  # whatever holds it may be ended before its time
        each.held_because, each.due_at = hold.reason, min(hold.until or again, again)
        return False
    if each.held_because is not None:
        return _release(box, each, alert)
    return True


def _release(box: Outbox, each: Notification, alert: Alert) -> bool:
    """What was held back goes out with what is true now; not where the alert is over."""
    if each.kind not in notifications.ENDS and alert.state == "resolved":
        return _drop(box, each, "The alert was over before anybody was told of it.")
    each.held_because, each.body = None, box.message(alert, each.kind)
    return True


def _drop(box: Outbox, each: Notification, why: str) -> bool:
    each.dead_at, each.is_superseded, each.last_error = box.now, True, why
    return False


def _is_told(box: Outbox, each: Notification) -> bool:
    """Whether a receiver may know that an alert fires: the last that it may have got is not an end."""
    last = box.session.scalar(
        select(Notification.kind)
        .where(
            Notification.alert_id == each.alert_id,
            Notification.webhook_id == each.webhook_id,
            Notification.position < each.position,
            Notification.attempts > 0,
        )
        .order_by(Notification.position.desc())
        .limit(1)
    )
    return last is not None and last not in notifications.ENDS


def _groups(news: Sequence[Notification], ready: datetime) -> list[Draft]:
    """Notifications by model, where the first of them has waited for others."""
    by_model: dict[int | None, list[Notification]] = {}
    for each in news:
        by_model.setdefault(each.model_id, []).append(each)
    return [
        Draft(members[start : start + GROUP_AT_MOST])
        for members in by_model.values()
        if min(each.created_at for each in members) <= ready or any(each.attempts for each in members)
        for start in range(0, len(members), GROUP_AT_MOST)
    ]


def _capped(box: Outbox, webhook: Webhook, fresh: list[Draft], is_per_alert: bool) -> list[Draft]:
    """What a receiver's cap lets through: the worst on their own, and then a digest of all others.

    Where nothing is left of the minute they wait for its end. A kind that keeps a state for each alert gets no digest,
    which could not be resolved: the others wait their turn.
    """
    if webhook.cap is None:
        return fresh
    sent = box.session.scalars(SENT, {"webhook": webhook.id, "since": box.now - MINUTE}).all()
    left = max(0, webhook.cap - len(sent))
    if len(fresh) <= left:
        return fresh
    if left > 0 and not is_per_alert:
        together = [each for draft in fresh[left - 1 :] for each in draft.members]
        return [*fresh[: left - 1], Draft(together, is_digest=True)]
    for each in (each for draft in fresh[left:] for each in draft.members):
        each.due_at = (sent[0] if sent else box.now) + MINUTE
    return fresh[:left]


def _take(webhook: Webhook, draft: Draft, now: datetime, until: datetime) -> Claimed:
    """Give a message its id, once, and a lease."""
    members = sorted(draft.members, key=_rank)
    message_id = members[0].message_id or uuid.uuid4()
    for each in members:
        each.message_id, each.is_digest, each.lease_until = message_id, draft.is_digest, until
        each.attempts, each.tried_at = each.attempts + 1, each.tried_at or now
    name = f"msg_{message_id.hex}"
    body = digests.of([each.body for each in members], name, is_digest=draft.is_digest)
    return Claimed(message_id, webhook.id, webhooks.to(webhook, now), Message(name, body), len(members))


def record(session: Session, claimed: Claimed, sent: Delivery, settings: Webhooks, now: datetime | None = None) -> None:
    """Write down how a message went: done, to be tried again later, or given up."""
    at = now or webhooks.moment(session)
    webhook = session.get(Webhook, claimed.webhook_id)
    ours = select(Notification).where(Notification.message_id == claimed.id, _is_open())
    members = session.scalars(ours.order_by(Notification.position).with_for_update()).all()
    if webhook is None or not members:
        return
    wait = max(pause(members[0].attempts), sent.wait or timedelta())
    for each in members:
        each.last_status, each.last_error, each.lease_until = sent.status, sent.error, None
        if sent.is_delivered:
            each.delivered_at = at
        elif at - (each.tried_at or at) > settings.retry_for and not sent.is_gone:
            each.dead_at = at
        else:
            each.due_at = at + wait
    if sent.wait is not None:
        webhook.not_before = at + sent.wait
    if sent.is_gone:
        webhooks.pause(session, webhook, None, 'It answered 410, it is gone. "dcmon webhook set" gives another URL.')
    session.flush()


def pause(attempts: int) -> timedelta:
    """How long to wait after so many attempts: doubling from 5 s to 1 h, a tenth of it by chance."""
    longest: timedelta = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempts - 1, 20))
    return longest * (0.9 + 0.1 * random.random())


def next_at(
    session: Session, settings: Webhooks | None = None, *, busy: Collection[int] = (), now: datetime | None = None
) -> datetime | None:
    """When something may be due again, but to receivers that are busy; None when nothing waits."""
    at = now or webhooks.moment(session)
    per_alert = [name for name, kind in receivers.KINDS.items() if kind.IS_PER_ALERT]
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
