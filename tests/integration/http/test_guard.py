"""The guard in front of all routes. The tests are generated from the table of routes."""

import re
from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute

from dcmon.app import App
from dcmon.http import api, auth, guard
from dcmon.http.guard import BodyKind
from dcmon.http.page_access import ReadsPage
from dcmon.tenancy import organizations, tokens
from dcmon.tenancy.permissions import Role, Scope, granted
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.raw_http import RawResponse, exchange, head

HUGE = "400000000"
OPEN = {
    "/api/v1/health-check",
    "/api/v1/auth/login/auth0",
    "/api/v1/auth/login/auth0/callback",
    "/api/v1/invitations/accept",  # the code in the body stands for a token
    "/invitation",
    "/login",
    "/logout",
    "/pages/{digest}/{name}",  # styles and scripts of pages
    "/health/live",
    "/health/ready",
    "/metrics",  # has a token of its own
}

ROUTES = [(method, path, route) for path, route in api.routes() for method in sorted(route.methods)]


@pytest.fixture(scope="module")
def table() -> list[tuple[str, str]]:
    return [(method, re.sub(r"\{.*?\}", "1", path)) for method, path, _ in ROUTES]


@pytest.fixture
def client(app: App, acme: Acme) -> Iterator[Endpoint]:
    with serving(app, acme.token) as endpoint:
        yield endpoint


def test_route_table_declares_exactly_one_access_each() -> None:
    for method, path, route in ROUTES:
        declared = {call for call in guard._dependencies(route.dependant) if isinstance(call, auth.Requires)}
        is_open = any(isinstance(call, auth.OpenToAll) for call in guard._dependencies(route.dependant))
        assert len(declared) + is_open == 1, f"{method} {path}"
        assert is_open == (path in OPEN), f"{method} {path}"


def _is_page(route: APIRoute) -> bool:
    return isinstance(guard.access(route), ReadsPage)


def _message(response: RawResponse, route: APIRoute) -> str:
    """Return the message of an error; of a page, the page."""
    return response.body.decode() if _is_page(route) else str(response.json["error_message"])


def test_request_without_token_gets_401_before_its_body(client: Endpoint, table: list[tuple[str, str]]) -> None:
    """The client sends only a head, with Content-Length or in chunks, and waits; Expect gets no 100 Continue."""
    for (method, path), (_, pattern, route) in zip(table, ROUTES, strict=True):
        for headers in (
            {"content_length": HUGE},
            {"content_length": HUGE, "expect": "100-continue"},
            {"transfer_encoding": "chunked"},
            {"content_length": HUGE, "authorization": "Basic dcm_0123456789_" + "x" * 43},
        ):
            if pattern in OPEN:
                continue
            response = exchange(client, head(method, path, content_type="application/json", **headers))
            assert response.headers["connection"] == "close"
            if "authorization" in headers and response.status == 429:
                continue  # one address has sent too many wrong tokens
            assert response.status == 401, f"{method} {path} {headers}"
            assert _message(response, route).startswith(("The token is missing", "<!doctype html>")), f"{method} {path}"


def test_body_beyond_its_bound_gets_413_before_it_is_sent(
    client: Endpoint, table: list[tuple[str, str]], acme: Acme
) -> None:
    for (method, path), (_, _, route) in zip(table, ROUTES, strict=True):
        token = f"Basic {acme.token}"
        response = exchange(client, head(method, path, authorization=token, content_length=HUGE))
        assert response.status == 413, f"{method} {path}: {response}"
        assert response.headers["connection"] == "close"
        assert method == "HEAD" or "larger than" in _message(response, route)


def test_chunked_body_beyond_its_bound_gets_413(app: App, acme: Acme) -> None:
    """A body in chunks has no length: it is cut when it passes the bound."""
    settings = app.settings.http.model_copy(update={"max_json_bytes": 5_000, "max_body_bytes": 5_000})
    app.settings = app.settings.model_copy(update={"http": settings})
    chunk = b"3e8\r\n" + b" " * 1000 + b"\r\n"
    with serving(app, acme.token) as client:
        for method, pattern, route in ROUTES:
            if guard.body_kind(route) == BodyKind.NONE:
                continue
            path, kind = (
                re.sub(r"\{.*?\}", "1", pattern),
                "multipart/form-data; boundary=x" if "reference" in pattern else "application/json",
            )
            start = head(
                method, path, authorization=f"Basic {acme.token}", transfer_encoding="chunked", content_type=kind
            )
            response = exchange(client, start + 20 * chunk)
            assert response.status == 413, f"{method} {path}: {response}"


@pytest.mark.parametrize("scope", list(Scope))
def test_token_without_the_permission_gets_403(
    app: App, acme: Acme, table: list[tuple[str, str]], scope: Scope
) -> None:
    """A token of each scope is sent to each route, with a body that is too large and never comes."""
    permissions = granted(Role.OWNER, scope)
    with app.public() as session:
        owner = organizations.owner(session, acme.org.id)
        token = tokens.create(session, acme.org.id, owner.id, "narrow", scope=scope)
    with serving(app, token) as client:
        for (method, path), (_, pattern, route) in zip(table, ROUTES, strict=True):
            required = guard.access(route)
            if isinstance(required, auth.OpenToAll):
                continue
            response = exchange(client, head(method, path, authorization=f"Basic {token}", content_length=HUGE))
            expected = 413 if required.permission in permissions else 401 if _is_page(route) else 403
            assert response.status == expected, f"{method} {pattern} {response}"
            assert expected == 413 or f"{required.permission}" in _message(response, route)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (head("GET", "/api/v1/models/" + "x" * 9000), 414),
        (head("GET", "/api/v1/models/1?" + "x" * 9000), 414),
        (head("GET", "/api/v1/models/1", **{f"x_{n}": "1" for n in range(120)}), 431),
        (head("GET", "/api/v1/models/1", x="x" * 20_000), 431),
        (head("GET", "/api/v1/models/1", x="x" * 40_000)[:-4], 431),
        (b"HELO dcmon\r\n\r\n", 400),
    ],
    ids=["path", "query", "headers", "header", "endless header", "no HTTP"],
)
def test_head_beyond_its_bound_is_refused(client: Endpoint, sent: bytes, status: int) -> None:
    response = exchange(client, sent.replace(b"host: dcmon", b"host: dcmon\r\nconnection: close"))
    assert response.status == status
    assert set(response.json) == {"error_message", "additional_information"}
    assert response.headers["x-request-id"]


def test_rubbish_in_place_of_a_body_gets_one_answer(client: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    """The route answers while the connection is refused already: that is no error of dcmon, and no line in the log."""
    for path in ("/api/v1/health-check", "/api/v1/openapi.json", "/api/v1/models/1", "/nothing"):
        response = exchange(client, head("GET", path, transfer_encoding="chunked") + b"rubbish\r\n")
        assert (response.status, response.json.keys()) == (400, {"error_message", "additional_information"})
    assert client.request("GET", "say-hello").status == 200
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[" * 100_000, "levels deep"),
        (b"[" * 40 + b"1" + b"]" * 40, "levels deep"),
        (b'["' + b"x" * 200_000 + b'"]', "characters"),
        (b"[" + b",".join([b"1"] * 30_000) + b"]", "items"),
        (b"[" + b",".join([b"[" + b",".join([b"1"] * 10_000) + b"]"] * 20) + b"]", "values"),
        (b'{"name": NaN}', "not JSON"),
        (b'{"name": 1e999}', "not JSON"),
        (b'{"name": "\\ud800"}', "not JSON"),
        (b'{"name": "\xff"}', "not JSON"),
        (b"{", "not JSON"),
    ],
)
def test_json_beyond_its_bounds_gets_422(client: Endpoint, body: bytes, said: str) -> None:
    response = client.request("POST", "models", body, **{"content-type": "application/json"})
    assert (response.status, said in response.json()["error_message"]) == (422, True), response.data
