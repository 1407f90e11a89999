"""Webhooks over HTTP, and the messages that they get."""

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from dcmon.app import App
from dcmon.db import work_queue
from dcmon.db.tables.org import Webhook
from dcmon.db.tables.public import Worker
from dcmon.jobs import notify
from dcmon.settings import Webhooks
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.evaluation import monitor_drift_of_age, store_result
from tests.helpers.http_receiver import http_receiver
from tests.helpers.waiting import PATIENCE
from tests.integration.conftest import Target, eventually, running
from tests.integration.http.test_rules import send_request

URL = "https://hooks.example.org/alerts"
STANDARD = {
    "name": "old", "http_url": URL, "http_method": "POST", "description": "d", "http_headers": {"X-Token": "t0psecret"},
    "notification_levels": ["critical", "high"], "kind": "STANDARD",
}  # fmt: skip
PAGER_DUTY = {
    "name": "pager", "http_url": "https://events.pagerduty.com/v2/enqueue", "http_method": "POST", "description": "",
    "http_headers": None, "notification_levels": ["critical"], "kind": "PAGER_DUTY", "event_group": "deepchecks",
    "event_class": "c", "api_access_key": "acc3ss-key", "event_routing_key": "R0UTINGKEY",
}  # fmt: skip
MASK = "********"


@pytest.fixture
def notifying(app: App) -> Iterator[App]:
    """Return an App that may notify receivers on this machine."""
    webhooks = Webhooks(allow=["127.0.0.1"], timeout=timedelta(seconds=PATIENCE), group_wait=timedelta())
    with App(app.settings.model_copy(update={"webhooks": webhooks}), app.output) as new_app:
        yield new_app


@pytest.fixture
def endpoint(notifying: App, acme: Acme, target: Target) -> Iterator[Endpoint]:
    """Serve an organization without receivers."""
    with serving(notifying, acme.token) as client:
        yield client


def add(endpoint: Endpoint, body: Any, status: int = 201) -> Any:
    return send_request(endpoint, "POST", "alert-webhooks", body, status)


def show(endpoint: Endpoint, webhook_id: int) -> Any:
    return send_request(endpoint, "GET", f"alert-webhooks/{webhook_id}")


def stored(app: App, target: Target, name: str) -> Webhook:
    with app.org(target.org) as session:
        return session.scalars(select(Webhook).where(Webhook.name == name)).one()


def test_webhook_is_shown_without_its_secrets(endpoint: Endpoint) -> None:
    """The old system returned headers, keys and routing keys in clear."""
    standard, pager = add(endpoint, STANDARD)["id"], add(endpoint, PAGER_DUTY)["id"]
    listed = send_request(endpoint, "GET", "alert-webhooks")
    assert listed == [show(endpoint, standard), show(endpoint, pager)]
    assert not [secret for secret in ("t0psecret", "acc3ss", "R0UTINGKEY") if secret in json.dumps(listed)]
    assert listed[0] == {
        **STANDARD, "id": standard, "http_headers": {"X-Token": MASK}, "additional_arguments": None,
        "latest_execution_date": None, "latest_execution_status": None, "format": "deepchecks",
        "latest_execution_error": None,
    }  # fmt: skip
    assert listed[1]["additional_arguments"] == {"routing_key": MASK, "group": "deepchecks", "class": "c"}
    assert (listed[1]["http_headers"], listed[1]["kind"]) == ({"Authorization": MASK}, "PAGER_DUTY")
    assert [row["id"] for row in send_request(endpoint, "GET", "alert-webhooks?limit=1&offset=1")] == [pager]


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"http_url": "https://127.0.0.2/x"}, 400),
        ({"http_url": "https://169.254.169.254/latest/meta-data"}, 400),
        ({"http_url": "https://[::1]/"}, 400),
        ({"http_url": "https://0x7f.2/"}, 400),
        ({"http_url": "https://localhost/x"}, 400),
        ({"http_url": "https://metadata.google.internal/x"}, 400),
        ({"http_url": "http://hooks.example.org/x"}, 400),
        ({"http_url": "https://user:pass@hooks.example.org/x"}, 400),
        ({"http_url": "ftp://hooks.example.org/x"}, 400),
        ({"http_method": "PUT"}, 422),
        ({"http_headers": {"Host": "x"}}, 400),
        ({"http_headers": {"X": "a\r\nb: c"}}, 400),
        ({"notification_levels": ["urgent"]}, 422),
        ({"kind": "SLACK"}, 422),
        ({"name": ""}, 422),
        ({"name": "n" * 101}, 422),
        ({"http_url": None}, 422),
    ],
)
def test_unusable_webhook_is_refused_at_creation(endpoint: Endpoint, changed: Any, status: int) -> None:
    """Addresses of this machine and network are refused, without a request to them."""
    add(endpoint, {**STANDARD, **changed}, status)
    assert send_request(endpoint, "GET", "alert-webhooks") == []


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"event_routing_key": None}, 422),
        ({"event_routing_key": " "}, 400),
        ({"http_url": "https://events.evil.example/v2/enqueue"}, 400),
        ({"api_access_key": "ü"}, 400),
    ],
)
def test_unusable_pagerduty_webhook_is_refused(endpoint: Endpoint, changed: Any, status: int) -> None:
    add(endpoint, {**PAGER_DUTY, **changed}, status)


def test_key_of_pagerduty_may_be_any_text(endpoint: Endpoint) -> None:
    """The old system took any; PagerDuty itself says whether it knows the key, when a test is sent."""
    add(endpoint, {**PAGER_DUTY, "event_routing_key": "R0UT"})


def test_messages_name_routes_and_no_commands(endpoint: Endpoint) -> None:
    webhook_id = add(endpoint, STANDARD)["id"]
    for method, path, body, status in (
        ("POST", "alert-webhooks", STANDARD, 400),
        ("POST", "alert-webhooks", {**PAGER_DUTY, "event_routing_key": " "}, 400),
        ("GET", f"alert-webhooks/{webhook_id + 1}", None, 404),
        ("PUT", f"alert-webhooks/{webhook_id}", {"kind": "PAGER_DUTY"}, 400),
    ):
        message = send_request(endpoint, method, path, body, status)["error_message"]
        assert '"dcmon ' not in message, message


def test_nothing_is_sent_when_a_webhook_is_added(endpoint: Endpoint) -> None:
    """The old system sent a request to every URL that a client named, and waited for it."""
    with http_receiver() as receiver:
        add(endpoint, {**STANDARD, "http_url": receiver.url})
        add(endpoint, {**STANDARD, "name": "other", "http_url": "https://nothing.invalid/x"})
        assert receiver.requests == []


def test_webhook_without_levels_gets_the_default_ones(endpoint: Endpoint) -> None:
    """Without levels it gets critical, high and medium; with none it gets no alert."""
    body = {key: value for key, value in STANDARD.items() if key not in ("notification_levels", "http_headers")}
    first = add(endpoint, body)["id"]
    second = add(endpoint, {**body, "name": "none", "notification_levels": []})["id"]
    assert show(endpoint, first)["notification_levels"] == ["critical", "high", "medium"]
    assert (show(endpoint, first)["http_headers"], show(endpoint, second)["notification_levels"]) == (None, [])
    assert "already" in add(endpoint, body, 400)["error_message"]


@pytest.mark.parametrize("body", [STANDARD, PAGER_DUTY], ids=lambda body: str(body["kind"]))
def test_webhook_is_changed_in_parts(endpoint: Endpoint, app: App, target: Target, body: Any) -> None:
    """Only the fields that are sent change, for both kinds: the old system failed for PagerDuty."""
    webhook_id = add(endpoint, body)["id"]
    before, secrets = show(endpoint, webhook_id), stored(app, target, body["name"]).credentials
    change = {"name": "renamed", "notification_levels": ["low"], "description": "new"}
    send_request(endpoint, "PUT", f"alert-webhooks/{webhook_id}", change)
    send_request(endpoint, "PUT", f"alert-webhooks/{webhook_id}", {"kind": body["kind"]})
    assert show(endpoint, webhook_id) == {**before, **change}
    # What a client was shown can be sent back: masked secrets stay as they are.
    shown = {key: value for key, value in before.items() if key.startswith(("http_", "kind"))}
    send_request(endpoint, "PUT", f"alert-webhooks/{webhook_id}", shown)
    assert stored(app, target, "renamed").credentials == secrets
    other = "PAGER_DUTY" if body["kind"] == "STANDARD" else "STANDARD"
    send_request(endpoint, "PUT", f"alert-webhooks/{webhook_id}", {"kind": other}, 400)
    send_request(endpoint, "PUT", f"alert-webhooks/{webhook_id}", {"http_url": "https://10.0.0.1/x"}, 400)


def test_headers_are_replaced_removed_and_not_moved(endpoint: Endpoint, app: App, target: Target) -> None:
    """Headers are not sent to another host than the one they were meant for."""
    path = f"alert-webhooks/{add(endpoint, STANDARD)['id']}"
    send_request(endpoint, "PUT", path, {"http_headers": {"X-Token": MASK, "Y": "y"}})
    assert stored(app, target, "old").credentials == {"X-Token": "t0psecret", "Y": "y"}
    send_request(endpoint, "PUT", path, {"http_url": "https://other.example.org/x"})
    assert stored(app, target, "old").credentials == {}
    send_request(endpoint, "PUT", path, {"http_headers": {"Z": "z"}})
    send_request(endpoint, "PUT", path, {"http_headers": {}, "http_method": "GET"})
    assert (stored(app, target, "old").credentials, stored(app, target, "old").options["method"]) == ({}, "GET")


def test_webhook_is_deleted(endpoint: Endpoint) -> None:
    path = f"alert-webhooks/{add(endpoint, STANDARD)['id']}"
    assert send_request(endpoint, "DELETE", path) is None
    for method in ("GET", "PUT", "DELETE"):
        send_request(endpoint, method, path, {} if method == "PUT" else None, 404)


@contextmanager
def notified(app: App, target: Target) -> Iterator[None]:
    """Run a notify worker that finds the organization on the work queue."""
    with app.public() as session:
        work_queue.enqueue(session, target.org.id, work_queue.Work.notify)
    with running(notify.run, app):
        yield


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_message_has_the_keys_of_the_old_system(
    endpoint: Endpoint, notifying: App, target: Target, method: str
) -> None:
    """A webhook made over HTTP gets one body with the old keys for each alert, and none when it ends."""
    monitor_drift_of_age(notifying, target)
    with http_receiver() as receiver:
        added = add(endpoint, {**STANDARD, "http_url": f"{receiver.url}/in", "http_method": method})["id"]
        add(endpoint, {**STANDARD, "name": "critical", "http_url": f"{receiver.url}/other",
                       "notification_levels": ["critical"]})  # fmt: skip
        for number, value in enumerate((0.1, 0.5, 0.1)):
            store_result(notifying, target, number, value)
            with notified(notifying, target):
                assert eventually(partial(is_done, notifying, target, number))
        (request,) = receiver.requests
    assert (request.method, request.path, request.headers["x-token"]) == (method, "/in", "t0psecret")
    assert {key: request.document[key] for key in ("alert_id", "alert_name", "severity")} == {
        "alert_id": 1, "alert_name": "model: credit monitor: Age", "severity": "high",
    }  # fmt: skip
    assert len(request.document) == 5
    assert "/alerts/1" in request.document["alert_link"]
    assert re.fullmatch(r"High - .* > 0\.2", request.document["alert_rule"])
    shown = show(endpoint, added)
    assert (shown["latest_execution_status"], shown["latest_execution_date"] is not None) == ("OK", True)


def is_done(notifying: App, target: Target, number: int) -> bool:
    """Return True if the notifications of the results until this one are finished."""
    expected = (0, 1, 2)[number]
    done = "select count(*) from notifications where delivered_at is not null or dead_at is not null"
    return int(target.scalar(done)) == expected


def test_failed_delivery_is_shown(endpoint: Endpoint, notifying: App, target: Target) -> None:
    """The status of the last attempt is kept; the old system often lost it."""
    monitor_drift_of_age(notifying, target)
    with http_receiver() as receiver:
        receiver.status = 500
        added = add(endpoint, {**STANDARD, "http_url": receiver.url})["id"]
        store_result(notifying, target, 0, 0.5)
        with notified(notifying, target):
            assert eventually(lambda: show(endpoint, added)["latest_execution_status"] == "FAILED")
    assert "500" in show(endpoint, added)["latest_execution_error"]


def test_pagerduty_event_has_the_old_details(endpoint: Endpoint, notifying: App, target: Target) -> None:
    """PagerDuty gets an event with the access key as header and the old details."""
    monitor_drift_of_age(notifying, target)
    with http_receiver() as receiver:
        add(endpoint, {**PAGER_DUTY, "http_url": receiver.url, "notification_levels": ["high"]})
        store_result(notifying, target, 0, 0.5)
        with notified(notifying, target):
            assert eventually(lambda: bool(receiver.requests))
        request = receiver.requests[0]
    event = request.document
    assert request.headers["authorization"] == "Token token=acc3ss-key"
    assert (event["event_action"], event["routing_key"], event["client"]) == ("trigger", "R0UTINGKEY", "dcmon")
    payload = event["payload"]
    assert (payload["severity"], payload["component"], payload["group"], payload["class"]) == (
        "error", "Age", "deepchecks", "c",
    )  # fmt: skip
    details = payload["custom_details"]
    assert {key: details[key] for key in ("alert_id", "alert_name", "severity")} == {
        "alert_id": 1, "alert_name": "model: credit monitor: Age", "severity": "high",
    }  # fmt: skip
    assert list(details["failed_values"]) == ["v1"]


def test_webhook_is_tested_by_a_worker(endpoint: Endpoint, notifying: App) -> None:
    with http_receiver() as receiver, running(notify.run, notifying):
        webhook_id = add(endpoint, {**STANDARD, "http_url": receiver.url})["id"]
        refused = send_request(endpoint, "POST", f"alert-webhooks/{webhook_id}/test", None, 503)
        assert "No notify worker runs" in json.dumps(refused)
        with notifying.public() as session:
            session.add(Worker(id=uuid.uuid4(), kind="notify", host="h", pid=1))

        tested = send_request(endpoint, "POST", f"alert-webhooks/{webhook_id}/test", None, 200)

    assert (tested["delivered"], tested["status"], tested["error"]) == (True, 204, None)
    assert len(receiver.requests) == 1
    assert send_request(endpoint, "POST", "alert-webhooks/999/test", None, 404)
