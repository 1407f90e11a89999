"""What every response has, and writes that a page of another site makes a browser send."""

from collections.abc import Iterator, Mapping

import pytest
from urllib3.util import make_headers

from dcmon.app import App
from dcmon.output import Output
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.raw_http import exchange


@pytest.fixture
def endpoint(app: App, acme: Acme) -> Iterator[Endpoint]:
    with serving(app, acme.token) as client:
        yield client


FOREIGN = (
    {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
    {"sec-fetch-site": "same-site", "origin": "https://sibling.example"},
    {"sec-fetch-site": "cross-site"},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://["},
)


@pytest.mark.parametrize("path", ["/", "/login/", "/configuration/models/?a=b", "/api/v1/models/", "//login//"])
def test_redirect_names_no_host(endpoint: Endpoint, path: str) -> None:
    """A forged Host header leads nowhere else, and a token that came with the request is not in the address."""
    sent = {"host": "evil.example", "accept": "text/html", **make_headers(basic_auth=f":{endpoint.token}")}
    answer = endpoint.pool.request("GET", endpoint.url + path, headers=sent, redirect=False, retries=False)
    target = answer.headers.get("location", "/")
    assert answer.status in (303, 307) or path == "//login//"
    assert target.startswith("/")
    assert not target.startswith("//")
    assert "evil.example" not in target
    assert endpoint.token not in target


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "models"), ("DELETE", "models/1"), ("PUT", "monitors/1"), ("POST", "no-such-route")]
)
def test_write_of_another_site_is_refused(
    endpoint: Endpoint, method: str, path: str, headers: Mapping[str, str]
) -> None:
    response = endpoint.request(method, path, b"{}", **{"content-type": "application/json"}, **headers)
    assert response.status == 403
    assert "another site" in response.json()["error_message"]


def test_page_without_origin_is_foreign_to_each_setting(app: App, acme: Acme) -> None:
    """A URL without a host has no origin either; settings refuse it, and it is not the same as that of such a page."""
    settings = app.settings.model_copy(update={"public_url": "dcmon.example"})
    with App(settings, Output(quiet=True)) as hosted, serving(hosted, acme.token) as endpoint:
        refused = endpoint.request("POST", "models", b"{}", **{"content-type": "application/json", "origin": "null"})
        assert refused.status == 403


@pytest.mark.parametrize("headers", FOREIGN)
def test_read_from_another_site_is_answered(endpoint: Endpoint, headers: Mapping[str, str]) -> None:
    assert endpoint.request("GET", "say-hello", **headers).status == 200


@pytest.mark.parametrize(
    "headers", [{}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}, {"origin": "own"}]
)
def test_write_of_other_clients_is_answered(endpoint: Endpoint, headers: dict[str, str]) -> None:
    """Clients that are no browsers send neither header; a page of dcmon itself has its own origin."""
    sent = {name: endpoint.url if value == "own" else value for name, value in headers.items()}
    body = b'{"name": "credit", "task_type": "binary"}'
    assert endpoint.request("POST", "models", body, **{"content-type": "application/json"}, **sent).status == 200


@pytest.mark.parametrize("path", ["/api/v1/say-hello", "/api/v1/nothing", "/api/v1/models/x", "/api/v1/openapi.json"])
def test_api_responses_are_not_cached_or_guessed(endpoint: Endpoint, path: str) -> None:
    response = endpoint.pool.request("GET", endpoint.url + path, retries=False)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["/", "/alerts/1", "/nothing", "/health/live"])
def test_pages_run_no_scripts(endpoint: Endpoint, path: str) -> None:
    response = endpoint.pool.request("GET", endpoint.url + path, retries=False)
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("host", ["[", "]", "[::1", "a:b:c", "%", "\xff"])
@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/models/x", "/nothing", "/health/ready", "/metrics"])
def test_host_that_is_none_is_no_error(endpoint: Endpoint, path: str, host: str) -> None:
    lines = f"GET {path} HTTP/1.1", f"Host: {host}", f"Authorization: Basic {endpoint.token}", "Connection: close"
    response = exchange(endpoint, "\r\n".join([*lines, "", ""]).encode("latin-1"))
    assert response.status in (200, 400, 403, 404)


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/docs/oauth2-redirect"])
def test_pages_of_a_strangers_server_are_gone(endpoint: Endpoint, path: str) -> None:
    assert endpoint.pool.request("GET", endpoint.url + path, retries=False).status == 404


def test_unknown_method_is_counted_as_other(endpoint: Endpoint) -> None:
    """A client can't create series of metrics at will."""
    for number, method in enumerate(("PROPFIND", "MKCOL", "REPORT", "LOCK")):
        assert endpoint.pool.request(method, f"{endpoint.url}/path-{number}", retries=False).status == 404
    metrics = endpoint.pool.request("GET", f"{endpoint.url}/metrics").data.decode()
    assert 'dcmon_http_requests_total{method="other",route="(no route)",status="404"} 4.0' in metrics
    assert "path-" not in metrics
