"""Requests of two organizations through one connection to PostgreSQL: it carries nothing over to the next transaction.

Answers, refusals, clients that hang up, failed and cancelled statements, and killed connections are mixed in all
orders, four at a time.
"""

import json
import socket
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from dcmon import db, errors
from dcmon.app import App
from dcmon.db import Organization
from dcmon.tenancy import members, provisioning, tokens
from dcmon.tenancy.permissions import Role
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.examples import examples

STATE = text("""
    select current_user = session_user, current_setting('search_path'), current_setting('role'),
           current_setting('statement_timeout'), current_setting('lock_timeout'),
           coalesce(current_setting('dcmon.author', true), ''), coalesce(current_setting('dcmon.limits', true), ''),
           (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())
""")


@dataclass
class Tenant:
    """An organization with tokens of its owner, and of a member who sees none of the models."""

    org: Organization
    token: str
    restricted: str
    created: set[str] = field(default_factory=set)

    def owns(self, name: str) -> bool:
        return name.startswith(f"{self.org.name}-")


@dataclass
class World:
    """Two organizations, and an endpoint whose engine has one connection. `observer`: another engine."""

    tenants: list[Tenant]
    endpoint: Endpoint
    engine: Engine
    observer: Engine

    def send(self, tenant: Tenant, method: str, path: str, body: object, status: int, token: str = "") -> object:
        """Send a request; return its answer, or None where a killed connection was noticed (503)."""
        headers = {"authorization": f"Basic {token or tenant.token}", "content-type": "application/json"}
        response = self.endpoint.request(method, path, b"" if body is None else json.dumps(body).encode(), **headers)
        assert response.status in (status, 503), (method, path, response.status, response.data)
        return json.loads(response.data) if response.status == status and response.data else None


Action = Callable[[World, Tenant], None]


def list_models(world: World, tenant: Tenant) -> None:
    listed = world.send(tenant, "GET", "available-models?show_all=true", None, 200)
    assert isinstance(listed, list | None)
    assert all(tenant.owns(model["name"]) for model in listed or ())


def list_as_member(world: World, tenant: Tenant) -> None:
    assert world.send(tenant, "GET", "available-models", None, 200, tenant.restricted) in ([], None)


def create_model(world: World, tenant: Tenant) -> None:
    name = f"{tenant.org.name}-{uuid.uuid4().hex}"
    if world.send(tenant, "POST", "models", {"name": name, "task_type": "binary"}, 200) is not None:
        tenant.created.add(name)


def read_by_id(world: World, tenant: Tenant) -> None:
    """Both organizations have a model with this id."""
    shown = world.send(tenant, "GET", "models/1", None, 200)
    assert shown is None or (isinstance(shown, dict) and tenant.owns(shown["name"]))


def send_what_does_not_fit(world: World, tenant: Tenant) -> None:
    world.send(tenant, "POST", "models", {"name": "m", "task_type": 7}, 422)
    world.send(tenant, "GET", "models/2147483648", None, 404)
    world.send(tenant, "POST", "models", {"name": "m", "task_type": "binary"}, 403, tenant.restricted)


def hang_up(world: World, tenant: Tenant) -> None:
    """Send a whole request, and close the connection before its answer."""
    address = urlsplit(world.endpoint.url)
    body = json.dumps({"name": f"{tenant.org.name}-{uuid.uuid4().hex}", "task_type": "binary"})
    head = f"POST /api/v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Basic {tenant.token}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection((address.hostname or "", address.port or 0)) as wire:
        wire.sendall(f"{head}{body}".encode())


def fail_in_a_transaction(world: World, tenant: Tenant) -> None:
    with suppress(ZeroDivisionError, errors.Unreachable), db.org_session(world.engine, tenant.org) as session:
        session.execute(text("update models set name = 'foreign' || id"))
        with suppress(DBAPIError), session.begin_nested():
            session.execute(text("select * from no_such_table"))
        raise ZeroDivisionError


def exceed_the_time(world: World, tenant: Tenant) -> None:
    with suppress(DBAPIError, errors.Unreachable), db.org_session(world.engine, tenant.org) as session:
        session.execute(text("set local statement_timeout = '5ms'"))
        session.execute(text("select pg_sleep(60)"))


def be_killed(world: World, tenant: Tenant) -> None:
    """Kill connections in the organization's transactions, or idle ones."""
    with world.observer.connect() as connection:
        connection.execute(
            text(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
                " and application_name = 'single' and pid <> pg_backend_pid()"
            )
        )


ACTIONS: list[Action] = [
    list_models, list_as_member, create_model, read_by_id, send_what_does_not_fit, hang_up, fail_in_a_transaction,
    exceed_the_time, be_killed,
]  # fmt: skip


def new_tenant(app: App, org: Organization, token: str) -> Tenant:
    with app.public() as session:
        user_id = members.add(session, org.id, f"viewer@{org.name}.example", Role.VIEWER)
        restricted = tokens.create(session, org.id, user_id, "viewer")
        session.execute(text("update organizations set model_membership = true where id = :id"), {"id": org.id})
    return Tenant(org, token, restricted)


@pytest.fixture
def world(app: App, acme: Acme, engine: Engine) -> Iterator[World]:
    other = provisioning.create_organization(engine, "other", "owner@other.example")
    tenants = [new_tenant(app, acme.org, acme.token), new_tenant(app, other.organization, other.token)]
    url = engine.url.update_query_dict({"application_name": "single"}).render_as_string(hide_password=False)
    single = db.engine(url, pool_size=1)
    assert isinstance(single.pool, QueuePool)
    single.pool._max_overflow = 0
    alone = App(app.settings, app.output)
    alone.__dict__["engine"] = single
    with alone, serving(alone, acme.token) as endpoint:
        new = World(tenants, endpoint, single, engine)
        for tenant in tenants:
            create_model(new, tenant)
        yield new


@settings(max_examples=examples(12))
@given(steps=st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 1)), min_size=4, max_size=16))
def test_one_connection_carries_nothing_over(world: World, steps: list[tuple[Action, int]]) -> None:
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(action, world, world.tenants[number]) for action, number in steps]:
            done.result()
    with world.engine.connect() as connection:
        path = connection.execute(text("show search_path")).scalar()
        assert tuple(connection.execute(STATE).one()) == (True, path, "none", "0", "0", "", "", 0)
        assert path == '"$user", public'
    for tenant in world.tenants:
        with world.observer.connect() as connection:
            names = set(connection.scalars(text(f"select name from {tenant.org.schema}.models")))
        assert names >= tenant.created
        assert all(map(tenant.owns, names))
