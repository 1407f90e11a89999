"""Receivers as the old API knows them: webhooks in the old format, and PagerDuty.

Webhooks in dcmon's own format are standard webhooks too. Secrets are never returned: MASK is in their place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import func, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db.tables.org import Notification, Webhook
from dcmon.notifications import notification_levels, receiver_addresses, receivers
from dcmon.notifications.integrations import pagerduty
from dcmon.notifications.integrations.base import Address
from dcmon.settings import Webhooks
from dcmon.severity import Severity
from dcmon.states import ReceiverKind

MASK = "********"
DEFAULT_LEVELS = (Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM)


class WebhookKind(StrEnum):
    """The kinds of the old API."""

    STANDARD = "STANDARD"
    PAGER_DUTY = "PAGER_DUTY"


KINDS: Mapping[str, WebhookKind] = {
    ReceiverKind.DEEPCHECKS: WebhookKind.STANDARD,
    ReceiverKind.WEBHOOK: WebhookKind.STANDARD,
    ReceiverKind.PAGERDUTY: WebhookKind.PAGER_DUTY,
}


@dataclass(frozen=True)
class WebhookSpec:
    """What a client chooses of a webhook. None: the default, or unchanged.

    `levels`: the severities it gets; empty: none. `headers`: those of a standard webhook; a value that is MASK stays
    as it is. `routing_key`, `access_key`, `group`, `event_class`: of PagerDuty.
    """

    name: str | None = None
    description: str | None = None
    url: str | None = None
    method: str | None = None
    headers: Mapping[str, str] | None = None
    levels: Sequence[Severity] | None = None
    routing_key: str | None = None
    access_key: str | None = None
    group: str | None = None
    event_class: str | None = None


class LastAttempt(NamedTuple):
    """The newest attempt to send a message that has ended."""

    at: datetime
    is_delivered: bool
    status: int | None
    error: str | None


def kind_of(receiver: Webhook) -> WebhookKind:
    """Return the kind of a receiver in the old API."""
    return KINDS[receiver.kind]


def entries(session: Session, limit: int | None = None, offset: int = 0) -> Sequence[Webhook]:
    """Return the receivers that the old API can show, the oldest first."""
    statement = select(Webhook).where(Webhook.kind.in_(KINDS)).order_by(Webhook.id)
    return session.scalars(statement.limit(limit).offset(offset)).all()


def get(session: Session, webhook_id: int) -> Webhook:
    """Return the receiver with an id, locked until the commit. Raises ReceiverNotFound."""
    statement = select(Webhook).where(Webhook.id == webhook_id, Webhook.kind.in_(KINDS))
    receiver = session.scalar(statement.with_for_update())
    if receiver is None:
        raise errors.ReceiverNotFound(name=webhook_id)
    return receiver


def add(session: Session, kind: WebhookKind, spec: WebhookSpec, settings: Webhooks) -> Webhook:
    """Add a receiver. It is notified of alerts that begin to fire from now on. Raises InvalidInput or Conflict."""
    receiver_kind = ReceiverKind.PAGERDUTY if kind is WebhookKind.PAGER_DUTY else ReceiverKind.DEEPCHECKS
    levels = spec.levels
    if levels is None:
        levels = notification_levels.of_new_receiver(session, receiver_kind) or DEFAULT_LEVELS
    receiver = receivers.add(session, spec.name or "", _address(receiver_kind, spec), settings).receiver
    receiver.severities = _distinct(levels)
    receiver.description = spec.description or ""
    session.flush()
    return receiver


def change(session: Session, receiver: Webhook, spec: WebhookSpec, settings: Webhooks) -> None:
    """Change a receiver: only what is given. Raises InvalidInput or Conflict.

    Headers are dropped when the host changes and none are given: they may hold a token for the old host only.
    """
    if spec.name is not None and spec.name != receiver.name:
        receivers.rename(session, receiver, spec.name)
    if spec.description is not None:
        receiver.description = spec.description
    if spec.levels is not None:
        receiver.severities = _distinct(spec.levels)
    if spec.method is not None and receiver.kind == ReceiverKind.WEBHOOK and spec.method != "POST":
        raise errors.InvalidInput(f"Receiver {receiver.name!r} has dcmon's own format, which is sent by POST only.")
    _set_address(receiver, spec, settings)
    session.flush()


def _set_address(receiver: Webhook, spec: WebhookSpec, settings: Webhooks) -> None:
    credentials = receiver.credentials
    headers = None if spec.headers is None else _unmasked(spec.headers, credentials)
    address = _address(receiver.kind, spec, headers)
    if spec.url == receiver_addresses.shown(receiver):  # a client sends the URL that it was shown
        address = replace(address, targets=[])
    if spec.headers is not None and not headers:
        receivers.clear_headers(receiver)
    receivers.set_address(receiver, address, settings)


def _unmasked(headers: Mapping[str, str], credentials: Mapping[str, str]) -> dict[str, str]:
    """Return headers as they are stored: a client that changes what it was shown sends MASK."""
    return {name: credentials.get(name, value) if value == MASK else value for name, value in headers.items()}


def _address(kind: str, spec: WebhookSpec, headers: Mapping[str, str] | None = None) -> Address:
    targets = [] if spec.url is None else [spec.url]
    if kind == ReceiverKind.PAGERDUTY:
        access = {} if not spec.access_key else {pagerduty.ACCESS_HEADER: f"Token token={spec.access_key}"}
        named = (("group", spec.group), ("class", spec.event_class))
        options = {name: value for name, value in named if value is not None}
        return Address(kind, targets, access, None if spec.routing_key == MASK else spec.routing_key, options)
    options = {} if spec.method is None or kind == ReceiverKind.WEBHOOK else {"method": spec.method}
    return Address(kind, targets, (headers if headers is not None else spec.headers) or {}, None, options)


def _distinct(levels: Sequence[Severity]) -> list[str]:
    """Return severities in the order in which they were chosen."""
    return list(dict.fromkeys(str(level) for level in levels))


def last_attempts(session: Session, ids: Sequence[int]) -> dict[int, LastAttempt]:
    """Return the newest attempt of each receiver that has one, by id."""
    at = func.coalesce(Notification.delivered_at, Notification.dead_at, Notification.tried_at)
    statement = (
        select(
            Notification.webhook_id, at, Notification.delivered_at.is_not(None), Notification.last_status,
            Notification.last_error,
        )
        .where(
            Notification.webhook_id.in_(ids), Notification.tried_at.is_not(None), ~Notification.is_superseded,
            or_(Notification.last_status.is_not(None), Notification.last_error.is_not(None)),
        )
        .ext(distinct_on(Notification.webhook_id))
        .order_by(Notification.webhook_id, at.desc(), Notification.position.desc())
    )  # fmt: skip
    rows = session.execute(statement).all()
    return {row[0]: LastAttempt(row[1], row[2], row[3], row[4]) for row in rows}


def describe(receiver: Webhook, last: LastAttempt | None) -> dict[str, Any]:
    """Return a receiver with the fields of the old API, without its secrets."""
    kind, options = kind_of(receiver), receiver_addresses.shown_options(receiver)
    headers = {str(name): MASK for name in options.get("headers", ())}
    is_pager_duty = kind is WebhookKind.PAGER_DUTY
    event = {"routing_key": MASK, "group": options.get("group"), "class": options.get("class", "")}
    return {
        "id": receiver.id,
        "name": receiver.name,
        "description": receiver.description,
        "kind": kind,
        "http_url": receiver_addresses.shown(receiver),
        "http_method": options.get("method", "POST"),
        "http_headers": ({name.title(): MASK for name in headers} if is_pager_duty else headers) or None,
        "notification_levels": receiver.severities,
        "additional_arguments": event if is_pager_duty else None,
        "latest_execution_date": None if last is None else last.at,
        "latest_execution_status": None if last is None else execution_status(last),
        "format": receiver.kind,
        "latest_execution_error": None if last is None else last.error,
    }


def execution_status(last: LastAttempt) -> str:
    """Return how an attempt went: OK, FAILED (the receiver refused it) or EXCEPTION (it could not be reached)."""
    if last.is_delivered:
        return "OK"
    return "EXCEPTION" if last.status is None else "FAILED"
