"""What may be sent to a receiver now: notifications that are due, without what is held back or means nothing any more.

They go in messages by model, within the receiver's cap; what was tried before goes as it was.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, select, text
from sqlalchemy.orm import Session

from dcmon.db import Organization
from dcmon.db.tables.org import Alert, Notification, Webhook
from dcmon.notifications import integrations, notifications, silences
from dcmon.notifications.silences import Hold
from dcmon.settings import Webhooks
from dcmon.states import AlertState

HELD_AGAIN = timedelta(seconds=15)  # how often it is looked at whether what is held still is
MINUTE = timedelta(minutes=1)
CLAIMED_FROM = 2000  # notifications of a receiver that are looked at
GROUP_AT_MOST = 50
RANK = {"critical": 0, "high": 1, "medium": 2, "low": 3}

OPEN = "n.delivered_at is null and n.dead_at is null"
SUBJECT = "n.body #>> '{alert,id}'"
# What is wrong with dcmon itself is no alert: its body says which it is.
_OLDER = f"""
    select 1 from notifications e where e.webhook_id = n.webhook_id and e.position < n.position
       and {OPEN.replace("n.", "e.")} and {{which}}
"""
_ABOUT_THE_SAME = f"""
    (exists ({_OLDER} and e.alert_id = n.alert_id)
     or (n.alert_id is null and exists ({_OLDER} and e.alert_id is null and {SUBJECT.replace("n.", "e.")} = {SUBJECT})))
"""
ON_ITS_WAY = _ABOUT_THE_SAME.replace("{which}", "e.lease_until >= :now")
# Whatever is older was superseded a moment ago, or is on its way; or else this one was written in between, and both
# would go out at once.
IS_SECOND = _ABOUT_THE_SAME.replace("{which}", "true")
DUE = text(f"""
    select n.id from notifications n
     where n.webhook_id = :webhook and {OPEN} and n.due_at <= :now
       and (n.lease_until is null or n.lease_until < :now) and not {IS_SECOND}
     order by array_position(array['critical', 'high', 'medium', 'low'], n.severity), n.position limit :limit
""")
SENT = text("""
    select min(tried_at) from notifications where webhook_id = :webhook and tried_at > :since
     group by message_id order by 1
""")


@dataclass(frozen=True)
class ClaimContext:
    """An organization's outbox at a moment, in the transaction that claims from it."""

    session: Session
    org: Organization
    settings: Webhooks
    public_url: str
    now: datetime
    describe: notifications.Describe
    _held: dict[int, Hold | None] = field(default_factory=dict)

    def hold(self, alert: Alert) -> Hold | None:
        """Why a notification about an alert is held back now, and until when; looked up once for each alert."""
        if alert.id not in self._held:
            self._held[alert.id] = silences.find_hold(self.session, alert, self.now)
        return self._held[alert.id]

    def message(self, alert: Alert, kind: str) -> dict[str, Any]:
        """What is told of an alert as it is now."""
        return notifications.message(self.session, self.org, alert, kind, self.public_url, self.describe)


@dataclass(frozen=True)
class PendingMessage:
    """Notifications that go in one message."""

    members: Sequence[Notification]
    is_digest: bool = False

    @property
    def rank(self) -> tuple[int, int]:
        """The worst first, then the oldest."""
        return min(map(rank, self.members))


def rank(each: Notification) -> tuple[int, int]:
    """The worst first, then the oldest."""
    return RANK.get(each.severity or "", len(RANK)), each.position


def next_messages(box: ClaimContext, webhook: Webhook) -> list[PendingMessage]:
    """What may be sent to a receiver now: what was tried before, as it was, and what is new."""
    found = _due(box, webhook)
    is_per_alert = integrations.find(webhook.kind).IS_PER_ALERT
    drafts = _again(box, found, is_per_alert)
    news = [each for each in found if each.message_id is None and _is_news(box, each, is_per_alert)]
    fresh = (
        [PendingMessage([each]) for each in news] if is_per_alert else _groups(news, box.now - box.settings.group_wait)
    )
    capped = _capped(box, webhook, sorted(fresh, key=lambda draft: draft.rank), is_per_alert)
    return sorted([*drafts, *capped], key=lambda draft: (draft.is_digest, draft.rank))


def _again(box: ClaimContext, found: Sequence[Notification], is_per_alert: bool) -> list[PendingMessage]:
    """Messages that were tried before, as they were; those with something that is held back by now are taken apart."""
    begun: dict[uuid.UUID, list[Notification]] = {}
    for each in found:
        if each.message_id is not None:
            begun.setdefault(each.message_id, []).append(each)
    for message_id, members in list(begun.items()):
        if any(_hold(box, each, is_per_alert) for each in members):
            for each in begun.pop(message_id):
                each.message_id, each.is_digest, each.tried_at, each.left_to = None, False, None, None
    return [PendingMessage(members, members[0].is_digest) for members in begun.values()]


def _hold(box: ClaimContext, each: Notification, is_per_alert: bool) -> Hold | None:
    """What holds a notification back now; the end of an incident wakes nobody."""
    if is_per_alert and each.kind in notifications.ENDS:
        return None
    alert = _alert(box, each)
    if alert is not None:
        return box.hold(alert)
    return silences.find_hold_for_labels(box.session, of_dcmon(each.body), box.now) if _is_of_dcmon(each) else None


def _alert(box: ClaimContext, each: Notification) -> Alert | None:
    return box.session.get(Alert, each.alert_id) if each.alert_id is not None else None


def _is_of_dcmon(each: Notification) -> bool:
    """Whether it is about dcmon itself."""
    return str(each.body["type"]).startswith("dcmon.")


def of_dcmon(body: Mapping[str, Any]) -> Mapping[str, str]:
    """What matchers see of a condition of dcmon: its name is the rule, and with its subject the monitor."""
    about = body["alert"]
    name = str(about["monitor"])
    return {"model": str(about["model"]), "monitor": name, "rule": name.partition(": ")[0],
            "severity": str(about["severity"]), "alert": str(about["id"])}  # fmt: skip


def _due(box: ClaimContext, webhook: Webhook) -> list[Notification]:
    """What is due to a receiver, with all that goes in the same messages; the worst first."""
    values = {"webhook": webhook.id, "now": box.now, "limit": CLAIMED_FROM}
    ids = box.session.scalars(DUE, values).all()
    found = box.session.scalars(select(Notification).where(Notification.id.in_(ids))).all()
    begun = {each.message_id for each in found if each.message_id is not None}
    rest = box.session.scalars(select(Notification).where(Notification.message_id.in_(begun), is_open())).all()
    return sorted({each.id: each for each in (*found, *rest)}.values(), key=rank)


def is_open() -> ColumnElement[bool]:
    """Notifications that are neither delivered nor given up, for a statement."""
    return and_(Notification.delivered_at.is_(None), Notification.dead_at.is_(None))


def _is_news(box: ClaimContext, each: Notification, is_per_alert: bool) -> bool:
    """Whether a notification that is in no message is to be sent now: neither held back nor without meaning."""
    means_nothing = each.kind == "retracted" or (each.held_because and each.kind in notifications.ONLY_TO_THE_TOLD)
    if means_nothing and not _is_told(box, each):
        return _drop(box, each, "Nobody was told of the alert before.")
    hold = _hold(box, each, is_per_alert)
    if hold is not None:
        again = box.now + HELD_AGAIN  # whatever holds it may be ended before its time
        each.held_because, each.due_at = hold.reason, min(hold.until or again, again)
        return False
    if each.held_because is not None:
        return _release(box, each)
    return True


def _release(box: ClaimContext, each: Notification) -> bool:
    """What was held back goes out with what is true now; not where the alert is over."""
    alert, each.held_because = _alert(box, each), None
    if alert is None:
        return True
    if each.kind not in notifications.ENDS and alert.state == AlertState.RESOLVED:
        return _drop(box, each, "The alert was over before anybody was told of it.")
    each.body = box.message(alert, each.kind)
    return True


def _drop(box: ClaimContext, each: Notification, why: str) -> bool:
    each.dead_at, each.is_superseded, each.last_error = box.now, True, why
    return False


def _is_told(box: ClaimContext, each: Notification) -> bool:
    """Whether a receiver may know that an alert fires: the last that it may have got is not an end."""
    last = box.session.scalar(
        select(Notification.kind)
        .where(
            _is_about(each),
            Notification.webhook_id == each.webhook_id,
            Notification.position < each.position,
            Notification.attempts > 0,
        )
        .order_by(Notification.position.desc())
        .limit(1)
    )
    return last is not None and last not in notifications.ENDS


def _is_about(each: Notification) -> ColumnElement[bool]:
    """Whether another one is about the same alert, or the same condition of dcmon."""
    if each.alert_id is not None:
        return Notification.alert_id == each.alert_id
    same = Notification.body["alert"]["id"].as_string() == str(each.body["alert"]["id"])
    return and_(Notification.alert_id.is_(None), same)


def _groups(news: Sequence[Notification], ready: datetime) -> list[PendingMessage]:
    """Notifications by model, where the first of them has waited for others."""
    by_model: dict[int | None, list[Notification]] = {}
    for each in news:
        by_model.setdefault(each.model_id, []).append(each)
    return [
        PendingMessage(members[start : start + GROUP_AT_MOST])
        for members in by_model.values()
        if min(each.created_at for each in members) <= ready or any(each.attempts for each in members)
        for start in range(0, len(members), GROUP_AT_MOST)
    ]


def _capped(
    box: ClaimContext, webhook: Webhook, fresh: list[PendingMessage], is_per_alert: bool
) -> list[PendingMessage]:
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
        return [*fresh[: left - 1], PendingMessage(together, is_digest=True)]
    for each in (each for draft in fresh[left:] for each in draft.members):
        each.due_at = (sent[0] if sent else box.now) + MINUTE
    return fresh[:left]
