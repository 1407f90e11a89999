"""Integrations against real servers on sockets and real processes."""

import base64
import contextlib
import hmac
import json
import os
import shutil
import signal
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import SecretStr

from dcmon import db
from dcmon.notifications import receivers
from dcmon.notifications.attempt import Attempt
from dcmon.notifications.integrations import registry
from dcmon.notifications.integrations.base import DeliverySettings, DeliveryTarget, Message
from dcmon.settings import Smtp, Webhooks
from tests.helpers.alerts import (
    ALLOWED,
    OK,
    SHORT_TIMEOUT,
    Receiver,
    certificate_of,
    drip,
    receiver,
    respond_with,
    until_closed,
)
from tests.helpers.waiting import PATIENCE, eventually
from tests.integration.conftest import Target
from tests.unit.notifications.test_integrations import combined, notification

SETTINGS = DeliverySettings(ALLOWED)


def send(
    kind: str, url: str = "", body: dict[str, Any] | None = None, settings: DeliverySettings = SETTINGS, **to: Any
) -> Attempt:
    return registry.send(DeliveryTarget(kind, "team", url, **to), Message("msg_1", body or notification()), settings)


# Over HTTP.


def test_webhook_has_body_headers_and_both_signatures() -> None:
    with receiver(respond_with(OK)) as at:
        sent = send("webhook", at.url, secrets=(b"new", b"old"), credentials={"X-Token": "abc"})
    assert sent.is_delivered
    head, _, payload = at.requests[0].partition(b"\r\n\r\n")
    assert json.loads(payload) == notification()
    assert b"X-Token: abc" in head
    assert head.count(b"v1,") == 2


def verify_signatures(secrets: list[str], request: bytes, now: float) -> list[bool]:
    """Return for each secret whether it signed the message.

    The message is verified as the Standard Webhooks specification 1.0.0 requires.
    """
    head, _, payload = request.partition(b"\r\n\r\n")
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in head.decode().split("\r\n")[1:])
    }
    identity, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    assert "." not in identity  # it separates the parts that are signed
    assert timestamp.isdecimal()
    assert abs(now - int(timestamp)) < 300
    verified = []
    for secret in secrets:
        assert secret.startswith("whsec_")
        key = base64.b64decode(secret[len("whsec_") :], validate=True)
        assert 24 <= len(key) <= 64
        mac = hmac.new(key, b".".join([identity.encode(), timestamp.encode(), payload]), "sha256")
        signatures = [part.split(",", 1) for part in headers["webhook-signature"].split(" ")]
        assert {version for version, _ in signatures} == {"v1"}
        verified.append(any(hmac.compare_digest(base64.b64decode(value), mac.digest()) for _, value in signatures))
    return verified


def test_webhook_verifies_by_the_specification(
    target: Target,
) -> None:
    """Both signatures are sent while the old secret of a rotation is valid."""
    day = timedelta(days=1, minutes=1)
    with db.org_session(target.engine, target.org) as session, receiver(respond_with(OK)) as at:
        added, old = receivers.add(session, "team", at.url, ALLOWED)
        now = receivers.database_time(session)
        registry.send(receivers.delivery_target(added, now), Message("msg_1", notification()), SETTINGS)
        new = receivers.rotate_secret(session, added)
        registry.send(receivers.delivery_target(added, now), Message("msg_1", notification(note="ü")), SETTINGS)
        registry.send(receivers.delivery_target(added, now + day), Message("msg_1", notification()), SETTINGS)
    seen = [verify_signatures([old, new], request, time.time()) for request in at.requests]
    assert seen == [[True, False], [True, True], [False, True]]
    head, _, payload = at.requests[0].partition(b"\r\n\r\n")
    forged = head + b"\r\n\r\n" + payload.replace(b"credit", b"Credit")
    assert verify_signatures([old], forged, time.time()) == [False]


@pytest.mark.parametrize("kind", ["slack", "teams"])
def test_chat_gets_its_own_format(kind: str) -> None:
    with receiver(respond_with(OK)) as at:
        assert send(kind, at.url).is_delivered
    (body,) = at.bodies()
    assert "Prediction Drift" in json.dumps(body)
    assert set(body) == ({"text", "blocks"} if kind == "slack" else {"type", "attachments"})


def test_pagerduty_test_opens_and_closes_an_incident() -> None:
    with receiver(respond_with(OK)) as at:
        body = {"type": "test", "organization": "acme", "text": "hello"}
        assert send("pagerduty", at.url, body, credentials={"routing_key": "R0UTINGKEY"}).is_delivered
    assert [body["event_action"] for body in at.bodies()] == ["trigger", "resolve"]
    assert len({body["dedup_key"] for body in at.bodies()}) == 1


def test_error_hides_a_secret_that_the_receiver_repeats() -> None:
    message = b"invalid routing key R0UTINGKEY, token abc123"
    response = b"HTTP/1.1 400 X\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%s" % (len(message), message)
    with receiver(respond_with(response)) as at:
        sent = send("pagerduty", at.url, credentials={"routing_key": "R0UTINGKEY"})
        other = send("webhook", at.url, secrets=(b"x",), credentials={"X-Token": "abc123"})
        chat = send("slack", at.url + "/R0UTINGKEY")
    assert sent.error == "The receiver answered 400: invalid routing key …, token abc123"
    assert "abc123" not in (other.error or "")
    assert "R0UTINGKEY" not in (chat.error or "")


def test_receiver_response_is_cut_and_cleaned() -> None:
    message = b"\x1b[31mred\x00\n" + b"x" * 100_000
    response = b"HTTP/1.1 500 X\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%s" % (len(message), message)
    page = b"HTTP/1.1 502 X\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\r\n<html></html>"
    with receiver(respond_with(response, page)) as at:
        error = send("webhook", at.url, secrets=(b"x",)).error or ""
        assert error.isprintable()
        assert len(error) < 260
        assert send("webhook", at.url, secrets=(b"x",)).error == "The receiver answered 502."


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [(429, "30", 30), (503, "0", 0), (429, "99999999999", 86_400), (429, "-5", 0), (429, "soon", None),
     (429, "Wed, 21 Oct 2015 07:28:00 GMT", 0), (503, "Fri, 31 Dec 9999 23:59:59 GMT", 86_400), (500, "30", None)],
)  # fmt: skip
def test_retry_after_is_read_in_seconds_or_as_a_date(status: int, header: str, seconds: int | None) -> None:
    response = f"HTTP/1.1 {status} X\r\nretry-after: {header}\r\ncontent-length: 0\r\n\r\n".encode()
    with receiver(respond_with(response)) as at:
        sent = send("webhook", at.url, secrets=(b"x",))
    assert sent.retry_after == (None if seconds is None else timedelta(seconds=seconds))


def test_redirect_is_not_followed() -> None:
    with receiver(respond_with(b"HTTP/1.1 307 X\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n")) as at:
        assert "a redirect, which dcmon does not follow" in (send("slack", at.url).error or "")


def test_next_address_is_tried_when_one_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver(respond_with(OK)) as at:
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, at.port)) for address in ("127.0.0.2", "127.0.0.1")
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        settings = DeliverySettings(Webhooks(allow=["hooks.internal"], timeout=timedelta(seconds=PATIENCE)))
        assert send("webhook", f"http://hooks.internal:{at.port}/x", secrets=(b"x",), settings=settings).is_delivered
    assert b"hooks.internal" in at.requests[0]


def test_host_with_one_non_public_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    assert "10.0.0.1, which is not public" in (send("webhook", "https://both.example/", secrets=(b"x",)).error or "")


def test_hanging_resolver_is_timed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait() and [])
    sent = send("webhook", "https://slow.example/", secrets=(b"x",), settings=DeliverySettings(SHORT_TIMEOUT))
    released.set()
    assert "resolved within 1 s" in (sent.error or "")


# E-mail.


class MailServer:
    """Run a minimal SMTP server on a loopback port with the given replies."""

    def __init__(self, context: ssl.SSLContext | None = None, *, is_tls: bool = False, **says: str) -> None:
        self.context, self.is_tls, self.says = context, is_tls, says
        self.lines: list[str] = []
        self.mails: list[str] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                wire, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(wire,), daemon=True).start()

    def _one(self, wire: socket.socket) -> None:
        try:
            wire.settimeout(PATIENCE)
            if self.is_tls and self.context is not None:
                wire = self.context.wrap_socket(wire, server_side=True)
            self._talk(wire)
        except OSError:
            pass
        finally:
            wire.close()

    def _talk(self, wire: socket.socket) -> None:
        wire.sendall(f"{self.says.get('hello', '220 ready')}\r\n".encode())
        with contextlib.ExitStack() as cleanup:
            self._reply_to_commands(wire, cleanup)

    def _reply_to_commands(self, wire: socket.socket, cleanup: contextlib.ExitStack) -> None:
        reader = cleanup.enter_context(wire.makefile("rb"))
        while line := reader.readline().decode().strip():
            self.lines.append(line)
            verb = line.split(" ")[0].split(":")[0].upper()
            if verb == "DATA":
                wire.sendall(b"354 go on\r\n")
                if self.says.get("DATA") == "dies":
                    reader.readline()
                    return
                mail = b""
                while not mail.endswith(b"\r\n.\r\n"):
                    mail += reader.readline()
                self.mails.append(mail.decode())
                wire.sendall(f"{self.says.get('DATA', '250 taken')}\r\n".encode())
            elif verb == "EHLO":
                offers = ["250-here", *(["250-STARTTLS"] if self.context and not self.is_tls else []), "250 AUTH PLAIN"]
                wire.sendall("".join(f"{offer}\r\n" for offer in offers).encode())
            elif verb == "STARTTLS" and self.context is not None:
                wire.sendall(b"220 go on\r\n")
                wire = cleanup.enter_context(self.context.wrap_socket(wire, server_side=True))
                reader = cleanup.enter_context(wire.makefile("rb"))
            elif verb == "AUTH":
                wire.sendall(f"{self.says.get('AUTH', '235 welcome')}\r\n".encode())
            else:
                refused = self.says.get("refuse", "nobody") in line
                later = self.says.get("later", "nobody") in line
                message = "550 no such user" if refused else "451 greylisted, come again" if later else "250 fine"
                wire.sendall(f"{message}\r\n".encode())


@contextmanager
def mail_server(context: ssl.SSLContext | None = None, **says: Any) -> Iterator[MailServer]:
    new_server = MailServer(context, **says)
    yield new_server
    new_server.socket.close()


def smtp(port: int, security: str = "none", webhooks: Webhooks = ALLOWED, **more: Any) -> DeliverySettings:
    settings = {"host": "localhost", "port": port, "security": security, "sender": "dcmon@acme.example", **more}
    return DeliverySettings(webhooks, Smtp.model_validate(settings))


def mail(
    settings: DeliverySettings, body: dict[str, Any] | None = None, to: tuple[str, ...] = ("ann@acme.example",)
) -> Attempt:
    return send("email", body=body, settings=settings, options={"to": list(to)})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate_of("localhost", tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return context_of(certificate)


def context_of(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_mail_has_both_parts_and_a_constant_id() -> None:
    with mail_server() as server:
        for _ in range(2):
            sent = mail(smtp(server.port), to=("ann@acme.example", "bob@acme.example"))
            assert (sent.is_delivered, sent.error) == (True, None)
    first, again = server.mails
    assert "Message-ID: <msg_1@acme.example>" in first
    assert "Message-ID: <msg_1@acme.example>" in again
    assert "Subject: [acme] HIGH firing: credit/Prediction Drift" in first
    assert "text/plain" in first
    assert "text/html" in first
    assert "rcpt TO:<bob@acme.example>" in server.lines


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_goes_by_tls_with_a_login(trusted: ssl.SSLContext, security: str) -> None:
    with mail_server(trusted, is_tls=security == "tls") as server:
        settings = smtp(server.port, security, username="dcmon", password="s3cret")
        assert mail(settings).is_delivered
    login = base64.b64encode(b"\0dcmon\0s3cret").decode()
    assert any(line.upper().startswith("AUTH PLAIN") and login in line for line in server.lines)
    assert len(server.mails) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_server_with_untrusted_certificate_gets_nothing(certificate: Path, security: str) -> None:
    with mail_server(context_of(certificate), is_tls=security == "tls") as server:
        sent = mail(smtp(server.port, security, username="dcmon", password="s3cret"))
    assert not sent.is_delivered
    assert "certificate" in (sent.error or "").lower()
    assert not any("AUTH" in line for line in server.lines)


def test_mail_server_without_tls_gets_no_password() -> None:
    with mail_server() as server:
        sent = mail(smtp(server.port, "starttls", username="dcmon", password="s3cret"))
    assert not sent.is_delivered
    assert not any("AUTH" in line for line in server.lines)


@pytest.mark.parametrize(
    ("responses", "error"),
    [({"AUTH": "535 wrong password s3cret"}, "535 wrong password …"), ({"DATA": "452 disk full"}, "452 disk full"),
     ({"hello": "554 go away"}, "554"), ({"hello": "nonsense"}, "mail server"), ({"refuse": "rcpt"}, "refused ann@")],
)  # fmt: skip
def test_refused_mail_has_an_error_without_the_password(responses: dict[str, str], error: str) -> None:
    with mail_server(**responses) as server:
        settings = smtp(server.port, username="dcmon", password="s3cret")
        sent = mail(settings)
    assert not sent.is_delivered
    assert error in (sent.error or "")
    assert "s3cret" not in (sent.error or "")


def test_mail_with_one_refused_address_reaches_the_others() -> None:
    with mail_server(refuse="bob") as server:
        sent = mail(smtp(server.port), to=("ann@acme.example", "bob@acme.example"))
    assert sent.is_delivered
    assert sent.error == "The mail server refused bob@acme.example (550 no such user)."
    assert len(server.mails) == 1


def test_temporarily_refused_address_is_retried() -> None:
    with mail_server(later="bob") as server:
        sent = mail(smtp(server.port), to=("ann@acme.example", "bob@acme.example"))
        alone = mail(smtp(server.port), to=("bob@acme.example",))
    assert (sent.is_delivered, sent.remaining) == (False, ("bob@acme.example",))
    assert sent.error == "The mail server refused bob@acme.example (451 greylisted, come again)."
    assert not alone.is_delivered
    assert len(server.mails) == 1


def test_mail_server_that_dies_midway_has_not_accepted() -> None:
    with mail_server(DATA="dies") as server:
        sent = mail(smtp(server.port))
    assert not sent.is_delivered
    assert "closed" in (sent.error or "").lower()


@pytest.mark.parametrize("behave", [drip(b"220-" + b"x" * 1000), until_closed], ids=["drips", "hangs"])
def test_endless_mail_server_is_timed_out(behave: Callable[..., None]) -> None:
    new_receiver = Receiver.__new__(Receiver)
    new_receiver.behave, new_receiver.context, new_receiver.requests = behave, None, []
    new_receiver._request = lambda _: b""  # type: ignore[method-assign]  # it speaks first
    new_receiver.socket = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=new_receiver._serve, daemon=True).start()
    sent = mail(smtp(new_receiver.socket.getsockname()[1], webhooks=SHORT_TIMEOUT))
    new_receiver.socket.close()
    assert not sent.is_delivered
    assert sent.seconds < 60  # the server needs more than three minutes


def test_missing_mail_server_names_the_setting() -> None:
    assert "DCMON_SMTP__HOST" in (mail(SETTINGS).error or "")
    assert "mail server" in (mail(smtp(1)).error or "").lower()


def test_digest_of_hundreds_is_a_mail() -> None:
    with mail_server() as server:
        assert mail(smtp(server.port), combined(700, is_digest=True)).is_delivered
    assert "700 notifications at once" in server.mails[0]


# Commands.

# Of this process's own: after a timeout, all processes of the machine that have the message's id are killed.
COMMAND_MESSAGE = f"msg_{uuid.uuid4().hex}"


def run(*argv: str, body: dict[str, Any] | None = None, settings: DeliverySettings = SETTINGS) -> Attempt:
    target = DeliveryTarget("command", "team", "", options={"argv": list(argv)})
    return registry.send(target, Message(COMMAND_MESSAGE, body or notification()), settings)


def shell(script: str, body: dict[str, Any] | None = None, settings: DeliverySettings = SETTINGS) -> Attempt:
    return run("/bin/sh", "-c", script, body=body, settings=settings)


def test_command_gets_the_message_and_its_exit_code_counts(tmp_path: Path) -> None:
    out = tmp_path / "out"
    sent = shell(
        f'cat > {out}; echo "$DCMON_ALERT_SEVERITY $DCMON_TYPE $DCMON_MESSAGE_ID $DCMON_ALERT_MODEL" >> {out}.env'
    )
    assert (sent.is_delivered, sent.error) == (True, None)
    assert json.loads(out.read_text()) == notification()
    assert Path(f"{out}.env").read_text() == f"high alert.firing {COMMAND_MESSAGE} credit\n"
    failed = shell("echo 'no   modem'; exit 3")
    assert (failed.is_delivered, failed.error) == (False, "The command ended with exit code 3: no modem")


def test_command_does_not_get_the_environment_of_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCMON_DATABASE_URL", "postgresql://dcmon:s3cret@h/d")
    assert shell(f"env > {tmp_path}/env").is_delivered
    assert "s3cret" not in (tmp_path / "env").read_text()


def test_command_runs_without_a_shell(tmp_path: Path) -> None:
    assert run("/bin/echo", f"$(touch {tmp_path}/made)", ";", "touch", f"{tmp_path}/made").is_delivered
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("prefix", ["", "setsid "], ids=["in its group", "in a session of its own"])
def test_endless_command_is_killed_with_its_children(tmp_path: Path, prefix: str) -> None:
    if prefix and not (Path("/proc/self/environ").exists() and shutil.which("setsid")):
        pytest.skip("there is no /proc, or no setsid, here")
    pid_file = tmp_path / "pid"
    for seconds in (1, 10, 100):  # a short timeout may be over before a busy machine has started the child
        settings = DeliverySettings(Webhooks(timeout=timedelta(seconds=seconds)))
        sent = shell(f"{prefix}sh -c 'echo $$ > {pid_file}; exec sleep 500' & sleep 500", settings=settings)
        assert sent.error == f"The command did not end within {seconds} s and was killed."
        assert sent.seconds < 300  # of the 500 that it would take
        if pid_file.exists() and pid_file.read_text():
            break
    child = int(pid_file.read_text())
    assert eventually(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie")


def test_processes_left_by_a_command_do_not_block() -> None:
    sent = shell("sleep 290 & exit 0")
    assert sent.is_delivered
    assert sent.seconds < 200  # of the 290 that the process left behind takes


def test_endless_output_of_a_command_is_dropped() -> None:
    before = psutil.Process().memory_info().rss
    sent = shell("head -c 50000000 /dev/zero | tr '\\0' x; exit 1")
    assert sent.error is not None
    assert sent.error.startswith("The command ended with exit code 1: xxx")
    assert len(sent.error) < 300
    assert psutil.Process().memory_info().rss - before < 20_000_000


def test_command_may_ignore_a_large_message() -> None:
    assert shell("exit 0", combined(2000, is_digest=True)).is_delivered


def test_command_that_is_missing_or_dies_has_an_error() -> None:
    assert "can't be started" in (run("/nothing/here").error or "")
    assert f"killed by signal {int(signal.SIGTERM)}" in (shell("kill -TERM $$").error or "")
    assert os.getpgid(0)  # the worker process still runs


def test_smtp_password_setting_is_not_shown() -> None:
    assert "s3cret" not in repr(Smtp(password=SecretStr("s3cret")))
