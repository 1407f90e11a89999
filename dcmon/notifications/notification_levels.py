"""The notification levels of an organization as the old API knows them: of Slack, e-mail and webhooks.

Here each receiver has its own severities. The levels of Slack and e-mail are those of all such receivers, and those of
webhooks are those of the oldest one, as in the old system. Levels that are chosen before there is a receiver are kept
for it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon.db.tables.org import ChosenLevels, Webhook
from dcmon.severity import Severity
from dcmon.states import ReceiverKind


class Channel(StrEnum):
    """Receivers that have levels together."""

    SLACK = "slack"
    EMAIL = "email"
    WEBHOOK = "webhook"


KINDS: Mapping[Channel, Collection[str]] = {
    Channel.SLACK: (ReceiverKind.SLACK,),
    Channel.EMAIL: (ReceiverKind.EMAIL,),
    Channel.WEBHOOK: (ReceiverKind.WEBHOOK, ReceiverKind.DEEPCHECKS, ReceiverKind.PAGERDUTY),
}


@dataclass(frozen=True)
class NotificationLevels:
    """Severities, the lowest first, of alerts that are notified by Slack, e-mail and webhook.

    None: there is no such receiver, and none were chosen for the first one; in a change: unchanged.
    """

    slack: Sequence[Severity] | None = None
    email: Sequence[Severity] | None = None
    webhook: Sequence[Severity] | None = None


@dataclass(frozen=True)
class Current:
    """The levels, and the channels that have a receiver."""

    levels: NotificationLevels
    connected: frozenset[Channel]


def current(session: Session) -> Current:
    """Return the levels: those of the oldest receiver of each channel, or those that are kept for the first one."""
    levels, connected = dict[str, list[Severity] | None](), set[Channel]()
    for channel in Channel:
        receivers = _receivers(session, channel)
        connected |= {channel} if receivers else set()
        levels[channel] = _sorted(receivers[0].severities) if receivers else _chosen(session, channel)
    return Current(NotificationLevels(**levels), frozenset(connected))


def change(session: Session, wanted: NotificationLevels) -> None:
    """Change the levels of all Slack and e-mail receivers, and of the oldest webhook.

    Levels of Slack and e-mail are those of receivers that are added later too; those of webhooks are, of the first one.
    """
    for channel in Channel:
        levels: Sequence[Severity] | None = getattr(wanted, channel)
        if levels is None:
            continue
        receivers = _receivers(session, channel)
        for receiver in receivers[:1] if channel is Channel.WEBHOOK else receivers:
            receiver.severities = [str(level) for level in _sorted(levels)]
        _choose(session, channel, _sorted(levels))
    session.flush()


def of_new_receiver(session: Session, kind: str) -> list[Severity] | None:
    """Return the severities of a receiver that is added without a choice of its own; None: those of dcmon."""
    channel = next((channel for channel, kinds in KINDS.items() if kind in kinds), None)
    if channel is None or (channel is Channel.WEBHOOK and _receivers(session, channel)):
        return None
    return _chosen(session, channel)


def _chosen(session: Session, channel: Channel) -> list[Severity] | None:
    levels = session.scalar(select(ChosenLevels.severities).where(ChosenLevels.channel == channel))
    return None if levels is None else _sorted(levels)


def _choose(session: Session, channel: Channel, levels: Sequence[Severity]) -> None:
    """Keep levels for receivers that are added later. None at all is no choice: such a receiver would get nothing."""
    if not levels:
        session.execute(delete(ChosenLevels).where(ChosenLevels.channel == channel))
        return
    added = insert(ChosenLevels).values(channel=channel, severities=list(levels))
    session.execute(added.on_conflict_do_update(index_elements=["channel"], set_={"severities": list(levels)}))


def _sorted(levels: Sequence[str]) -> list[Severity]:
    return [level for level in Severity if level in levels]


def _receivers(session: Session, channel: Channel) -> Sequence[Webhook]:
    statement = select(Webhook).where(Webhook.kind.in_(KINDS[channel])).order_by(Webhook.id)
    return session.scalars(statement).all()
