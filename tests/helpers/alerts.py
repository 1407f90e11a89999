"""HTTP receivers on the loopback address with a given behaviour, and alerts to notify them of."""

import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dcmon.alerting import alert_payload, rules
from dcmon.app import App
from dcmon.db import Organization, work_queue
from dcmon.db.tables.org import Alert, AlertRule, Notification
from dcmon.monitoring import model_checks, monitors
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.notifications import notification_views, notification_writer, receivers
from dcmon.notifications.notification_writer import AlertRenderer
from dcmon.settings import Webhooks
from dcmon.storage import models
from dcmon.windows import Frequency
from tests.helpers.waiting import PATIENCE
from tests.integration.conftest import Target

ALLOWED = Webhooks(allow=["127.0.0.1"], timeout=timedelta(seconds=PATIENCE))
SHORT_TIMEOUT = Webhooks(allow=["127.0.0.1"], timeout=timedelta(seconds=1))  # only for tests of the timeout itself
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Behaviour = Callable[[socket.socket, bytes], None]


class Receiver:
    """A server on a loopback port that keeps each request and then behaves as given."""

    def __init__(self, behave: Behaviour, context: ssl.SSLContext | None = None) -> None:
        self.behave, self.context = behave, context
        self.requests: list[bytes] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def ids(self) -> list[str]:
        heads = [request.split(b"\r\n\r\n")[0].decode().lower() for request in list(self.requests)]
        return [line.split(": ")[1] for head in heads for line in head.split("\r\n") if line.startswith("webhook-id:")]

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.split(b"\r\n\r\n", 1)[1]) for request in list(self.requests)]

    def kinds(self) -> list[str]:
        return [
            kind
            for request in list(self.requests)
            for kind in ("firing", "resolved")
            if f'"alert.{kind}"'.encode() in request
        ]

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        try:
            with connection:
                if self.context is None:
                    self.behave(connection, self._request(connection))
                    return
                connection.settimeout(PATIENCE)
                with self.context.wrap_socket(connection, server_side=True) as wire:
                    self.behave(wire, self._request(wire))
        except OSError:
            pass

    def _request(self, wire: socket.socket) -> bytes:
        """Read a request. Raises ConnectionError if the peer closes before its end, as a probe does."""
        request = b""
        while b"\r\n\r\n" not in request:
            request += _received(wire)
        length = int(request.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(request) < request.index(b"\r\n\r\n") + 4 + length:
            request += _received(wire)
        self.requests.append(request)
        return request


def _received(wire: socket.socket) -> bytes:
    if not (received := wire.recv(65536)):
        raise ConnectionError
    return received


@contextmanager
def receiver(behave: Behaviour, context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    new_receiver = Receiver(behave, context)
    yield new_receiver
    with suppress(OSError):
        new_receiver.socket.shutdown(socket.SHUT_RDWR)  # close() alone would let the thread accept one more connection
    new_receiver.socket.close()


def respond_with(*responses: bytes) -> Behaviour:
    """Send the next response to each request; the last one is repeated."""
    remaining = list(responses)
    return lambda wire, _: wire.sendall(remaining.pop(0) if len(remaining) > 1 else remaining[0])


class Hang:
    """A receiver that accepts requests and sends no response until they are released."""

    def __init__(self) -> None:
        self._gate = threading.Event()

    def __call__(self, wire: socket.socket, request: bytes) -> None:
        self._gate.wait()

    def release(self) -> None:
        """Close all connections that are open now; later connections hang again."""
        gate, self._gate = self._gate, threading.Event()
        gate.set()

    def stop(self) -> None:
        """Close all connections, now and from now on."""
        self._gate.set()


def until_closed(wire: socket.socket, _: bytes) -> None:
    """Answer nothing until the peer closes the connection."""
    while wire.recv(65536):
        pass


def drip(chunk: bytes) -> Behaviour:
    """Send one byte at a time with short pauses."""

    def behave(wire: socket.socket, _: bytes) -> None:
        for byte in chunk:
            wire.sendall(bytes([byte]))
            time.sleep(0.2)

    return behave


def certificate_of(host: str, directory: Path) -> Path:
    """Create a self-signed certificate of a host in a file with its key."""
    done = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={host}",
         "-addext", f"subjectAltName=DNS:{host}", "-keyout", "-", "-out", "-"],
        capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip("openssl makes no certificate here")
    path = directory / "both.pem"
    path.write_bytes(done.stdout)
    return path


def insert_alert(app: App, target: Target, severity: str = "high") -> int:
    """Store a firing alert of the target and return its id."""
    with app.org(target.org) as session:
        rule = session.query(AlertRule).first()
        if rule is None:
            check = model_checks.get_or_create_check(session, models.get(session, target.model_id), "FeatureDrift")
            monitor = monitors.create(session, check, MonitorSpec("Drift", Frequency.DAY))
            rule = rules.create(session, monitor.id, rules.parse("> 0.1"), "high")
            rule.is_inhibited = False
        now = datetime.now(UTC)
        alert_row = Alert(
            rule_id=rule.id, version_id=target.version_id, state="firing", severity=severity, first_window_start=now,
            first_window_end=now, last_window_end=now, windows=1, metric="m", worst_value=1.0, worst_window_end=now,
            current_value=1.0, drivers={}, n=1, opened_at=now,
        )  # fmt: skip
        session.add(alert_row)
        session.flush()
        return alert_row.id


def add_receiver(app: App, org: Organization, url: str, name: str = "team") -> None:
    with app.org(org) as session:
        receivers.add(session, name, url, ALLOWED)


def write_notifications(app: App, org: Organization, alert_id: int, *kinds: str) -> None:
    for kind in kinds:
        with app.org(org) as session:
            renderer = AlertRenderer(org, "https://dcmon.example", alert_payload.describe)
            notification_writer.write(session, renderer, session.get_one(Alert, alert_id), kind)
    with app.public() as session:
        work_queue.enqueue(session, org.id, work_queue.Work.notify)


def notification_states(app: App, target: Target) -> list[str]:
    with app.org(target.org) as session:
        return [
            notification_views.state(notification)
            for notification in session.query(Notification).order_by(Notification.position)
        ]
