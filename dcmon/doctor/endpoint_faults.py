"""Faults of the endpoint's port and certificate."""

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

from dcmon.doctor.faults import Fact, Part, fault
from dcmon.doctor.installation import Installation
from dcmon.embedded import supervisor_state
from dcmon.formatting import format_time, shell_argument
from dcmon.severity import Severity

SOON = timedelta(days=21)
CONNECT_SECONDS = 1.0


@fault("port-taken", "Another program has the port of the endpoint", Part.ENDPOINT, Severity.HIGH)
def taken_port(installation: Installation) -> Iterator[Fact]:
    """`dcmon up` and `dcmon serve` end at once, and clients reach the other program."""
    http = installation.known.http
    host = "127.0.0.1" if http.host in ("0.0.0.0", "::") else http.host
    if _accepts(host, http.port) and not supervisor_state.is_endpoint_up(
        supervisor_state.probe_url(installation.known)
    ):
        sentence = f"{host}:{http.port} (DCMON_HTTP__PORT) takes connections, and is no endpoint of dcmon."
        yield Fact(sentence, f"ss -ltnp 'sport = :{http.port}'")


def _accepts(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), CONNECT_SECONDS):
            return True
    except OSError:
        return False


@fault("tls-unusable", "The TLS certificate can't be used", Part.ENDPOINT, Severity.CRITICAL)
def unusable_certificate(installation: Installation) -> Iterator[Fact]:
    """A missing or unreadable file, or a key of another certificate: the endpoint does not start."""
    http = installation.known.http
    if http.tls_certificate is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(http.tls_certificate, http.tls_key, password="")
    except (OSError, ValueError) as error:
        key = f" and DCMON_HTTP__TLS_KEY {http.tls_key}" if http.tls_key else ""
        sentence = (
            f"DCMON_HTTP__TLS_CERTIFICATE {http.tls_certificate}{key}: {getattr(error, 'strerror', None) or error}"
        )
        yield Fact(sentence, f"ls -l {shell_argument(str(http.tls_certificate))}")


@fault("tls-expires", "The TLS certificate expires", Part.ENDPOINT, Severity.HIGH)
def expiring_certificate(installation: Installation) -> Iterator[Fact]:
    """Clients refuse an expired certificate."""
    path = installation.known.http.tls_certificate
    ends_at = _end(path) if path is not None else None
    if path is None or ends_at is None or ends_at - datetime.now(UTC) > SOON:
        return
    is_over = ends_at < datetime.now(UTC)
    sentence = f"The certificate in {path} {'expired' if is_over else 'expires'} on {format_time(ends_at)} UTC."
    severity = Severity.CRITICAL if is_over else None
    yield Fact(sentence, f"openssl x509 -noout -dates -in {shell_argument(str(path))}", severity=severity)


def _end(path: Path) -> datetime | None:
    """Return when a certificate expires; None if it can't be read, or the library for it is not installed."""
    if find_spec("cryptography") is None:
        return None
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return None
