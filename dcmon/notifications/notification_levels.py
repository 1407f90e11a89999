"""The notification levels of an organization as the old API knows them: of Slack, e-mail and webhooks.

Here each receiver has its own severities. The levels of Slack and e-mail are those of all such receivers, and those of
webhooks are those of the oldest one, as in the old system.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db.tables.org import Webhook
from dcmon.severity import Severity
from dcmon.states import ReceiverKind

SLACK, EMAIL = (ReceiverKind.SLACK,), (ReceiverKind.EMAIL,)
WEBHOOKS = (ReceiverKind.WEBHOOK, ReceiverKind.DEEPCHECKS, ReceiverKind.PAGERDUTY)


@dataclass(frozen=True)
class NotificationLevels:
    """Severities, the lowest first, of alerts that are notified by Slack, e-mail and webhook.

    None: there is no such receiver; in a change: unchanged.
    """

    slack: Sequence[Severity] | None = None
    email: Sequence[Severity] | None = None
    webhook: Sequence[Severity] | None = None


def current(session: Session) -> NotificationLevels:
    """Return the levels: those of the oldest receiver of each kind."""
    return NotificationLevels(*(_levels(_receivers(session, kinds)) for kinds in (SLACK, EMAIL, WEBHOOKS)))


def _levels(receivers: Sequence[Webhook]) -> list[Severity] | None:
    return [level for level in Severity if level in receivers[0].severities] if receivers else None


def change(session: Session, wanted: NotificationLevels) -> None:
    """Change the levels of all Slack and e-mail receivers, and of the oldest webhook.

    Raises InvalidInput if there is no receiver that could get the chosen levels.
    """
    _set(_receivers(session, SLACK), wanted.slack, "Slack", "slack")
    _set(_receivers(session, EMAIL), wanted.email, "e-mail", "email")
    _set(_receivers(session, WEBHOOKS)[:1], wanted.webhook, "webhook", "webhook")
    session.flush()


def _receivers(session: Session, kinds: Collection[str]) -> Sequence[Webhook]:
    statement = select(Webhook).where(Webhook.kind.in_(kinds)).order_by(Webhook.id)
    return session.scalars(statement).all()


def _set(receivers: Sequence[Webhook], levels: Sequence[Severity] | None, name: str, kind: str) -> None:
    if levels is None:
        return
    if levels and not receivers:
        raise errors.InvalidInput(
            f'There is no {name} receiver that could get these alerts. An operator adds one: "dcmon webhook add NAME'
            f' ADDRESS --kind {kind}".'
        )
    for receiver in receivers:
        receiver.severities = [level for level in Severity if level in levels]
