"""The log of changes over HTTP: each change has an entry with the token that made it."""

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi.routing import APIRoute

from dcmon import db
from dcmon.app import App
from dcmon.http import routes
from dcmon.http.auth import Requires
from dcmon.storage import models
from dcmon.tenancy import audit_log, object_limits, organizations, provisioning, tokens
from dcmon.tenancy.audit_log import EntryFilter
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.judged_results import create_rule, store_and_judge
from tests.integration.conftest import Target, rows

OWNER = "owner@acme.example"
VERSION = {"name": "v2", "features": {"age": "numeric"}, "additional_data": {}, "classes": ["0", "1"]}
RULE = {"condition": {"operator": "greater_than", "value": 0.5}}
MONITOR = {"name": "Nulls", "lookback": 86400, "aggregation_window": 1, "frequency": "DAY"}
REFERENCE = {"columns": ["age", "job", "_dc_prediction", "_dc_label"], "data": [[30, "x", "0", "1"]]}
# Each call, and the kind and action of an entry that it leaves.
CALLS: list[tuple[str, str, Any, tuple[str, str]]] = [
    ("POST", "models", {"name": "other", "task_type": "regression", "defaults": "none"}, ("model", "create")),
    ("PUT", "models/1/defaults", {"defaults": "sdk"}, ("model", "change")),
    ("POST", "models/1/notes", [{"title": "A note", "text": "of Ann"}], ("note", "create")),
    ("DELETE", "models-notes/1", None, ("note", "delete")),
    ("POST", "models/1/version", VERSION, ("version", "create")),
    ("DELETE", "model-versions/2", None, ("version", "delete")),
    ("POST", "checks/1/monitors", MONITOR, ("monitor", "create")),
    ("PUT", "monitors/1", {"name": "Renamed", "lookback": 172800}, ("monitor", "change")),
    ("POST", "monitors/1/alert-rules", RULE, ("rule", "create")),
    ("PUT", "alert-rules/1", {"alert_severity": "low"}, ("rule", "change")),
    ("POST", "alerts/2/acknowledge", {"note": "seen"}, ("alert", "acknowledged")),
    ("POST", "alerts/2/resolve", {"note": "done"}, ("alert", "resolved")),
    ("DELETE", "alert-rules/1", None, ("rule", "delete")),
    ("DELETE", "monitors/1", None, ("monitor", "delete")),
    ("DELETE", "models/1", None, ("model", "delete")),
]


@pytest.fixture
def endpoint(app: App, acme: Acme, target: Target) -> Iterator[Endpoint]:
    """Serve a model with a monitor whose alert fires."""
    create_rule(target, "> 0.2")
    for number, value in enumerate((0.5, 0.1, 0.3, 0.6)):
        store_and_judge(target, number, value)
    with serving(app, acme.token) as client:
        yield client


def send(endpoint: Endpoint, method: str, path: str, body: Any = None) -> Any:
    content = b"" if body is None else json.dumps(body).encode()
    response = endpoint.request(method, path, content, **{"content-type": "application/json"})
    assert response.status in (200, 201), (method, path, response.status, response.data)
    return json.loads(response.data)


def new_entries(app: App, acme: Acme, since: set[str]) -> list[dict[str, Any]]:
    entries = audit_log.entries(app.engine, acme.org, EntryFilter(), limit=1000).entries
    return [entry for entry in entries if entry["id"] not in since]


def model_count(app: App, acme: Acme) -> int:
    with db.org_session(app.engine, acme.org) as session:
        return len(models.entries(session))


def test_each_writing_call_leaves_an_entry_of_its_token(app: App, acme: Acme, endpoint: Endpoint) -> None:
    known = {entry["id"] for entry in new_entries(app, acme, set())}
    for method, path, body, left in CALLS:
        send(endpoint, method, path, body)
        entries = new_entries(app, acme, known)
        assert left in [(entry["kind"], entry["action"]) for entry in entries], (method, path)
        for entry in entries:
            author = (entry["author"], entry["via"], entry["address"], entry["token"])
            assert author == (OWNER, "http", "127.0.0.1", acme.token[:14]), (method, path, entry)
        known |= {entry["id"] for entry in entries}


def test_rows_leave_no_entry_and_references_leave_one(app: App, acme: Acme, endpoint: Endpoint, target: Target) -> None:
    known = {entry["id"] for entry in new_entries(app, acme, set())}
    assert endpoint.samples(target.version_id, rows(100, 20)).status == 200
    assert new_entries(app, acme, known) == []
    assert endpoint.reference(target.version_id, json.dumps(REFERENCE).encode()).status == 200
    (entry,) = new_entries(app, acme, known)
    assert (entry["kind"], entry["before"], entry["after"]) == (
        "version", {"reference_revision": 0}, {"reference_revision": 1}
    )  # fmt: skip
    assert entry["token"] == acme.token[:14]


def test_requests_of_two_users_do_not_mix_their_names(app: App, acme: Acme, endpoint: Endpoint) -> None:
    """The worker threads of the endpoint are shared, and a refused request leaves no author behind."""
    with db.public_session(app.engine) as session:
        owner = organizations.owner(session, acme.org.id)
        second = tokens.create(session, acme.org.id, owner.id, "second")
    other = Endpoint(endpoint.url, second, endpoint.pool)
    for number in range(6):
        client = (endpoint, other)[number % 2]
        send(client, "PUT", "monitors/1", {"name": f"by {client.token[:14]} {number}"})
        client.request("PUT", "monitors/999", b"{}", **{"content-type": "application/json"})
    entries = audit_log.entries(app.engine, acme.org, EntryFilter(kind="monitor")).entries[:6]
    assert all(entry["after"]["name"].startswith(f"by {entry['token']}") for entry in entries)
    assert len({entry["token"] for entry in entries}) == 2


def test_log_over_http_is_filtered_and_paginated(endpoint: Endpoint) -> None:
    for number in range(5):
        send(endpoint, "PUT", "monitors/1", {"name": f"name {number}"})
    query = {"kind": "monitor", "author": OWNER, "limit": 2}
    names, position = list[str](), None
    while True:
        page = send(endpoint, "GET", f"audit-log?{urlencode(query | ({'before': position} if position else {}))}")
        names += [entry["after"]["name"] for entry in page["entries"]]
        if (position := page["next"]) is None:
            break
    assert names == [f"name {number}" for number in range(4, -1, -1)]
    for query_text in ("object=1&kind=monitor", f"object={names[0].replace(' ', '%20')}", "since=2026-01-01T00:00:00Z"):
        assert send(endpoint, "GET", f"audit-log?{query_text}")["entries"]
    assert send(endpoint, "GET", "audit-log?until=2020-01-01T00:00:00Z") == {"entries": [], "next": None}
    for refused in ("limit=0", "limit=1001", "before=x", "since=yesterday"):
        assert endpoint.request("GET", f"audit-log?{refused}").status in (400, 422), refused


def test_log_is_for_administrators_of_the_organization(app: App, acme: Acme, endpoint: Endpoint) -> None:
    other = provisioning.create_organization(app.engine, "other", "eve@other.org")
    eve = Endpoint(endpoint.url, other.token, endpoint.pool)
    assert {entry["author"] for entry in send(eve, "GET", "audit-log?kind=monitor")["entries"]} == set()
    for scope in (tokens.Scope.READ, tokens.Scope.INGEST):
        with db.public_session(app.engine) as session:
            owner = organizations.owner(session, acme.org.id)
            token = tokens.create(session, acme.org.id, owner.id, "weak", scope=scope)
        assert Endpoint(endpoint.url, token, endpoint.pool).request("GET", "audit-log").status == 403


def test_model_above_the_limit_is_402_and_not_created(app: App, acme: Acme, endpoint: Endpoint) -> None:
    with db.public_session(app.engine) as session:
        object_limits.change(session, acme.org.id, {"max_models": 1})
    body = json.dumps({"name": "second", "task_type": "binary"}).encode()
    response = endpoint.request("POST", "models", body, **{"content-type": "application/json"})
    assert response.status == 402
    assert "may have 1 models" in json.loads(response.data)["error_message"]
    assert model_count(app, acme) == 1


def test_model_whose_monitors_do_not_fit_is_refused_as_a_whole(app: App, acme: Acme, endpoint: Endpoint) -> None:
    with db.public_session(app.engine) as session:
        object_limits.change(session, acme.org.id, {"max_monitors": 3})
    body = json.dumps({"name": "second", "task_type": "binary", "defaults": "all"}).encode()
    response = endpoint.request("POST", "models", body, **{"content-type": "application/json"})
    assert (response.status, "may have 3 monitors" in response.data.decode()) == (402, True)
    assert model_count(app, acme) == 1


def dependencies(dependant: Any) -> Iterator[Any]:
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from dependencies(dependency)


def test_every_writing_route_knows_its_author() -> None:
    """The author is set where the token is checked (Requires), so a route that requires a permission has one."""
    # The first two set the author themselves, the others change nothing that is logged.
    without_token = {"POST /invitations/accept", "POST /invitation", "POST /login", "POST /logout"}
    names = [path.stem for path in sorted(Path(routes.__path__[0]).glob("[a-z]*.py"))]
    modules = [import_module(f"dcmon.http.routes.{name}") for name in names]
    listed = [route for module in modules for route in getattr(module, "router", _NoRoutes).routes]
    writing = [route for route in listed if isinstance(route, APIRoute) and route.methods - {"GET", "HEAD"}]
    assert len(writing) > 15
    lacking = [
        f"{'/'.join(sorted(route.methods))} {route.path}"
        for route in writing
        if not any(isinstance(call, Requires) for call in dependencies(route.dependant))
    ]
    assert set(lacking) <= without_token


class _NoRoutes:
    """A module without a router."""

    routes: tuple[()] = ()
