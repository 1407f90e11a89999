"""Routes of webhooks: receivers with the fields of the old API."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from dcmon import errors
from dcmon.db.tables.org import Webhook
from dcmon.http.auth import Administrator
from dcmon.http.fields import CreatedView, Timestamp, timestamp
from dcmon.http.paging import Paged
from dcmon.http.responses import MAY_BE_FULL
from dcmon.notifications import receiver_tests, receivers, webhook_receivers
from dcmon.notifications.webhook_receivers import LastAttempt, WebhookKind, WebhookSpec
from dcmon.severity import Severity

router = APIRouter(tags=["webhooks"])
Name = Annotated[str, Field(min_length=1, max_length=100)]
Description = Annotated[str, Field(max_length=1000)]
Url = Annotated[str, Field(min_length=1, max_length=2000)]
Headers = Annotated[dict[str, Annotated[str, Field(max_length=4000)]], Field(max_length=50)]
Levels = Annotated[list[Severity], Field(max_length=4)]
Key = Annotated[str, Field(max_length=200)]
Event = Annotated[str, Field(max_length=200)]
Method = Literal["GET", "POST"]


class StandardWebhook(BaseModel):
    """A webhook that gets a JSON body with the keys of Deepchecks Monitoring for each alert."""

    kind: Literal[WebhookKind.STANDARD]
    name: Name
    description: Description | None = ""
    http_url: Url
    http_method: Method
    http_headers: Headers | None = None
    notification_levels: Levels | None = None

    def to_spec(self) -> WebhookSpec:
        """Return what the client chose."""
        return _spec(self)


class PagerDutyWebhook(BaseModel):
    """An integration of PagerDuty, "Events API v2". http_url: null for PagerDuty's own."""

    kind: Literal[WebhookKind.PAGER_DUTY]
    name: Name
    description: Description | None = ""
    http_url: Url | None = None
    notification_levels: Levels | None = None
    event_routing_key: Key
    event_group: Event | None = "deepchecks"
    event_class: Event | None = ""
    api_access_key: Key | None = None

    def to_spec(self) -> WebhookSpec:
        """Return what the client chose."""
        return _spec(self)


class WebhookChange(BaseModel):
    """Changes of a webhook; fields that are null or missing do not change. http_headers: {} removes them."""

    kind: WebhookKind | None = None
    name: Name | None = None
    description: Description | None = None
    http_url: Url | None = None
    http_method: Method | None = None
    http_headers: Headers | None = None
    notification_levels: Levels | None = None
    event_routing_key: Key | None = None
    event_group: Event | None = None
    event_class: Event | None = None
    api_access_key: Key | None = None


class WebhookView(BaseModel):
    """A webhook. Secrets are masked: values of headers, keys, and parts of the URL that look like a token.

    latest_execution_status: OK, FAILED (the receiver refused the message) or EXCEPTION (it could not be reached).
    format: of the messages; webhook is dcmon's own, deepchecks that of Deepchecks Monitoring.
    """

    id: int
    name: str
    description: str
    kind: WebhookKind
    http_url: str
    http_method: str
    http_headers: dict[str, str] | None
    notification_levels: list[Severity]
    additional_arguments: dict[str, str | None] | None
    latest_execution_date: Timestamp | None
    latest_execution_status: Literal["OK", "FAILED", "EXCEPTION"] | None
    format: str
    latest_execution_error: str | None


class TestView(BaseModel):
    """How a test went. status: of the receiver's HTTP answer; host, pid: of the notify worker that sent it."""

    delivered: bool
    status: int | None
    seconds: float
    error: str | None
    host: str
    pid: int


NewWebhook = Annotated[StandardWebhook | PagerDutyWebhook, Field(discriminator="kind")]


@router.get("/alert-webhooks", response_model=list[WebhookView])
def entries(access: Administrator, page: Paged) -> list[dict[str, Any]]:
    """List webhooks and PagerDuty integrations, without their secrets, the oldest first."""
    with access.session() as session:
        listed = webhook_receivers.entries(session, page.limit, page.offset)
        last = webhook_receivers.last_attempts(session, [receiver.id for receiver in listed])
        return [_view(receiver, last.get(receiver.id)) for receiver in listed]


@router.post("/alert-webhooks", responses=MAY_BE_FULL, status_code=201)
def add(access: Administrator, body: NewWebhook) -> CreatedView:
    """Add a webhook, which is notified of alerts that begin to fire from now on. Nothing is sent to it before."""
    with access.session() as session:
        receiver = webhook_receivers.add(session, body.kind, body.to_spec(), access.app.settings.webhooks)
        return CreatedView(id=receiver.id)


@router.get("/alert-webhooks/{webhook_id}", response_model=WebhookView)
def show(access: Administrator, webhook_id: int) -> dict[str, Any]:
    """Show a webhook without its secrets."""
    with access.session() as session:
        receiver = webhook_receivers.get(session, webhook_id)
        return _view(receiver, webhook_receivers.last_attempts(session, [receiver.id]).get(receiver.id))


@router.put("/alert-webhooks/{webhook_id}")
def change(access: Administrator, webhook_id: int, body: WebhookChange) -> None:
    """Change a webhook: only the fields in the body. Messages that wait go to the new address."""
    with access.session() as session:
        receiver = webhook_receivers.get(session, webhook_id)
        kind = webhook_receivers.kind_of(receiver)
        if body.kind not in (None, kind):
            raise errors.InvalidInput(f"Webhook {webhook_id} is of kind {kind}, which can't change. Add another one.")
        webhook_receivers.change(session, receiver, _spec(body), access.app.settings.webhooks)


@router.delete("/alert-webhooks/{webhook_id}")
def delete(access: Administrator, webhook_id: int) -> None:
    """Delete a webhook, with the notifications that wait for it."""
    with access.session() as session:
        receivers.delete(session, webhook_receivers.get(session, webhook_id))


@router.post("/alert-webhooks/{webhook_id}/test")
def test(access: Administrator, webhook_id: int) -> TestView:
    """Let a notify worker send a test message to a webhook, and wait up to 30 seconds for the outcome."""
    health = access.app.settings.health.heartbeat_timeout
    sent = receiver_tests.run(
        access.app.engine, access.org, lambda session: webhook_receivers.get(session, webhook_id), health
    )
    return TestView(
        delivered=sent.is_delivered, status=sent.status, seconds=sent.seconds, error=sent.error, host=sent.host,
        pid=sent.pid,
    )  # fmt: skip


def _view(receiver: Webhook, last: LastAttempt | None) -> dict[str, Any]:
    shown = webhook_receivers.describe(receiver, last)
    return {**shown, "latest_execution_date": timestamp(shown["latest_execution_date"])}


def _spec(body: StandardWebhook | PagerDutyWebhook | WebhookChange) -> WebhookSpec:
    names = {
        "name": "name", "description": "description", "http_url": "url", "http_method": "method",
        "http_headers": "headers", "notification_levels": "levels", "event_routing_key": "routing_key",
        "api_access_key": "access_key", "event_group": "group", "event_class": "event_class",
    }  # fmt: skip
    return WebhookSpec(**{field: getattr(body, name, None) for name, field in names.items()})
