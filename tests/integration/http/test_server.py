"""One server process: readiness before a stop, the access log, trusted proxies, and its warning."""

import base64
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine, text

from dcmon import db
from dcmon.http.failed_logins import MAX_FAILURES
from tests.conftest import Acme
from tests.helpers.serve_process import ServeProcess, serving_process
from tests.helpers.waiting import PATIENCE, eventually

SECRET = "/api/v1/say-hello"
PROXIES = {"HTTP__TRUSTED_PROXIES": "127.0.0.0/8", "HTTP__DRAIN": str(PATIENCE)}


@pytest.fixture
def served(database_url: str, tmp_path: Path, acme: Acme) -> Iterator[ServeProcess]:
    with serving_process(database_url, tmp_path, acme.token) as process:
        yield process


@pytest.fixture
def proxied(database_url: str, tmp_path: Path, acme: Acme) -> Iterator[ServeProcess]:
    with serving_process(database_url, tmp_path, acme.token, **PROXIES) as process:
        yield process
        process.process.kill()


def test_stop_turns_readiness_first(proxied: ServeProcess) -> None:
    """A load balancer that asks /health/ready learns of the stop while requests are still answered."""
    assert proxied.request("GET", "/health/ready").status == 200
    proxied.process.send_signal(signal.SIGTERM)
    assert eventually(lambda: proxied.request("GET", "/health/ready").status == 503)
    assert proxied.request("GET", "/health/ready").json["additional_information"] == {"missing": ["process"]}
    assert proxied.request("GET", "/api/v1/say-hello").status == 200


def test_access_log_has_a_line_for_each_request(served: ServeProcess, acme: Acme) -> None:
    served.request("GET", "/api/v1/models/no-such-model?identifier_kind=name")
    assert eventually(lambda: any(line.get("status") == 404 for line in served.log_lines))
    line = next(line for line in served.log_lines if line.get("status") == 404)
    assert (line["method"], line["route"], line["client"]) == ("GET", "/api/v1/models/{identifier}", "127.0.0.1")
    assert (line["organization"], line["token"]) == ("acme", acme.token[:14])
    assert min(line["bytes"], line["ms"]) > 0
    assert acme.token not in served.output
    assert "no-such-model" not in str(line)


def test_access_log_names_tokens_of_pages_and_clients(served: ServeProcess, acme: Acme) -> None:
    """A browser sends the token in base64, a page is opened without the guard, and old tokens look different."""
    encoded = base64.b64encode(f"me:{acme.token}".encode()).decode()
    for path in ("/configuration/models", "/alerts/7", "/api/v1/say-hello"):
        served.request("GET", path, authorization=f"Basic {encoded}")

    def logged() -> list[tuple[str, str]]:
        lines = [line for line in served.log_lines if line.get("route", "/health/live") != "/health/live"]
        return [(line["organization"], line["token"]) for line in lines]

    assert eventually(lambda: len(logged()) == 3)
    assert set(logged()) == {("acme", acme.token[:14])}


def test_log_of_a_process_is_json(served: ServeProcess) -> None:
    assert len(served.log_lines) == len(served.output.splitlines()) > 0


def test_trusted_proxy_names_the_client(proxied: ServeProcess) -> None:
    headers = {"x-forwarded-for": "192.0.2.7", "x-forwarded-proto": "https"}
    answer = proxied.request("GET", "/health/live", **headers)
    assert "strict-transport-security" in answer.headers
    assert eventually(lambda: any(line.get("client") == "192.0.2.7" for line in proxied.log_lines))


def test_client_can_not_claim_another_address(served: ServeProcess) -> None:
    """Without trusted proxies, the headers of a proxy are the words of the client."""
    headers = {"x-forwarded-for": "192.0.2.7", "x-forwarded-proto": "https"}
    answer = served.request("GET", "/health/live", **headers)
    assert "strict-transport-security" not in answer.headers
    served.request("GET", "/nothing")
    assert eventually(lambda: any(line.get("status") == 404 for line in served.log_lines))
    assert "192.0.2.7" not in served.output


def test_claimed_addresses_are_throttled_as_one(served: ServeProcess) -> None:
    """A stranger claims another address for each wrong token."""
    served.token = "dcm_wrong"
    statuses = [served.request("GET", SECRET, x_forwarded_for=f"192.0.2.{n}").status for n in range(MAX_FAILURES + 5)]
    assert statuses[:MAX_FAILURES] == [401] * MAX_FAILURES
    assert set(statuses[MAX_FAILURES:]) == {429}


def test_clients_of_a_proxy_are_throttled_alone(proxied: ServeProcess) -> None:
    """What stands before the address that the proxy saw is the word of the client."""
    token, proxied.token = proxied.token, "dcm_wrong"
    claims = [f"198.51.100.{n}, 192.0.2.7" for n in range(MAX_FAILURES + 1)]
    assert [proxied.request("GET", SECRET, x_forwarded_for=claim).status for claim in claims][-1] == 429
    assert proxied.request("GET", SECRET, x_forwarded_for="192.0.2.8").status == 401
    proxied.token = token
    assert proxied.request("GET", SECRET, x_forwarded_for="192.0.2.8").status == 200


def test_changes_have_the_address_of_the_client(served: ServeProcess) -> None:
    """A stranger who claims an address does not get it into the log of changes."""
    body = b'{"name": "changed", "task_type": "regression"}'
    headers = {"x_forwarded_for": "192.0.2.7", "content_type": "application/json"}
    assert served.request("POST", "/api/v1/models", body, **headers).status == 200
    log = served.request("GET", "/api/v1/audit-log").body.decode()
    assert "changed" in log
    assert "127.0.0.1" in log
    assert "192.0.2.7" not in log


def test_unexpected_error_is_logged_once_with_its_id(served: ServeProcess, engine: Engine, acme: Acme) -> None:
    """A table is gone, which no code expects. The connection is in order afterwards."""
    with db.org_session(engine, acme.org) as session:
        session.execute(text("alter table dashboards rename to gone"))
    connection = served.connect()
    headers = {"authorization": f"Basic {served.token}"}
    connection.request("GET", "/api/v1/dashboards", headers=headers)
    response = connection.getresponse()
    identifier = json.loads(response.read())["additional_information"]["request_id"]
    assert (response.status, response.headers["x-request-id"]) == (500, identifier)
    connection.request("GET", "/api/v1/say-hello", headers=headers)
    assert connection.getresponse().read() == b'"Hello world"'
    connection.close()
    errors = [line for line in served.log_lines if line["level"] == "error"]
    assert [line["request_id"] for line in errors] == [identifier]


def test_few_open_files_are_made_enough(database_url: str, tmp_path: Path, acme: Acme) -> None:
    """Shells and systemd allow 1,024 files, which as many clients would use up."""
    this = psutil.Process()
    before = this.rlimit(psutil.RLIMIT_NOFILE)
    this.rlimit(psutil.RLIMIT_NOFILE, (min(1024, before[0]), before[1]))
    try:
        with serving_process(database_url, tmp_path, acme.token) as served:
            limits = Path(f"/proc/{served.process.pid}/limits").read_text()
            (line,) = (line for line in limits.splitlines() if line.startswith("Max open files"))
            assert int(line.split()[3]) >= min(1500, before[1])
    finally:
        this.rlimit(psutil.RLIMIT_NOFILE, before)


def test_exposed_endpoint_warns_once(database_url: str, tmp_path: Path, acme: Acme) -> None:
    with serving_process(database_url, tmp_path, acme.token, "--host", "0.0.0.0", "--workers", "2") as process:
        assert process.output.count("without TLS: tokens and rows can be read on the network") == 1
