"""Deliveries to misbehaving receivers are bounded in time, ordered and egress-guarded."""

import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from dcmon import db
from dcmon.alerting import alert_payload
from dcmon.app import App
from dcmon.db import work_queue
from dcmon.jobs import notify
from dcmon.notifications import http_delivery, outbox, receivers
from dcmon.notifications.attempt import Attempt
from dcmon.notifications.batching import ClaimContext
from dcmon.notifications.integrations import message_text
from dcmon.notifications.notification_writer import AlertRenderer
from dcmon.settings import Webhooks
from dcmon.tenancy import provisioning
from tests.helpers.alerts import (
    ALLOWED,
    OK,
    SHORT_TIMEOUT,
    Behaviour,
    Hang,
    Receiver,
    add_receiver,
    certificate_of,
    drip,
    insert_alert,
    notification_states,
    receiver,
    respond_with,
    until_closed,
    write_notifications,
)
from tests.helpers.waiting import PATIENCE
from tests.integration.conftest import Target, eventually, running


def deliver(url: str, settings: Webhooks = ALLOWED) -> Attempt:
    return http_delivery.post(url, b"{}", {"content-type": "application/json"}, settings)


def test_response_2xx_is_a_delivery() -> None:
    with receiver(respond_with(OK)) as at:
        assert deliver(at.url).is_delivered
        assert at.requests[0].startswith(b"POST /hook HTTP/1.1\r\n")
        assert f"host: 127.0.0.1:{at.port}".encode() in at.requests[0].lower()


@pytest.mark.parametrize("status", [301, 302, 307, 400, 410, 429, 500, 503])
def test_other_status_is_no_delivery_nor_followed_redirect(status: int) -> None:
    with receiver(respond_with(OK)) as elsewhere:
        message = f"HTTP/1.1 {status} X\r\nlocation: {elsewhere.url}\r\ncontent-length: 0\r\n\r\n".encode()
        with receiver(respond_with(message)) as at:
            delivery = deliver(at.url)
            assert (delivery.status, delivery.is_delivered) == (status, False)
            assert len(at.requests) == 1
        assert elsewhere.requests == []


@pytest.mark.parametrize(
    "behave",
    [
        drip(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100),
        drip(b"HTTP/1.1 " + b"2" * 1000),
        until_closed,
    ],
    ids=["a header for ever", "a status line for ever", "nothing"],
)
def test_endless_receiver_is_timed_out(behave: Behaviour) -> None:
    with receiver(behave) as at:
        delivery = deliver(at.url, SHORT_TIMEOUT)
    assert not delivery.is_delivered
    assert "within 1 s" in (delivery.error or "")
    assert delivery.seconds < 60  # a receiver that drips needs two minutes


@pytest.mark.parametrize(
    "response_bytes",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 9999\r\n\r\n",
    ],
)
def test_endless_body_does_not_change_the_response(response_bytes: bytes) -> None:
    """A response body without an end does not change the status of the response."""

    def behave(wire: socket.socket, _: bytes) -> None:
        wire.sendall(response_bytes)
        drip(b"x" * 2500)(wire, b"")

    with receiver(behave) as at:
        for seconds in (1, 10, 100):  # a short timeout may be over before a busy machine has sent the header
            delivery = deliver(at.url, Webhooks(allow=["127.0.0.1"], timeout=timedelta(seconds=seconds)))
            if delivery.is_delivered:
                break
    assert delivery.is_delivered
    assert delivery.seconds < 300  # the receiver needs more than eight minutes


@pytest.mark.parametrize(
    "response_bytes", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000]
)
def test_invalid_response_has_a_readable_error(response_bytes: bytes) -> None:
    with receiver(respond_with(response_bytes)) as at:
        delivery = deliver(at.url)
    assert (delivery.status, delivery.is_delivered) == (None, False)
    assert delivery.error


def test_refused_connection_has_a_readable_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert "refused" in (deliver(f"http://127.0.0.1:{port}/").error or "").lower()


@pytest.mark.parametrize("path", ["/a b", "/ü?q=ü", "/a%20b?x=1&y=[2]", "?x", "/\\x"])
def test_every_path_is_sent_in_one_request_line(path: str) -> None:
    with receiver(respond_with(OK)) as at:
        assert deliver(f"http://127.0.0.1:{at.port}{path}").is_delivered
    line = at.requests[0].split(b"\r\n")[0]
    assert line.count(b" ") == 2
    assert line.isascii()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a self-signed certificate for "localhost"."""
    return certificate_of("localhost", tmp_path_factory.mktemp("tls"))


def test_https_uses_the_checked_address_and_host_certificate(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTPS connects to the checked address and verifies the host's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    allowed = Webhooks(allow=["localhost", "127.0.0.1"], timeout=timedelta(seconds=PATIENCE))
    with receiver(respond_with(OK), context) as at:
        assert "certificate" in (deliver(f"https://localhost:{at.port}/", allowed).error or "").lower()
        assert at.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert deliver(f"https://localhost:{at.port}/", allowed).is_delivered
        assert "doesn't match" in (deliver(f"https://127.0.0.1:{at.port}/", allowed).error or "").lower()


def test_slow_https_receiver_is_timed_out(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with receiver(drip(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100), context) as at:
        delivery = deliver(f"https://localhost:{at.port}/", Webhooks(allow=["localhost"], timeout=timedelta(seconds=1)))
    assert not delivery.is_delivered
    assert delivery.seconds < 60  # a receiver that drips needs two minutes


def test_socket_connected_at_the_deadline_is_shut_down() -> None:
    """A socket that is registered after the first shutdown is shut down too."""
    early, late = socket.socketpair(), socket.socketpair()
    with early[0], early[1], late[0], late[1], http_delivery.abort_after(0) as sockets:
        for connected, peer in (early, late):
            sockets.append(connected)
            peer.settimeout(PATIENCE)
            assert peer.recv(1) == b""


# The worker.


@pytest.fixture
def notifying_app(app: App, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """Return the App with loopback allowed and short pauses."""
    monkeypatch.setattr(outbox, "SHORTEST_DELAY", timedelta(milliseconds=50))
    with App(app.settings.model_copy(update={"webhooks": ALLOWED}), app.output) as new_app:
        yield new_app


def make_due(app: App, target: Target) -> None:
    """Let the time of leases and retries pass."""
    with app.org(target.org) as session:
        session.execute(
            text(
                "update notifications set due_at = now(),"
                " lease_until = case when lease_until is not null then now() - interval '1 second' end"
                " where delivered_at is null"
            )
        )
    with app.public() as session:
        work_queue.enqueue(session, target.org.id, work_queue.Work.notify)


def test_states_of_one_alert_arrive_in_order_after_a_failure(notifying_app: App, target: Target) -> None:
    """States of one alert arrive in order although the first attempt fails."""
    failing = b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n"
    with receiver(respond_with(failing, OK)) as at:
        add_receiver(notifying_app, target.org, at.url)
        about = insert_alert(notifying_app, target)
        write_notifications(notifying_app, target.org, about, "firing")
        with running(notify.run, notifying_app):
            assert eventually(lambda: notification_states(notifying_app, target) == ["delivered"])
            write_notifications(notifying_app, target.org, about, "resolved")
            assert eventually(lambda: notification_states(notifying_app, target) == ["delivered", "delivered"])
    assert at.kinds() == ["firing", "firing", "resolved"]
    first, again, last = at.ids()
    assert first == again != last


def test_newer_state_supersedes_a_refused_one(
    notifying_app: App, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "SHORTEST_DELAY", timedelta(hours=1))  # no second try before the newer state
    failing = b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n"
    with receiver(respond_with(failing, OK)) as at:
        add_receiver(notifying_app, target.org, at.url)
        about = insert_alert(notifying_app, target)
        write_notifications(notifying_app, target.org, about, "firing")
        with running(notify.run, notifying_app):
            assert eventually(lambda: target.scalar("select max(last_status) from notifications") == 500)
            write_notifications(notifying_app, target.org, about, "resolved")
            make_due(notifying_app, target)
            assert eventually(lambda: notification_states(notifying_app, target)[-1] == "delivered")
    assert at.kinds()[-1] == "resolved"
    assert "waiting" not in notification_states(notifying_app, target)


def test_receiver_gets_all_notifications_after_an_outage(notifying_app: App, target: Target) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    add_receiver(notifying_app, target.org, f"http://127.0.0.1:{port}/")
    write_notifications(notifying_app, target.org, insert_alert(notifying_app, target), "firing")
    with running(notify.run, notifying_app):
        assert eventually(lambda: "refused" in str(target.scalar("select last_error from notifications")).lower())
        restarted = Receiver.__new__(Receiver)
        restarted.behave, restarted.context, restarted.requests = respond_with(OK), None, []
        restarted.socket, restarted.port = socket.create_server(("127.0.0.1", port)), port
        threading.Thread(target=restarted._serve, daemon=True).start()
        assert eventually(lambda: notification_states(notifying_app, target) == ["delivered"])
        restarted.socket.close()
    assert len(restarted.requests) == 1


def test_two_workers_send_each_notification_once(notifying_app: App, target: Target) -> None:
    with receiver(respond_with(OK)) as at, App(notifying_app.settings, notifying_app.output) as second_app:
        add_receiver(notifying_app, target.org, at.url)
        with running(notify.run, notifying_app), running(notify.run, second_app):
            about = [insert_alert(notifying_app, target) for _ in range(30)]
            for alert_id in about:
                write_notifications(notifying_app, target.org, alert_id, "firing")
            assert eventually(lambda: set(notification_states(notifying_app, target)) == {"delivered"})
    notified = [
        notification["alert"]["id"] for body in at.bodies() for notification in message_text.notifications(body)
    ]
    assert sorted(notified) == about
    assert len(set(at.ids())) == len(at.requests)


def test_hanging_receiver_does_not_delay_another_organization(notifying_app: App, target: Target) -> None:
    other_org = provisioning.create_organization(notifying_app.engine, "other", "o@other.example").organization
    from tests.integration.conftest import new_target

    second = new_target(notifying_app.engine, other_org)
    with receiver(hang := Hang()) as hanging, receiver(respond_with(OK)) as at:
        add_receiver(notifying_app, target.org, hanging.url)
        add_receiver(notifying_app, other_org, at.url)
        for _ in range(4):
            write_notifications(notifying_app, target.org, insert_alert(notifying_app, target), "firing")
        write_notifications(notifying_app, other_org, insert_alert(notifying_app, second), "firing")
        with running(notify.run, notifying_app):
            is_sent = eventually(lambda: bool(hanging.requests) and bool(at.requests))
            hang.stop()
            assert is_sent


def test_organization_deleted_meanwhile_does_not_stop_notifying(notifying_app: App, target: Target) -> None:
    deleted_org = provisioning.create_organization(notifying_app.engine, "gone", "g@gone.example").organization
    with notifying_app.engine.begin() as connection:
        connection.execute(text(f"drop schema {deleted_org.schema} cascade"))
    with notifying_app.public() as session:
        work_queue.enqueue(session, deleted_org.id, work_queue.Work.notify)
    with receiver(respond_with(OK)) as at:
        add_receiver(notifying_app, target.org, at.url)
        with running(notify.run, notifying_app):
            write_notifications(notifying_app, target.org, insert_alert(notifying_app, target), "firing")
            assert eventually(lambda: len(at.requests) == 1)


def test_deleted_webhook_deletes_waiting_notifications(notifying_app: App, target: Target) -> None:
    add_receiver(notifying_app, target.org, "https://hooks.example.org/x")
    write_notifications(notifying_app, target.org, insert_alert(notifying_app, target), "firing")
    with db.org_session(notifying_app.engine, target.org) as session:
        receivers.delete(session, receivers.find(session, "team"))
    assert target.scalar("select count(*) from notifications") == 0


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 5), (2, 10), (5, 80), (20, 3600), (1000, 3600)])
def test_retry_delay_doubles_up_to_an_hour(attempts: int, seconds: Any) -> None:
    assert 0.9 * seconds <= outbox.retry_delay(attempts).total_seconds() <= seconds


def test_hanging_receiver_does_not_delay_another_receiver(notifying_app: App, target: Target) -> None:
    """A working receiver gets its message while all other receivers hang."""
    with receiver(hang := Hang()) as hanging, receiver(respond_with(OK)) as at:
        for number in range(12):
            add_receiver(notifying_app, target.org, hanging.url, f"hangs {number}")
        add_receiver(notifying_app, target.org, at.url, "works")
        is_sent = []
        with running(notify.run, notifying_app):
            for expected in range(1, 6):
                write_notifications(notifying_app, target.org, insert_alert(notifying_app, target), "firing")
                is_sent.append(eventually(lambda: len(at.requests) == expected and bool(hanging.requests)))  # noqa: B023
                if expected == 1:
                    hang.release()
            hang.stop()
        assert is_sent == [True] * 5


def test_written_notification_is_sent_within_a_second(notifying_app: App, target: Target) -> None:
    waits = []
    with receiver(respond_with(OK)) as at, running(notify.run, notifying_app):
        add_receiver(notifying_app, target.org, at.url)
        for expected in range(1, 11):
            about = insert_alert(notifying_app, target)
            started_at = time.monotonic()
            write_notifications(notifying_app, target.org, about, "firing")
            assert eventually(lambda: len(at.requests) == expected, every=0.005)  # noqa: B023
            waits.append(time.monotonic() - started_at)
    assert sorted(waits)[len(waits) // 2] < 20  # without a wake-up the outbox is checked each minute


def test_message_of_a_killed_worker_is_repeated_with_its_id(
    notifying_app: App, target: Target, database_url: str, data_dir: Path
) -> None:
    """The worker is killed after sending and before recording; the next worker sends the message again."""
    workers: list[subprocess.Popen[bytes]] = []

    def kill_first(wire: socket.socket, _: bytes) -> None:
        if len(workers) == 1:
            workers[0].kill()
            workers[0].wait()
        wire.sendall(OK)

    def start() -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DCMON_")}
        environment |= {
            "DCMON_DATA_DIR": str(data_dir), "DCMON_DATABASE_URL": database_url, "DCMON_WEBHOOKS__ALLOW": "127.0.0.1",
            "DCMON_WEBHOOKS__TIMEOUT": str(PATIENCE),
        }  # fmt: skip
        command = [sys.executable, "-m", "dcmon", "-q", "worker", "start", "notify"]
        workers.append(subprocess.Popen(command, env=environment))

    with receiver(kill_first) as at:
        add_receiver(notifying_app, target.org, at.url)
        write_notifications(notifying_app, target.org, insert_alert(notifying_app, target), "firing")
        start()
        try:
            assert eventually(lambda: len(at.requests) == 1)
            assert eventually(lambda: workers[0].poll() is not None)
            assert notification_states(notifying_app, target) == ["waiting"]
            make_due(notifying_app, target)  # with such a timeout, a lease takes ten minutes
            start()
            assert eventually(lambda: notification_states(notifying_app, target) == ["delivered"])
        finally:
            for worker in workers:
                worker.terminate()
                worker.wait(300)
    assert len(at.ids()) == 2
    assert len(set(at.ids())) == 1


# Also sets the creation back: a notification that `group_wait` still holds back at the first claim misses the digest.
SET_MODEL = text("""
    update notifications set model_id = :model, created_at = created_at - interval '1 hour' where alert_id = :alert
""")


def test_alert_storm_is_delivered_completely_within_the_cap(notifying_app: App, target: Target) -> None:
    about = [insert_alert(notifying_app, target) for _ in range(40)]
    with receiver(respond_with(OK)) as at:
        add_receiver(notifying_app, target.org, at.url)
        with notifying_app.org(target.org) as session:
            receivers.find(session, "team").cap = 5
        newest = target.scalar("select max(id) from models")
        for number, alert_id in enumerate(about):
            write_notifications(notifying_app, target.org, alert_id, "firing")
            with notifying_app.org(target.org) as session:  # as if each alert had its own model
                session.execute(SET_MODEL, {"model": newest + number, "alert": alert_id})
        with running(notify.run, notifying_app):
            assert eventually(lambda: notification_states(notifying_app, target) == ["delivered"] * 40)
    assert len(at.requests) == 5
    notified = [
        notification["alert"]["id"] for body in at.bodies() for notification in message_text.notifications(body)
    ]
    assert sorted(notified) == about


def test_expired_claim_is_left_to_the_next_worker(notifying_app: App, target: Target) -> None:
    """A notification whose claim expired is left to the next worker."""
    settings = notifying_app.settings.webhooks
    with receiver(respond_with(OK)) as at, ThreadPoolExecutor(1) as pool:
        add_receiver(notifying_app, target.org, at.url)
        write_notifications(notifying_app, target.org, insert_alert(notifying_app, target), "firing")
        sending = notify.DeliveryPool(notifying_app, pool)
        for late, came in ((1.0, 0), (0.0, 1)):
            with db.org_session(notifying_app.engine, target.org) as session:
                session.execute(
                    text("update notifications set lease_until = null, created_at = now() - interval '1 h'")
                )
                renderer = AlertRenderer(target.org, notifying_app.settings.url, alert_payload.describe)
                (claimed,) = outbox.claim(session, renderer, settings, lease=timedelta(hours=1))
            sending.send(target.org, replace(claimed, send_before=claimed.send_before - late * 3600))
            assert eventually(lambda: sending.busy(target.org.id) == [])
            assert len(at.requests) == came


def test_newer_state_waits_for_the_older_that_is_claimed(
    notifying_app: App, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer state, written while an older one is claimed, waits for it."""
    add_receiver(notifying_app, target.org, "https://hooks.example.org/x")
    about = insert_alert(notifying_app, target)
    write_notifications(notifying_app, target.org, about, "firing")
    # Its transaction starts before the claim and commits during the claim.
    old = text("update notifications set created_at = now() - interval '1 h', due_at = now() - interval '1 h'")

    def meanwhile(_: ClaimContext) -> None:
        write_notifications(notifying_app, target.org, about, "escalated")
        with db.org_session(notifying_app.engine, target.org) as another:
            another.execute(old)

    monkeypatch.setattr(outbox, "_write_repeats", meanwhile)
    with db.org_session(notifying_app.engine, target.org) as session:
        renderer = AlertRenderer(target.org, notifying_app.settings.url, alert_payload.describe)
        claimed = outbox.claim(session, renderer, notifying_app.settings.webhooks)
    assert [
        (claimed_message.message.body["type"], claimed_message.notification_count) for claimed_message in claimed
    ] == [("alert.firing", 1)]
