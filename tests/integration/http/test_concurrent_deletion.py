"""An object is deleted by another transaction while a request uses it: that is no error of dcmon."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from dcmon import db
from dcmon.app import App
from dcmon.monitoring import lifecycle
from dcmon.storage import versions
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.route_requests import MONITOR, REFERENCE
from tests.helpers.route_world import Seeder
from tests.helpers.waiting import eventually

WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
CONDITION = {"operator": "less_than", "value": 1}
# The table, the object, and a request with its answer after the deletion. A second deletion finds what it was sent for.
REQUESTS = [
    ("dashboards", "dashboard", "DELETE", "dashboards/{}", None, 200),
    ("dashboards", "dashboard", "PUT", "dashboards/{}", {"name": "all"}, 404),
    ("model_notes", "note", "DELETE", "models-notes/{}", None, 200),
    ("webhooks", "webhook", "DELETE", "alert-webhooks/{}", None, 404),  # read again with a lock
    ("webhooks", "webhook", "PUT", "alert-webhooks/{}", {"description": "changed"}, 404),
    ("monitors", "monitor", "PUT", "monitors/{}", {"description": "changed"}, 404),
    ("checks", "check", "POST", "checks/{}/monitors", {"name": "new", **MONITOR}, 409),
    ("alert_rules", "rule", "PUT", "alert-rules/{}", {"condition": CONDITION}, 404),
    ("alerts", "alert", "POST", "alerts/{}/acknowledge", {}, 404),
    ("models", "model", "POST", "models/{}/notes", [{"title": "a note"}], 409),
]


SPAN = {"start_time": "2026-03-01T00:00:00Z", "end_time": "2026-03-09T00:00:00Z"}
OF_VERSION = [
    ("GET", "model-versions/{}/count-samples", None),
    ("GET", "model-versions/{}", None),
    ("GET", "models/1/columns", None),
    ("POST", "model-versions/{}/get-prod-data", SPAN),
    ("POST", "model-versions/{}/get-ref-data", {}),
    ("POST", "model-versions/{}/data", [{"_dc_sample_id": "new", "_dc_time": "2026-03-01T00:00:00Z"}]),
    ("POST", "checks/1/run/window", SPAN),
    ("POST", "checks/1/run/reference", {}),
    ("POST", "checks/1/group-by/{}/job", SPAN),
    ("DELETE", "model-versions/{}", None),
]


@pytest.fixture
def client(app: App, acme: Acme) -> Iterator[Endpoint]:
    with serving(app, acme.token) as endpoint:
        yield endpoint


@pytest.mark.parametrize(("table", "name", "method", "path", "body", "status"), REQUESTS)
def test_object_deleted_during_a_request_is_no_error(
    app: App, acme: Acme, client: Endpoint, table: str, name: str, method: str, path: str, body: Any, status: int
) -> None:
    seeder = Seeder(app, client, acme.org, acme.token, "word")
    organization = seeder.organization()
    ids = {**organization, **seeder.model(organization["dashboard"])}
    with db.org_session(app.engine, acme.org) as session, ThreadPoolExecutor(1) as threads:
        session.execute(text(f"delete from {table} where id = :id"), {"id": int(ids[name])})
        answer = threads.submit(_send, client, method, path.format(ids[name]), body)
        assert eventually(lambda: answer.done() or _is_waiting(app))
        assert not answer.done(), answer.result()
        session.commit()
        found, described = answer.result()
    assert found == status, described
    assert described is None or "error_message" in described


@pytest.mark.parametrize(("method", "path", "body"), OF_VERSION)
def test_version_deleted_during_a_request_is_not_found(
    app: App, acme: Acme, client: Endpoint, method: str, path: str, body: Any
) -> None:
    """Its tables are dropped with it, while the request waits for them."""
    seeder = Seeder(app, client, acme.org, acme.token, "word")
    ids = seeder.model(seeder.organization()["dashboard"])
    with db.org_session(app.engine, acme.org) as session, ThreadPoolExecutor(1) as threads:
        lifecycle.delete_version(session, *versions.get(session, ids["version"]))
        answer = threads.submit(_send, client, method, path.format(ids["version"]), body)
        assert eventually(lambda: answer.done() or _is_waiting(app))
        assert not answer.done(), answer.result()
        session.commit()
        found, described = answer.result()
    assert found in (200, 404), described
    assert found == 200 or "error_message" in described


def test_reference_of_a_version_deleted_meanwhile_is_not_found(app: App, acme: Acme, client: Endpoint) -> None:
    seeder = Seeder(app, client, acme.org, acme.token, "word")
    ids = seeder.model(seeder.organization()["dashboard"])
    with db.org_session(app.engine, acme.org) as session, ThreadPoolExecutor(1) as threads:
        lifecycle.delete_version(session, *versions.get(session, ids["version"]))
        answer = threads.submit(client.reference, ids["version"], json.dumps(REFERENCE).encode())
        assert eventually(lambda: answer.done() or _is_waiting(app))
        assert not answer.done(), answer.result()
        session.commit()
        assert answer.result().status == 404, answer.result().data


def _send(client: Endpoint, method: str, path: str, body: Any) -> tuple[int, Any]:
    content = b"" if body is None else json.dumps(body).encode()
    response = client.request(method, path, content, **{"content-type": "application/json"})
    return response.status, response.json()


def _is_waiting(app: App) -> bool:
    with db.public_session(app.engine) as session:
        return bool(session.scalar(text(WAITING)))
