"""The pages that the SDK and old messages link to."""

import base64
import json
import re
from collections.abc import Iterator

import pytest
import urllib3
from sqlalchemy import text

from dcmon import db
from dcmon.app import App
from dcmon.tenancy import provisioning
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.judged_results import create_rule, store_and_judge
from tests.integration.conftest import Target

SCRIPT = "<script>alert(1)</script>"
BROWSER = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"


@pytest.fixture
def endpoint(app: App, acme: Acme, target: Target) -> Iterator[Endpoint]:
    """Serve a model whose name is a script, with a refused row, a rule and an alert."""
    create_rule(target, "> 0.2")
    store_and_judge(target, 0, 0.5)
    with db.org_session(app.engine, acme.org) as session:
        session.execute(text("update models set name = :name"), {"name": SCRIPT})
        session.execute(text("update monitors set name = :name"), {"name": SCRIPT})
    with serving(app, acme.token) as client:
        client.samples(target.version_id, [b'{"_dc_sample_id": "refused"}'])
        yield client


def open_page(endpoint: Endpoint, path: str, token: str | None, accept: str = BROWSER) -> urllib3.BaseHTTPResponse:
    headers = {"accept": accept}
    if token is not None:
        headers["authorization"] = f"Basic {base64.b64encode(f'me:{token}'.encode()).decode()}"
    return endpoint.pool.request("GET", endpoint.url + path, headers=headers, retries=False, timeout=300)


def test_models_page_shows_rows_and_refused_rows(endpoint: Endpoint) -> None:
    page = open_page(endpoint, "/configuration/models", endpoint.token)

    content = page.data.decode()
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert "1 refused" in content
    assert 'class="number">1</span></td><td data-label="Task">binary' in content  # one version
    assert "1 high" in content
    assert "&lt;script&gt;alert(1)" in content
    assert "<script" not in content


def test_rules_page_shows_rules_with_their_alerts(endpoint: Endpoint) -> None:
    page = open_page(endpoint, "/configuration/alert-rules?models=1&severity=high", endpoint.token)

    content = page.data.decode()
    assert page.status == 200
    assert "1 alert, 1 open" in content
    assert content.count("&lt;script&gt;alert(1)") == 2, "the names of the monitor and of its model"
    assert "<script" not in content
    (path,) = re.findall(r'<a href="(/alerts/\d+)"', content)
    assert open_page(endpoint, path, endpoint.token).status == 200


@pytest.mark.parametrize(
    ("query", "says", "count"),
    [
        ("", "Rules", 1), ("?modelId=1&severity=high", "all rules", 1),
        ("?modelId=1&severity=critical", "no such rule", 0),
        ("?severity[]=critical&severity[]=high", "Rules", 1), ("?modelId=999", "There is no model 999", 0),
        ("?modelId=x", "is not a model id", 0),
        ("?severity=worst", "There is no severity", 0),
    ],
)  # fmt: skip
def test_rules_page_applies_the_query_of_old_links(endpoint: Endpoint, query: str, says: str, count: int) -> None:
    page = open_page(endpoint, f"/configuration/alert-rules{query}", endpoint.token)
    assert (page.status, page.data.decode().count("1 alert, 1 open")) == (200, count)
    assert says in page.data.decode()


@pytest.mark.parametrize("path", ["/configuration/models", "/configuration/alert-rules"])
def test_configuration_page_needs_a_token_of_its_org(app: App, endpoint: Endpoint, path: str) -> None:
    other = provisioning.create_organization(app.engine, "other", "owner@other.example").token
    for page in (
        open_page(endpoint, path, None), open_page(endpoint, path, "dcm_wrong"),
        open_page(endpoint, f"{path}?org=acme", other),
    ):  # fmt: skip
        assert page.status == 401
        assert page.headers["www-authenticate"].startswith("Token realm=")
        assert SCRIPT not in page.data.decode()
        assert "refused" not in page.data.decode()
    assert "alert(1)" not in open_page(endpoint, path, other).data.decode()


def test_unknown_page_is_html_for_browsers_only(endpoint: Endpoint) -> None:
    page = open_page(endpoint, "/dashboard?x=<b>", None)

    assert page.status == 404
    assert page.headers["content-type"].startswith("text/html")
    assert "/configuration/models" in page.data.decode()
    for path, accept in (("/dashboard", "*/*"), ("/api/v1/none", BROWSER)):
        response = open_page(endpoint, path, None, accept)
        assert response.status == 404
        assert "no route" in json.loads(response.data)["error_message"]
