"""Probes of receivers: a notify worker resolves an address and connects to it, and sends nothing.

So it is known before the first alert that a receiver can't be reached. A receiver that got a message within the
interval needs no probe, and one whose probe failed gets the next one soon. The worker that claims a probe says at once
when it was: if it dies, the next interval is the next try. Only addresses of receivers' own are probed: the mail
server is one for all e-mail receivers, and messages that fail say of it what is wrong.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db import sql
from dcmon.db.tables.org import Webhook
from dcmon.settings import Webhooks
from dcmon.states import ReceiverKind

OVER_HTTP = (ReceiverKind.WEBHOOK, ReceiverKind.SLACK, ReceiverKind.TEAMS, ReceiverKind.DEEPCHECKS)
TIMEOUT = timedelta(seconds=5)
AFTER_FAILURE = timedelta(minutes=1)

SQL = sql.read(__name__)
CLAIM, RECORD = text(SQL.statement("claim", is_due=SQL.statement("is_due"))), text(SQL.statement("record"))


@dataclass(frozen=True)
class ClaimedProbe:
    """A probe that this worker makes. `address`: the digest of what is probed."""

    receiver_id: int
    name: str
    url: str
    address: str


def has_work(settings: Webhooks) -> str:
    """Return an expression that is true if a probe is due."""
    if not settings.probe_every:
        return "false"
    is_due = SQL.statement("is_due")
    for name, value in _values(settings).items():
        is_due = is_due.replace(f":{name}", f"interval '{value.total_seconds()} seconds'")
    kinds = ", ".join(f"'{kind}'" for kind in OVER_HTTP)
    return f"exists ({is_due.replace(':kinds', f'array[{kinds}]')})"


def _values(settings: Webhooks) -> dict[str, timedelta]:
    return {"every": settings.probe_every, "again": min(settings.probe_every, AFTER_FAILURE)}


def claim(session: Session, settings: Webhooks, most: int) -> list[ClaimedProbe]:
    """Claim due probes of an organization, the oldest first. A receiver whose secrets can't be read is left out."""
    if not settings.probe_every or not most:
        return []
    kinds = [str(kind) for kind in OVER_HTTP]
    rows = session.execute(CLAIM, {**_values(settings), "kinds": kinds, "most": most}).all()
    addresses: dict[int, str] = {row.webhook_id: row.address for row in rows}
    probes = list[ClaimedProbe]()
    for receiver in session.scalars(select(Webhook).where(Webhook.id.in_(addresses)).order_by(Webhook.id)):
        try:
            url = receiver.url
        except errors.SecretUnreadable:
            continue  # a finding of its own
        probes.append(ClaimedProbe(receiver.id, receiver.name, url, addresses[receiver.id]))
    return probes


def make(probe: ClaimedProbe, settings: Webhooks) -> str | None:
    """Connect to a receiver; return why it can't be reached, None if it can. Never raises."""
    from dcmon.notifications import http_delivery  # importing it takes long, and only workers connect

    return http_delivery.reach(probe.url, settings, min(TIMEOUT, settings.timeout))


def record(session: Session, probe: ClaimedProbe, error: str | None) -> None:
    """Store the outcome of a probe, unless the receiver has got another address meanwhile, or was deleted."""
    session.execute(RECORD, {"id": probe.receiver_id, "address": probe.address, "error": error})
