"""Every route of the API with the tokens of others: nothing is reached, shown or changed. New routes are tried too.

The organization acme has an object of each kind with ids from 1 on; the other organization and a user who is no member
of acme's model have none of them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text

from dcmon import db
from dcmon.app import App
from dcmon.http import api
from dcmon.tenancy import members, organizations, provisioning, tokens
from dcmon.tenancy.permissions import Role
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.judged_results import create_rule, store_and_judge
from tests.integration.conftest import Target

CANARY = "canary-of-acme"
# Routes whose path has no id, or is for everybody.
NAMES = {"model_name": CANARY, "version_name": CANARY, "prefix": "dcm_0123456789"}
STATE = "select md5(string_agg(t::text, ',' order by t::text)) from {} t"


@dataclass(frozen=True)
class World:
    """The endpoint with a strange token for each kind of stranger."""

    endpoint: Endpoint
    app: App
    acme: Acme
    strangers: dict[str, str]

    def state(self) -> dict[str, Any]:
        """Return a digest of each table of acme, and of the members."""
        with db.org_session(self.app.engine, self.acme.org) as session:
            names = session.scalars(
                text("select tablename from pg_tables where schemaname = current_schema() order by 1")
            ).all()
            state = {name: session.scalar(text(STATE.format(f'"{name}"'))) for name in names}
        with db.public_session(self.app.engine) as session:
            return state | {"members": session.scalar(text(STATE.format("members")))}


@pytest.fixture
def world(app: App, acme: Acme, target: Target) -> Iterator[World]:
    """Serve acme with a model, version, monitor, rule, alert and note, and another organization without any."""
    create_rule(target, "> 0.2")
    for number, value in enumerate((0.5, 0.1, 0.3)):
        store_and_judge(target, number, value)
    with db.org_session(app.engine, acme.org) as session:
        session.execute(text("update models set name = :name, description = :name"), {"name": CANARY})
        session.execute(text("update versions set name = :name"), {"name": CANARY})
        session.execute(text("insert into model_notes (model_id, title) values (1, :name)"), {"name": CANARY})
    other = provisioning.create_organization(app.engine, "other", "owner@other.example")
    with app.public() as session:
        organizations.set_model_membership(session, acme.org.id, True)
        user_id = members.add(session, acme.org.id, "stranger@acme.example", Role.MEMBER)
        stranger = tokens.create(session, acme.org.id, user_id, "stranger")
    with serving(app, acme.token) as endpoint:
        yield World(endpoint, app, acme, {"foreign": other.token, "no member": stranger})


def _routes(app: App) -> list[tuple[str, str]]:
    paths = api.create(app).openapi()["paths"]
    return [(method.upper(), path) for path in sorted(paths) for method in sorted(paths[path])]


def _fill(path: str) -> str:
    """Fill the parameters of a path with what acme has: ids are 1."""
    return re.sub(r"\{(\w+)\}", lambda match: NAMES.get(match[1], "1"), path).removeprefix("/api/v1/")


def _try(world: World, method: str, path: str, token: str) -> tuple[int, bytes]:
    headers = {"authorization": f"Basic {token}", "content-type": "application/json"}
    response = world.endpoint.request(method, path, b"{}" if method in ("POST", "PUT", "PATCH") else b"", **headers)
    return response.status, response.data


@pytest.mark.parametrize("kind", ["foreign", "no member"])
def test_route_of_stranger_shows_and_changes_nothing(world: World, kind: str) -> None:
    """A path with an id of acme's model is not found, refused, or has a body that does not fit."""
    before, wrong = world.state(), list[Any]()
    for method, path in _routes(world.app):
        if "{" not in path or not path.startswith("/api/v1/"):
            continue
        is_users = kind == "no member" and "/users/" in path
        for query in ("", "?model_id=1&model_version_id=1&monitor_id=1&identifier_kind=name"):
            status, data = _try(world, method, _fill(path) + query, world.strangers[kind])
            is_empty = status >= 300 or data in (b"[]", b"{}", b"null")
            is_echo = CANARY in _fill(path) and status == 404  # the name that the request itself has
            if status >= 500 or (CANARY.encode() in data and not is_echo) or not (is_empty or is_users):
                wrong.append((method, path, query, status, data[:120]))
    assert wrong == []
    assert world.state() == before


@pytest.mark.parametrize("kind", ["foreign", "no member"])
def test_list_of_stranger_names_nothing_of_acme(world: World, kind: str) -> None:
    gets = [path for method, path in _routes(world.app) if method == "GET" and "{" not in path]
    shown = [(path, *_try(world, "GET", _fill(path), world.strangers[kind])) for path in gets if "/api/v1/" in path]
    assert [(path, status) for path, status, data in shown if CANARY.encode() in data or status >= 500] == []


def test_route_without_token_is_refused(world: World) -> None:
    open_to_all = {"/api/v1/health-check", "/api/v1/invitations/accept"}
    before, wrong = world.state(), list[Any]()
    for method, path in _routes(world.app):
        if not path.startswith("/api/v1/") or path in open_to_all or "/auth/login/" in path:
            continue
        status, data = _try(world, method, _fill(path), "")
        if status != 401:
            wrong.append((method, path, status, data[:100]))
    assert wrong == []
    assert world.state() == before
