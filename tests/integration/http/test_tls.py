"""The endpoint over TLS: certificates that can be used and that can't, and their renewal."""

import os
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from dcmon.errors import InvalidInput
from dcmon.http import tls
from dcmon.http.tls import Certificate
from dcmon.settings import Http
from tests.conftest import Acme
from tests.helpers.serve_process import serving_process
from tests.helpers.waiting import eventually


def write(authority: trustme.CA, directory: Path, name: str = "127.0.0.1", **options: datetime) -> Path:
    """Write a certificate with its key to one file, as a rename does it, and return the file."""
    issued, file = authority.issue_cert(name, **options), directory / "server.pem"
    new = directory / "server.pem.new"
    new.write_bytes(issued.private_key_and_cert_chain_pem.bytes())
    return new.replace(file)


def trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_https_answers_with_strict_transport_security(database_url: str, tmp_path: Path, acme: Acme) -> None:
    authority = trustme.CA()
    file = write(authority, tmp_path)
    settings = {"HTTP__TLS_CERTIFICATE": str(file)}
    with serving_process(database_url, tmp_path, acme.token, tls=trust(authority), **settings) as served:
        answer = served.request("GET", "/api/v1/say-hello")
        assert (answer.status, answer.json) == (200, "Hello world")
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        assert "https://127.0.0.1" in served.output
        # Only root can read the file: root's endpoint has stepped down, and warns before the first renewal.
        assert ("will not be loaded" in served.output) == (os.geteuid() == 0)


def test_new_certificate_keeps_open_connections(database_url: str, tmp_path: Path, acme: Acme) -> None:
    """A certificate is renewed while clients are connected: they go on, and new ones see the new certificate."""
    old, new = trustme.CA(), trustme.CA()
    file = write(old, tmp_path)
    settings = {"HTTP__TLS_CERTIFICATE": str(file), "RUN_AS": "root"}  # a file that only root can read
    with serving_process(database_url, tmp_path, acme.token, "--workers", "2", tls=trust(old), **settings) as served:
        connection = served.connect()
        connection.request("GET", "/health/live")
        assert connection.getresponse().read() == b'{"status":"live"}'
        write(new, tmp_path)
        served.tls = trust(new)
        assert eventually(served.answers)
        connection.request("GET", "/health/live")
        assert connection.getresponse().read() == b'{"status":"live"}'
        connection.close()


def test_unusable_new_files_leave_the_certificate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write(trustme.CA(), tmp_path)
    certificate = Certificate(file, file)
    expires_at = certificate.expires_at
    file.write_bytes(file.read_bytes()[:200])
    assert not certificate.reload_if_changed()
    assert certificate.expires_at == expires_at
    assert "the former one stays in use" in caplog.text
    write(trustme.CA(), tmp_path)
    assert certificate.reload_if_changed()


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"DCMON_HTTP__TLS_CERTIFICATE: the file .*none\.pem does not exist"):
        tls.from_settings(Http(tls_certificate=tmp_path / "none.pem"))


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="can't be read: Is a directory"):
        tls.from_settings(Http(tls_certificate=tmp_path))


def test_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    file, other = write(trustme.CA(), tmp_path), tmp_path / "other.pem"
    other.write_bytes(trustme.CA().issue_cert("127.0.0.1").private_key_pem.bytes())
    with pytest.raises(InvalidInput, match=r"DCMON_HTTP__TLS_KEY: the key in .* does not belong to the certificate"):
        tls.from_settings(Http(tls_certificate=file, tls_key=other))


def test_expired_certificate_is_refused(tmp_path: Path) -> None:
    end = datetime.now(UTC) - timedelta(days=1)
    file = write(trustme.CA(), tmp_path, not_before=end - timedelta(days=9), not_after=end)
    with pytest.raises(InvalidInput, match="expired at"):
        tls.from_settings(Http(tls_certificate=file))


def test_key_without_a_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="DCMON_HTTP__TLS_CERTIFICATE is not"):
        tls.from_settings(Http(tls_key=tmp_path / "key.pem"))


@pytest.mark.parametrize("content", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "server.pem"
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match="has no certificate in PEM format"):
        tls.from_settings(Http(tls_certificate=file))


def test_serve_with_a_missing_file_ends_with_one_line(database_url: str, tmp_path: Path, acme: Acme) -> None:
    environment = {
        "DCMON_DATABASE_URL": database_url, "DCMON_DATA_DIR": str(tmp_path),
        "DCMON_HTTP__TLS_CERTIFICATE": str(tmp_path / "none.pem"),
    }  # fmt: skip
    command = [sys.executable, "-m", "dcmon", "serve"]
    completed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert completed.returncode == 2
    assert completed.stderr.strip().endswith("does not exist.")
    assert "Traceback" not in completed.stderr
