"""Every route of the endpoint, with a valid request that names objects of acme, from everybody who may not send it.

The requests are generated from the route table, so that a new route is tried too; one without an example of its body
fails here. The same requests succeed with the right tokens: a body that does not fit can't hide a hole.

acme has two models with an object of each kind: "hidden", and "visible" with one restricted member. Ids of acme are
large, so that no other organization has an object with such an id.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import text

from dcmon import db
from dcmon.app import App
from dcmon.db import Organization, visible_models
from dcmon.storage import versions
from dcmon.tenancy import model_members, organizations, provisioning
from dcmon.tenancy.permissions import Permission, Role, Scope, granted
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.route_requests import ENDING, Answer, Route, all_routes
from tests.helpers.route_world import Seeder, new_token

ROUTES = all_routes()
ORG, HIDDEN, VISIBLE, OTHER = "qacmeq", "qhiddenq", "qvisibleq", "qotherq"
DIGEST = "select md5(string_agg(r, ',' order by r)) from (select (to_jsonb(t) - 'last_used_at')::text r from {} t) x"
SEQUENCES = "select sequencename from pg_sequences where schemaname = current_schema()"
# What an answer to a stranger may be where a route names no object: its own result, or a refusal that fits to anybody.
OWN = {200, 201, 204, 302}
# Open to all: they answer without a token, or check one themselves.
OPEN = {
    "GET /health-check": 200, "GET /health/live": 200, "GET /health/ready": 200, "GET /metrics": 200,
    "HEAD /health-check": 200, "HEAD /health/live": 200, "HEAD /health/ready": 200,
    "GET /invitation": 200, "POST /invitation": 422, "POST /invitations/accept": 422,
    "GET /auth/login/auth0": 404, "GET /auth/login/auth0/callback": 404,
    "GET /login": 200, "POST /login": 401, "POST /logout": 303, "GET /pages/{digest}/{name}": 404,
}  # fmt: skip
# Not built: their answer is 404 for everybody who has a token.
ABSENT = ("GET /users/accept-eula", "GET /slack", "DELETE /slack")
FULL_SCOPE = {
    "GET /tokens", "POST /tokens", "DELETE /tokens/{prefix}", "POST /users/complete-details", *ENDING,
}  # fmt: skip


@dataclass(frozen=True)
class World:
    """The endpoint, two organizations, and the ids of their objects."""

    endpoint: Endpoint
    app: App
    acme: Organization
    other: Organization
    owner: str
    foreigner: str
    restricted: str
    hidden: Mapping[str, Any]
    visible: Mapping[str, Any]
    others: Mapping[str, Any]
    hidden_user: int
    tokens: dict[tuple[Role, Scope], str] = field(default_factory=dict)

    def state(self) -> dict[str, Any]:
        """Return a digest of each table of acme, and of the rows of "public" that are not another organization's."""
        with db.org_session(self.app.engine, self.acme) as session:
            state = {name: session.scalar(text(DIGEST.format(f'"{name}"'))) for name in _tables(session)}
        with db.public_session(self.app.engine) as session:
            for name in _tables(session):
                state[f"public.{name}"] = session.scalar(text(DIGEST.format(self._rows(session, name))))
        return state

    def _rows(self, session: Any, table: str) -> str:
        columns = session.scalars(
            text(
                "select column_name from information_schema.columns where table_schema = 'public' and table_name = :t"
            ),
            {"t": table},
        ).all()
        other, condition = self.other.id, "true"
        if table == "failed_logins":
            condition = "false"
        elif table == "organizations":
            condition = f"id <> {other}"
        elif table == "users":
            condition = f"id in (select user_id from members where org_id <> {other})"
        elif "org_id" in columns:
            condition = f"org_id <> {other}"
        return f"(select * from {table} where {condition})"

    def state_of_hidden(self) -> dict[str, Any]:
        """Return a digest of all rows that belong to the hidden model, as only its member sees them."""
        with db.org_session(self.app.engine, self.acme, member=self.hidden_user) as session:
            names = [name for name in visible_models._links() if name != "model_members"]
            state = {name: session.scalar(text(DIGEST.format(name))) for name in names}
        with db.org_session(self.app.engine, self.acme) as session:
            _, version = versions.get(session, self.hidden["version"])
            for name in _tables(session):
                if name.endswith(f"_{version.relation}"):
                    state[name] = session.scalar(text(DIGEST.format(name)))
        assert len(state) > 20
        assert sum(value is not None for value in state.values()) > 15
        return state

    def all_ids(self, ids: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters of a query with the ids of a model's objects, under the names that routes use."""
        names = {
            "model_id": "model", "model_version_id": "version", "version_id": "version", "monitor_id": "monitor",
            "check_id": "check", "rule_id": "rule", "alert_rule_id": "rule", "alert_id": "alert", "id": "model",
            "models": "model", "models[]": "model", "monitor": "monitor", "identifier": "model", "note_id": "note",
            "version": "version_name", "version_name": "version_name", "model_name": "model_name",
            "user_id": "user", "member_id": "user", "webhook_id": "webhook", "org_id": "org_id", "org": "organization",
            "organization_id": "org_id", "schema": "schema",
        }  # fmt: skip
        return {name: ids[key] for name, key in names.items()}


def _tables(session: Any) -> Sequence[str]:
    statement = "select tablename from pg_tables where schemaname = current_schema() order by 1"
    return session.scalars(text(statement)).all()  # type: ignore[no-any-return]


@pytest.fixture
def world(app: App, acme: Acme) -> Iterator[World]:
    """Serve acme with its two models, and another organization with one."""
    created = provisioning.create_organization(app.engine, "other", "owner@other.example")
    other = created.organization
    with db.org_session(app.engine, acme.org) as session:
        for name in session.scalars(text(SEQUENCES)).all():
            session.execute(text(f'alter sequence "{name}" restart with 50001'))
    with serving(app, acme.token) as endpoint:
        seeders = [
            Seeder(app, endpoint, org, token, word)
            for org, token, word in (
                (acme.org, acme.token, HIDDEN), (acme.org, acme.token, VISIBLE), (other, created.token, OTHER),
            )
        ]  # fmt: skip
        mine = Seeder(app, endpoint, acme.org, acme.token, ORG).organization()
        theirs = seeders[2].organization()
        mine |= {"org_id": acme.org.id, "schema": acme.org.schema}
        theirs |= {"org_id": other.id, "schema": other.schema}
        hidden, visible = {**mine, **seeders[0].model(mine["dashboard"])}, seeders[1].model(mine["dashboard"])
        others = {**theirs, **seeders[2].model(theirs["dashboard"])}
        restricted, token = new_token(app, acme.org, Role.MEMBER, email="restricted@acme.example")
        hidden_user, _ = new_token(app, acme.org, Role.MEMBER, email="hidden@acme.example")
        with app.public() as session:
            organizations.set_model_membership(session, acme.org.id, True)
        with app.org(acme.org) as session:
            for user, ids in ((restricted, visible["ids"]), (hidden_user, hidden["ids"])):
                model_members.set_models(session, user, dict.fromkeys(ids, True), replace=True)
        yield World(
            endpoint, app, acme.org, other, acme.token, created.token, token, hidden, {**mine, **visible}, others,
            hidden_user, {(role, scope): new_token(app, acme.org, role, scope)[1] for role in Role for scope in Scope},
        )  # fmt: skip


def _is_absent(route: Route) -> bool:
    return route.key.startswith(ABSENT)


def _expect(answers: Sequence[tuple[Answer, set[int]]], word: str = "") -> None:
    """Check the statuses, and that a word is in no answer, except where the request itself has it."""
    wrong = [str(answer) for answer, statuses in answers if answer.status not in statuses]
    leaks = [
        str(answer)
        for answer, _ in answers
        if word
        and word.encode() in answer.data
        and not ((answer.status >= 400 and _echoes(answer)) or _sends_word(answer))
    ]
    if wrong or leaks:
        pytest.fail("\n".join(["Other statuses than expected:", *wrong, "Names that must not be shown:", *leaks]))


def _echoes(answer: Answer) -> bool:
    """True if a request has a name or an address, which a message about it may repeat."""
    names = ("model_name", "version_name", "identifier:path")
    return bool(answer.query) or any(name in answer.route.path for name in names)


def _sends_word(answer: Answer) -> bool:
    """True for an invitation, whose answer has the address of the request."""
    return answer.route.key == "PUT /organization/invite"


def test_route_without_token_answers_401_and_changes_nothing(world: World) -> None:
    before = world.state()
    answers = []
    for route in ROUTES:
        answer = route.request(world.endpoint, world.hidden, "")
        answers.append((answer, {401} if route.permission is not None else {OPEN[route.key]}))
    _expect(answers, HIDDEN)
    assert world.state() == before


def test_route_answers_403_to_each_smaller_role_and_scope(world: World) -> None:
    before, answers = world.state(), list[tuple[Answer, set[int]]]()
    for route in ROUTES:
        for (role, scope), token in world.tokens.items():
            if route.permission is None:
                continue
            is_small = route.permission not in granted(role, scope)
            if is_small or (route.key in FULL_SCOPE and scope != Scope.FULL):
                answers.append((route.request(world.endpoint, world.hidden, token), {401 if route.is_page else 403}))
    assert len(answers) > 1_000
    _expect(answers, HIDDEN)
    assert world.state() == before


def test_route_shows_and_changes_nothing_for_foreigners(world: World) -> None:
    """The token of another organization's owner, which may do everything there, with the ids of acme."""
    before, answers = world.state(), list[tuple[Answer, set[int]]]()
    more = world.all_ids(world.hidden)
    for route in ROUTES:
        if route.permission is None:
            continue
        for query in ({}, more):
            token = world.foreigner
            if route.key in ENDING:
                token = new_token(world.app, world.other, Role.OWNER, email=f"{len(answers)}@other.example")[1]
            statuses = {400} if route.key == "DELETE /organization" else OWN
            if (route.names_object and route.key != "DELETE /organization") or _is_absent(route):
                statuses = {404}
            elif query:
                statuses = {*OWN, 400, 404, 422}  # the same object twice, or a parameter that the route knows
            if route.is_page and query:
                statuses = {401}  # it has ?org=acme
            answers.append((route.request(world.endpoint, world.hidden, token, query), statuses))
    _expect(answers, HIDDEN)
    _expect(answers, ORG)
    assert world.state() == before


def test_query_of_foreigner_does_not_override_the_path(world: World) -> None:
    """Paths with own ids and queries with ids of acme: S1 of the old system."""
    before, answers = world.state(), list[Answer]()
    for route in ROUTES:
        if route.permission is not None and route.key not in ENDING and route.key != "DELETE /organization":
            answers.append(route.request(world.endpoint, world.others, world.foreigner, world.all_ids(world.hidden)))
    _expect([(answer, {401} if answer.route.is_page else {*OWN, 400, 404, 422, 503}) for answer in answers], HIDDEN)
    assert world.state() == before


def test_route_shows_and_changes_nothing_of_hidden_models(world: World) -> None:
    """A member of another model, with the ids of the hidden one, and lists with them as parameters."""
    before, answers = world.state_of_hidden(), list[tuple[Answer, set[int]]]()
    for route in ROUTES:
        if route.permission is None or route.key in ENDING:
            continue
        for query in ({}, world.all_ids(world.hidden)):
            statuses = {404} if route.names_model or route.key == "GET /onboarding" else OWN
            if route.permission in (Permission.ADMINISTER, Permission.OWN):
                statuses = {403}
            elif _is_absent(route):
                statuses = {404}
            elif route.key in ("POST /tokens", "DELETE /tokens/{prefix}"):
                statuses = {404}  # of another member
            elif route.key == "DELETE /dashboards/{dashboard_id}":
                statuses = {403}  # it may have monitors of hidden models
            elif query and statuses == OWN:
                statuses = {*OWN, 400, 422}
            answers.append((route.request(world.endpoint, world.hidden, world.restricted, query), statuses))
    _expect(answers, HIDDEN)
    assert world.state_of_hidden() == before


def test_same_requests_of_owners_succeed(world: World) -> None:
    """The positive control of the other tests."""
    answers = [
        (route.request(world.endpoint, world.hidden, _owner(world, route)), _of_owner(route))
        for route in ROUTES
        if route.permission is not None
    ]
    _expect(answers)


def test_restricted_member_uses_all_routes_for_own_models(world: World) -> None:
    """Each route works for the models of a restricted member; ids of the hidden one in the query change nothing."""
    before, answers = world.state_of_hidden(), list[tuple[Answer, set[int]]]()
    for route in ROUTES:
        if route.permission is None or route.key in ENDING or route.key in ("POST /tokens", "DELETE /tokens/{prefix}"):
            continue
        statuses = {404} if _is_absent(route) else {*OWN, 503} if "/display/" in route.path else OWN
        is_small = route.permission in (Permission.ADMINISTER, Permission.OWN)
        if is_small or route.key == "DELETE /dashboards/{dashboard_id}":
            statuses = {403}
        answers.append((route.request(world.endpoint, world.visible, world.restricted), statuses))
        if route.method == "GET" and not is_small:
            more = world.all_ids(world.hidden)
            answers.append((route.request(world.endpoint, world.visible, world.restricted, more), {200, 302, 404, 422}))
    _expect(answers, HIDDEN)
    assert world.state_of_hidden() == before


def _of_owner(route: Route) -> set[int]:
    """Return the statuses of a valid request. No worker runs here that could send a test."""
    return {404} if _is_absent(route) else {503} if route.key == "POST /alert-webhooks/{webhook_id}/test" else OWN


def _owner(world: World, route: Route) -> str:
    """Return the token of an owner: a new one for a route that ends it."""
    if route.key in ENDING:
        return new_token(world.app, world.acme, Role.OWNER, email=f"{abs(hash(route.key))}@acme.example")[1]
    return world.owner
