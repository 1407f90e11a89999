"""A hostile value in each field of each route: never 5xx, always the shape of errors, and no change if refused."""

import json
import os
import random
from collections.abc import Iterable
from typing import Any

import psutil
import pytest
from sqlalchemy import text

from dcmon import db
from dcmon.app import App
from dcmon.http import api
from tests.conftest import Acme
from tests.helpers import hostile_values
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.hostile_values import Hostile
from tests.helpers.populated import populate
from tests.integration.conftest import Target

# Where CI is set, each run sends the same requests, as with hypothesis.
SEED = 1 if os.environ.get("CI") else int(os.environ.get("DCMON_TEST_SEED", random.randrange(10**6)))
MAX_GROWTH = 500_000_000  # bytes of the process, which is also that of the test
STATE = "select md5(string_agg(t::text, ',' order by t::text)) from {} t"


def state(app: App, target: Target) -> dict[str, Any]:
    """Return a digest of each table of the organization."""
    with db.org_session(app.engine, target.org) as session:
        tables = "select tablename from pg_tables where schemaname = current_schema() order by 1"
        return {name: session.scalar(text(STATE.format(f'"{name}"'))) for name in session.scalars(text(tables)).all()}


def send(endpoint: Endpoint, hostile: Hostile) -> tuple[int, str | None]:
    """Send a request, and return its status and what is wrong with the response."""
    headers = {"authorization": f"Basic {endpoint.token}", "content-type": "application/json"}
    response = endpoint.pool.request(
        hostile.method, f"{endpoint.url}{hostile.target}", body=hostile.body, headers=headers, retries=False,
        redirect=False, timeout=300,
    )  # fmt: skip
    return response.status, _fault(response.status, response.data)


def _fault(status: int, content: bytes) -> str | None:
    if status >= 500 or b"Traceback" in content:
        return "internal error"
    if status < 400:
        return None
    try:
        error = json.loads(content)
        is_error = isinstance(error["error_message"], str) and isinstance(error["additional_information"], dict)
    except (ValueError, KeyError, TypeError):
        is_error = False
    return None if is_error else "not the shape of errors"


def try_all(app: App, acme: Acme, target: Target, count: int) -> None:
    """Send hostile requests. Those that were refused are sent again, and change nothing."""
    populated = populate(app, target, acme.token)
    document, process = api.create(app).openapi(), psutil.Process()
    chosen = hostile_values.sample(_harmless(hostile_values.requests(document, populated.known)), count, SEED)
    with serving(app, acme.token) as endpoint:
        before = process.memory_info().rss
        sent = [(hostile, *send(endpoint, hostile)) for hostile in chosen]
        refused, earlier = [hostile for hostile, status, _ in sent if status >= 400], state(app, target)
        again = [(hostile, *send(endpoint, hostile)) for hostile in refused]
        health = endpoint.request("GET", "users/me").status
        growth = process.memory_info().rss - before
    print(f"seed {SEED}: {len(sent) + len(again)} requests, {len(refused)} refused, {growth / 1e6:.0f} MB more")
    faults = [(hostile, status, fault) for hostile, status, fault in sent + again if fault]
    assert [(f"{h.method} {h.target[:200]}", h.place, h.body[:300], status, fault) for h, status, fault in faults] == []
    assert [(h.method, h.target[:200], h.body[:300], status) for h, status, _ in again if status < 400] == []
    assert state(app, target) == earlier
    assert health == 200
    assert growth < MAX_GROWTH


def _harmless(requests: Iterable[Hostile]) -> list[Hostile]:
    """Leave out what revokes the token of the test."""
    return [hostile for hostile in requests if "regenerate-api-token" not in hostile.target]


def test_hostile_value_is_refused_and_changes_nothing(app: App, acme: Acme, target: Target) -> None:
    try_all(app, acme, target, 1500)


@pytest.mark.thorough
@pytest.mark.timeout(3600)
def test_all_hostile_values_are_refused_or_harmless(app: App, acme: Acme, target: Target) -> None:
    try_all(app, acme, target, 100_000)
