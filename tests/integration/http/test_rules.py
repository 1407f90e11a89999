"""Rules and alerts over HTTP: the simple rules of the SDK and the extensions of dcmon."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3

from dcmon.app import App
from dcmon.tenancy import members, tokens
from dcmon.tenancy.permissions import Role
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.judged_results import create_rule, store_and_judge
from tests.integration.conftest import Target

Send = Callable[..., Any]


@pytest.fixture
def endpoint(app: App, acme: Acme, target: Target) -> Iterator[Endpoint]:
    """Serve a model with a monitor whose alert fires."""
    create_rule(target, "> 0.2")
    for number, value in enumerate((0.5, 0.1, 0.3, 0.6)):
        store_and_judge(target, number, value)
    with serving(app, acme.token) as client:
        yield client


def send_request(endpoint: Endpoint, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    content = b"" if body is None else json.dumps(body).encode()
    response = endpoint.request(method, path, content, **{"content-type": "application/json"})
    assert response.status == status, response.data
    return json.loads(response.data)


def test_rule_with_operator_and_value_is_created(endpoint: Endpoint) -> None:
    """The rule of the SDK, an operator and a value, is accepted."""
    body = {"condition": {"operator": "less_than", "value": 0.05}, "alert_severity": "low"}
    created = send_request(endpoint, "POST", "monitors/1/alert-rules", body)["id"]
    shown = send_request(endpoint, "GET", f"alert-rules/{created}")
    assert shown["condition"] == {"operator": "less_than", "value": 0.05}
    assert (shown["alert_severity"], shown["is_active"], shown["text"]) == ("low", True, "< 0.05")
    assert len(send_request(endpoint, "GET", "monitors/1/alert-rules?all=true")) == 2


def test_rule_as_text_is_created_changed_and_judged(endpoint: Endpoint) -> None:
    """A condition as text is accepted, and judged at once."""
    body = {"condition": "any feature > 0.5", "for_windows": 1, "name": "features", "alert_severity": "critical"}
    created = send_request(endpoint, "POST", "monitors/1/alert-rules", body)["id"]
    assert send_request(endpoint, "GET", "alerts/count_active") == {"high": 1, "critical": 1}
    assert send_request(endpoint, "PUT", f"alert-rules/{created}", {"condition": "any feature > 0.9"}) is None
    assert send_request(endpoint, "GET", "alerts/count_active") == {"high": 1}
    assert send_request(endpoint, "GET", f"alert-rules/{created}")["text"] == "any feature > 0.9"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"condition": {"operator": "in", "value": 1}}, 422),
        ({"condition": {"operator": "outside", "value": 1}}, 422),
        ({"condition": "> x"}, 400),
        ({"condition": "> 1", "for_windows": 0}, 400),
        ({"condition": "> 1", "no_data": "fire"}, 400),
        ({"condition": "> 1", "alert_severity": "urgent"}, 422),
    ],
)
def test_invalid_rule_is_refused(endpoint: Endpoint, body: Any, status: int) -> None:
    """An invalid rule is refused with the reason."""
    send_request(endpoint, "POST", "monitors/1/alert-rules", body, status)
    assert len(send_request(endpoint, "GET", "monitors/1/alert-rules?all=true")) == 1


def test_alerts_are_listed_acknowledged_resolved_and_reactivated(endpoint: Endpoint) -> None:
    first, second = send_request(endpoint, "GET", "alert-rules/1/alerts")
    assert (first["resolved"], second["resolved"], second["failed_values"]) == (True, False, {"v1": {"score": 0.6}})
    assert [alert["id"] for alert in send_request(endpoint, "GET", "alert-rules/1/alerts?resolved=false")] == [
        second["id"]
    ]
    path = f"alerts/{second['id']}"
    assert (
        send_request(endpoint, "POST", f"{path}/acknowledge", {"note": "on it"})["acknowledged_by"]
        == "owner@acme.example"
    )
    assert send_request(endpoint, "POST", f"{path}/resolve")["resolved_by"] == "operator"
    assert send_request(endpoint, "POST", f"{path}/reactivate")["state"] == "firing"
    kinds = [line["kind"] for line in send_request(endpoint, "GET", path)["history"]]
    assert kinds == ["firing", "acknowledged", "resolved", "reopened"]
    send_request(endpoint, "POST", f"alerts/{first['id']}/reactivate", status=400)
    send_request(endpoint, "GET", "alerts/99", status=404)


def test_alert_page_needs_a_token_and_shows_the_alert(endpoint: Endpoint) -> None:
    """The link of a notification is a page that shows the alert after a login."""
    send_request(endpoint, "POST", "alerts/2/acknowledge", {"note": "on <it>"})
    pair = base64.b64encode(f"ann:{endpoint.token}".encode()).decode()
    for credentials in (endpoint.token, pair, base64.b64encode(f"{endpoint.token}:".encode()).decode()):
        page = open_alert_page(endpoint, "2?org=acme", authorization=f"Basic {credentials}")
        assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        message = page.data.decode()
        for fact in ("high firing", "credit: Drift", "&gt; 0.2", "age</b>: 0.1 → 0.6", "owner@acme.example",
                     "on &lt;it&gt;", "acknowledged", "dcmon --org acme alert show 2", "team", "waiting"):  # fmt: skip
            assert fact in message
        assert "<it>" not in message
    assert "resolved" in open_alert_page(endpoint, "1", authorization=f"Bearer {endpoint.token}").data.decode()
    assert open_alert_page(endpoint, "99", authorization=f"Basic {endpoint.token}").status == 404


def test_alert_page_names_receivers_to_administrators_only(endpoint: Endpoint, app: App, acme: Acme) -> None:
    """Others can't list receivers over HTTP, so the page does not name them either."""
    for role in (Role.ADMIN, Role.MEMBER, Role.VIEWER):
        with app.public() as session:
            user_id = members.add(session, acme.org.id, f"{role}@acme.example", role)
            token = tokens.create(session, acme.org.id, user_id, "page")
        page = open_alert_page(endpoint, "2", authorization=f"Basic {token}").data.decode()
        assert "waiting" in page
        assert (">team<" in page) == (role == Role.ADMIN)


@pytest.mark.parametrize("authorization", ["", "Basic nonsense", "Basic YW5uOm5vbnNlbnNl", "Basic Og==", "Bearer x"])
def test_alert_page_shows_nothing_without_a_token(endpoint: Endpoint, authorization: str) -> None:
    """The page asks for a token."""
    page = open_alert_page(endpoint, "2?org=acme", **({"authorization": authorization} if authorization else {}))
    assert (page.status, page.headers["www-authenticate"]) == (401, 'Token realm="dcmon"')
    assert "dcmon --org acme alert show 2" in page.data.decode()
    assert "credit" not in page.data.decode()


def test_alert_page_refuses_a_token_of_another_org(endpoint: Endpoint) -> None:
    """A link to another organization never shows an own alert with the same id."""
    page = open_alert_page(endpoint, "2?org=other%22%20X:%20y", authorization=f"Basic {endpoint.token}")
    assert page.status == 401
    assert "credit" not in page.data.decode()


def open_alert_page(endpoint: Endpoint, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
    return endpoint.pool.request("GET", f"{endpoint.url}/alerts/{path}", headers=headers, retries=False, timeout=300)
