"""Liveness, readiness and metrics."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from pydantic import SecretStr

from dcmon.app import App
from dcmon.output import Output
from dcmon.settings import Http, Kafka, Settings
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.ports import free_port
from tests.integration.conftest import Target, rows

SECRET = "s3cret-of-the-database"


@pytest.fixture
def endpoint(app: App, acme: Acme) -> Iterator[Endpoint]:
    with serving(app, acme.token) as client:
        yield client


def get(endpoint: Endpoint, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
    return endpoint.pool.request("GET", endpoint.url + path, headers=headers, retries=False, timeout=300)


def test_ready_endpoint_answers_without_a_token(endpoint: Endpoint) -> None:
    assert get(endpoint, "/health/live").json() == {"status": "live"}
    assert get(endpoint, "/health/ready").json() == {"status": "ready"}
    assert get(endpoint, "/api/v1/health-check").data == b"ok"


def test_health_answers_head_without_a_body(endpoint: Endpoint) -> None:
    """Balancers and monitors of websites ask so."""
    for path in ("/health/live", "/health/ready", "/api/v1/health-check"):
        response = endpoint.pool.request("HEAD", endpoint.url + path, retries=False, timeout=300)
        assert (response.status, response.data) == (200, b"")


def test_missing_servers_are_named_without_secrets(tmp_path: Path) -> None:
    """Strangers learn what is missing; the address and the reason are shown to this machine only."""
    url = f"postgresql://dcmon:{SECRET}@127.0.0.1:{free_port()}/dcmon"
    kafka = Kafka(bootstrap_servers=f"127.0.0.1:{free_port()}")
    settings = Settings(database_url=SecretStr(url), data_dir=tmp_path, kafka=kafka)
    with App(settings, Output(quiet=True)) as app, serving(app, "") as endpoint:
        assert get(endpoint, "/health/live").status == 200
        from_here = get(endpoint, "/health/ready")
        from_elsewhere = get(endpoint, "/health/ready", **{"x-forwarded-for": "192.0.2.1"})
        assert "dcmon_up 0.0" in get(endpoint, "/metrics").data.decode()
    assert (from_here.status, from_elsewhere.status) == (503, 503)
    assert from_elsewhere.json()["additional_information"] == {"missing": ["kafka", "postgresql"]}
    assert set(from_here.json()["additional_information"]["reasons"]) == {"kafka", "postgresql"}
    assert SECRET not in from_here.data.decode()


def test_database_without_tables_needs_a_migration(empty_url: str, tmp_path: Path) -> None:
    settings = Settings(database_url=SecretStr(empty_url), data_dir=tmp_path)
    with App(settings, Output(quiet=True)) as app, serving(app, "") as endpoint:
        answer = get(endpoint, "/health/ready")
    assert (answer.status, answer.json()["additional_information"]["missing"]) == (503, ["migration"])


def test_metrics_count_requests_and_rows(endpoint: Endpoint, target: Target) -> None:
    bad = b'{"_dc_sample_id": "bad", "age": "old"}'
    assert endpoint.samples(target.version_id, [*rows(0, 7), bad]).status == 200
    assert endpoint.request("GET", "models/999").status == 404
    metrics = get(endpoint, "/metrics").data.decode().splitlines()
    assert 'dcmon_rows_total{kind="samples",organization="acme",outcome="received"} 8.0' in metrics
    assert 'dcmon_rows_total{kind="samples",organization="acme",outcome="stored"} 7.0' in metrics
    assert 'dcmon_rows_total{kind="samples",organization="acme",outcome="quarantined"} 1.0' in metrics
    assert 'dcmon_recent_rows{kind="samples",organization="acme",outcome="stored"} 7.0' in metrics
    route = "/api/v1/models/{identifier}"
    assert f'dcmon_http_requests_total{{method="GET",route="{route}",status="404"}} 1.0' in metrics
    assert f'dcmon_http_request_duration_seconds_count{{method="GET",route="{route}"}} 1.0' in metrics
    assert 'dcmon_due_windows{organization="acme"} 0.0' in metrics


@pytest.mark.parametrize(
    "headers", [{"x-forwarded-for": "127.0.0.1"}, {"forwarded": "for=_x"}, {"host": "evil.example"}]
)
def test_metrics_are_hidden_from_other_machines(endpoint: Endpoint, headers: dict[str, str]) -> None:
    """A proxy on this machine, or a page whose name leads to 127.0.0.1, does not make a stranger a local client."""
    response = get(endpoint, "/metrics", **headers)
    assert response.status == 403
    assert "DCMON_HTTP__METRICS_TOKEN" in response.json()["error_message"]


def test_metrics_with_a_token_need_it(database_url: str, data_dir: Path, acme: Acme) -> None:
    http = Http(metrics_token=SecretStr("scrape-me"))
    settings = Settings(database_url=SecretStr(database_url), data_dir=data_dir, http=http)
    with App(settings, Output(quiet=True)) as app, serving(app, acme.token) as endpoint:
        assert get(endpoint, "/metrics").status == 401
        assert get(endpoint, "/metrics", authorization=f"Basic {acme.token}").status == 401
        assert get(endpoint, "/metrics", authorization="Bearer scrape-me-not").status == 401
        answer = get(endpoint, "/metrics", authorization="Bearer scrape-me", **{"x-forwarded-for": "192.0.2.1"})
    assert answer.status == 200
    assert answer.data.startswith(b"# HELP")
