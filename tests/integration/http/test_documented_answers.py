"""The OpenAPI document against the endpoint, route by route: what it answers is documented, and what is documented it
answers.

The requests are generated from the table of routes: each kind of refusal is provoked at each route.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from dcmon.app import App
from dcmon.db.object_limits import NAMES
from dcmon.http import api, once
from dcmon.http.guard import BodyKind
from dcmon.tenancy import idempotency, invitations, object_limits
from dcmon.tenancy.permissions import Role, Scope
from tests.conftest import Acme
from tests.helpers import openapi_document, route_requests
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.route_requests import ENDING, JSON, Route, all_routes
from tests.helpers.route_world import Seeder, new_token

Document = Mapping[str, Any]
# /metrics refuses by itself, which its own tests provoke.
OWN_REFUSALS = {"GET /metrics": {401, 403}}
# They write rows that refer to others, which somebody may delete at the same moment.
MEETING_OTHERS = {
    "POST /tokens", "POST /users/regenerate-api-token", "PUT /organization/invite", "POST /invitations/accept",
    # Notifications of the alerts that end, for receivers.
    "DELETE /alerts/{alert_id}", "DELETE /alert-rules/{rule_id}", "DELETE /data-ingestion-alerts/{alert_id}",
    "DELETE /data-ingestion-alert-rules/{rule_id}", "DELETE /monitors/{monitor_id}",
    "DELETE /models/{identifier}/checks", "DELETE /models/{identifier}/checks/{check}", "DELETE /models/{identifier}",
    "DELETE /model-versions/{version_id}", "DELETE /models/{model_name}/model-versions/{version_name}",
}  # fmt: skip
ALWAYS = {400, 408, 413, 414, 422, 431, 500, 503}
TYPED_PLACES = {  # objects that a client sent, or that have the fields of a model, a check or a release
    "CheckConfig.params", "MonitorView.data_filters", "MonitorView.additional_kwargs",
    "LargestChange.change", "VersionSchema.monitor_schema", "VersionSchema.reference_schema", "ResultShown.how",
    "EntryView.before", "EntryView.after", "RejectedExample.value", "ErrorResponse.additional_information",
}  # fmt: skip


@dataclass(frozen=True)
class Prober:
    """Sends requests to the routes that the document has."""

    endpoint: Endpoint
    app: App
    acme: Acme
    document: Document
    ids: Mapping[str, Any]

    def routes(self) -> Iterator[tuple[Route, Mapping[str, Any]]]:
        """Yield each route with its description, deletions last."""
        for route in all_routes():
            operation = self.document["paths"].get(_path(route), {}).get(route.method.lower())
            is_alias = route.by_name or ":path}" in route.path.removesuffix("{feature:path}")
            if operation is not None and not is_alias:
                yield route, operation

    def status(self, route: Route, query: str = "", **headers: str) -> int:
        """Return the status of a request with ids of nothing and an empty body."""
        path, body = _address(route), b"{}" if route.kind == BodyKind.JSON else b""
        response = self.endpoint.pool.request(
            route.method, f"{self.endpoint.url}{path}{query}", body=body, headers=JSON | headers, retries=False,
            redirect=False, timeout=300,
        )  # fmt: skip
        return response.status

    def differences(self, status: int, provoke: Any, known: Mapping[str, set[int]] = {}) -> list[str]:
        """Provoke a status at each route. Return those that don't answer it as documented, or answer it otherwise."""
        return [
            f"{route.key}: {status} is {'' if status in openapi_document.statuses(operation) else 'not '}documented"
            for route, operation in self.routes()
            if status not in known.get(route.key, ())
            and (status in openapi_document.statuses(operation)) != provoke(route)
        ]

    def basic(self, token: str) -> dict[str, str]:
        return {"authorization": f"Basic {token}"}


def _path(route: Route) -> str:
    return re.sub(r":path}", "}", route.path)


def _address(route: Route) -> str:
    return re.sub(r"\{.*?\}", str(2**31 - 2), route.path)


@pytest.fixture
def prober(app: App, acme: Acme) -> Iterator[Prober]:
    """Serve an organization with an object of each kind."""
    with serving(app, acme.token) as endpoint:
        seeder = Seeder(app, endpoint, acme.org, acme.token, "word")
        organization = seeder.organization()
        ids = {**organization, **seeder.model(organization["dashboard"])}
        yield Prober(endpoint, app, acme, api.create(app).openapi(), ids)


@pytest.fixture
def document(app: App) -> Document:
    return api.create(app).openapi()


def test_each_success_has_a_schema_or_is_no_json(document: Document) -> None:
    for method, path, operation in openapi_document.operations(document):
        for status, response in operation["responses"].items():
            if "200" <= status < "300":
                assert response["content"], f"{method} {path} {status}"
                for media_type, content in response["content"].items():
                    assert content.get("schema"), f"{method} {path} {status} {media_type}"


def test_fields_of_answers_have_types(document: Document) -> None:
    places = {
        place or f"{method} {path}"
        for method, path, operation in openapi_document.operations(document)
        for status, response in operation["responses"].items()
        for content in response.get("content", {}).values()
        if status < "3"
        for place in openapi_document.untyped(document, content["schema"])
    }

    assert places <= TYPED_PLACES, places - TYPED_PLACES
    assert places >= TYPED_PLACES - {"ErrorResponse.additional_information"}


def test_each_route_of_the_table_is_described(document: Document) -> None:
    described = {(method, path) for method, path, _ in openapi_document.operations(document)}
    table = {(method, path) for path, route in api.routes() for method in route.methods if route.include_in_schema}
    # Balancers ask for health by HEAD, which a description of GET includes.
    pages = {path for path, route in api.routes() if not route.include_in_schema and route.methods != {"HEAD"}}

    assert described == {(method, path.replace(":path}", "}")) for method, path in table}
    assert all(not path.startswith("/api/") or ":path}" in path for path in pages)


def test_valid_requests_get_answers_as_described(prober: Prober) -> None:
    """Each answer fits the schema of its status, and has no field that the schema does not name."""
    closed = openapi_document.with_closed_responses(prober.document)
    wrong = list[str]()
    for route, _ in prober.routes():
        operation = closed["paths"][_path(route)][route.method.lower()]
        token = prober.acme.token
        if route.key in ENDING:
            email = f"{abs(hash(route.key))}@acme.example"
            token = new_token(prober.app, prober.acme.org, Role.OWNER, email=email)[1]
        answer = route.request(prober.endpoint, prober.ids, token)
        described = operation["responses"].get(str(answer.status))
        if described is None:
            wrong.append(f"{answer} is not documented")
        elif answer.status < 300 and list(described["content"]) != [openapi_document.JSON]:
            continue
        elif answer.status not in (302,):
            found = openapi_document.problems(closed, operation, answer.status, answer.data)
            wrong += [f"{route.key} {answer.status}: {problem}" for problem in found]
    assert wrong == []


def test_refusals_that_all_routes_have_are_documented(prober: Prober) -> None:
    own = prober.basic(prober.acme.token)
    for route, operation in prober.routes():
        assert openapi_document.statuses(operation) >= ALWAYS, route.key
    malformed = {"content-length": "x", **own}
    assert prober.differences(400, lambda route: prober.status(route, **malformed) == 400) == []
    for hidden in ("%00", "%1b"):
        assert (
            prober.differences(422, lambda route, sign=hidden: prober.status(route, f"?x={sign}", **own) == 422) == []
        )


def test_documented_401_and_429_are_those_of_wrong_tokens(prober: Prober) -> None:
    def code(route: Route) -> dict[str, str]:
        return {"authorization": "Basic wrong"}

    def refused(route: Route) -> int:
        if route.key == "POST /invitations/accept":
            return prober.endpoint.request(
                "POST", "invitations/accept", b'{"code": "x"}', **{"content-type": "application/json"}
            ).status
        return prober.status(route, **code(route))

    def without_token(route: Route) -> bool:
        return (
            refused(route) == 401
            if "invitations" in route.path and route.permission is None
            else (prober.status(route) == 401)
        )

    assert prober.differences(401, without_token, OWN_REFUSALS) == []
    assert prober.differences(429, lambda route: any(refused(route) == 429 for _ in range(40))) == []
    assert all(
        {401, 429} <= openapi_document.statuses(operation)
        for route, operation in prober.routes()
        if route.permission is not None
    )


def test_documented_403_are_those_that_can_be(prober: Prober) -> None:
    narrow = [(Role.VIEWER, Scope.FULL), (Role.INGESTER, Scope.FULL), (Role.OWNER, Scope.READ)]
    tokens = [new_token(prober.app, prober.acme.org, role, scope)[1] for role, scope in narrow]

    def is_refused(route: Route) -> bool:
        own = prober.basic(prober.acme.token)
        if prober.status(route, **own, **{"sec-fetch-site": "cross-site"}) == 403:
            return True
        return any(prober.status(route, **prober.basic(token)) == 403 for token in tokens)

    assert prober.differences(403, is_refused, OWN_REFUSALS) == []


def test_documented_404_are_those_that_can_be(prober: Prober) -> None:
    """Valid requests whose ids and names are those of nothing."""
    unknown = {name: f"no {name}" if isinstance(value, str) else 2**31 - 2 for name, value in prober.ids.items()}
    unknown |= {"note": 2**31 - 2, "column": "job", "deleted": {}, "organization": prober.acme.org.name}

    def is_refused(route: Route) -> bool:
        if route.key in ENDING:
            return False
        return route.request(prober.endpoint, unknown, prober.acme.token).status == 404

    assert prober.differences(404, is_refused) == []


def test_documented_402_are_those_that_can_be(prober: Prober, monkeypatch: pytest.MonkeyPatch) -> None:
    """The organization may have no object of any kind more."""
    with prober.app.public() as session:
        invited = invitations.invite(session, prober.acme.org.id, "x@acme.example", ["new@acme.example"], Role.MEMBER)
        object_limits.change(session, prober.acme.org.id, dict.fromkeys(NAMES, 1))
    monkeypatch.setitem(route_requests.BODIES, "POST /invitations/accept", lambda ids: {"code": invited[0].code})
    monkeypatch.setitem(route_requests.BODIES, "PUT /models/{identifier}/defaults", lambda ids: {"defaults": "all"})

    def is_refused(route: Route) -> bool:
        if route.method == "DELETE" or route.key == "POST /organization/leave":
            return False
        return route.request(prober.endpoint, prober.ids, prober.acme.token).status == 402

    assert prober.differences(402, is_refused) == []


def test_documented_409_are_those_that_can_be(prober: Prober) -> None:
    """A request with the same Idempotency-Key is in progress."""

    def is_refused(route: Route) -> bool:
        if route.key in MEETING_OTHERS:
            return True
        if route.permission is None:
            return False
        path, body = _address(route), b"{}" if route.kind == BodyKind.JSON else b""
        scope = {"method": route.method, "path": urlsplit(path).path, "query_string": b""}
        fingerprint = once._fingerprint(SimpleNamespace(scope=scope), body)  # type: ignore[arg-type]
        retention = prober.app.settings.http.idempotency_retention
        key = re.sub("[^a-z_]", "-", route.key.lower())
        idempotency.claim(prober.app.engine, prober.acme.org, key, fingerprint, retention)
        if route.method == "DELETE":
            return False
        own = prober.basic(prober.acme.token)
        return prober.status(route, **own, **{"idempotency-key": key}) == 409

    assert prober.differences(409, is_refused) == []
