"""The OpenAPI document has every answer of every route, and what a client sends."""

import asyncio
import gzip
import re
import threading
from typing import Any

import pytest
from fastapi import Request

from dcmon.app import App
from dcmon.http import api, openapi
from tests.helpers.endpoint import serving
from tests.helpers.waiting import PATIENCE


@pytest.fixture
def document(app: App) -> dict[str, Any]:
    return api.create(app).openapi()


def operation(document: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][f"/api/v1/{path}"][method]
    return found


def test_route_with_a_token_has_all_refusals(document: dict[str, Any]) -> None:
    show = operation(document, "get", "monitors/{monitor_id}")
    create = operation(document, "post", "checks/{check_id}/monitors")

    assert {"401", "403", "404", "413", "422", "429", "500", "503"} <= show["responses"].keys()
    assert [part["responses"].get("402") is None for part in (show, create)] == [True, False]
    assert (show["x-permission"], create["x-permission"]) == ("read", "write")
    assert show["security"] == [{name: []} for name in openapi.SCHEMES]


def test_open_route_needs_no_token(document: dict[str, Any]) -> None:
    health = operation(document, "get", "health-check")

    assert "security" not in health
    assert not {"401", "403", "404"} & health["responses"].keys()


def test_errors_have_one_shape_and_headers(document: dict[str, Any]) -> None:
    for status, refusal in document["components"]["responses"].items():
        schema = refusal["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/ErrorResponse"}
        assert "x-request-id" in refusal["headers"]
        assert ("retry-after" in refusal["headers"]) == (status in ("Error409", "Error429", "Error503"))
    assert "HTTPValidationError" not in str(document)


def test_each_operation_has_a_success_or_says_why_not(document: dict[str, Any]) -> None:
    without = {
        path
        for path, operations in document["paths"].items()
        for described in operations.values()
        if not any(status < "4" for status in described["responses"])
    }

    assert all(part in str(without) for part in ("slack", "auth0", "eula"))
    assert all(any(part in path for part in ("slack", "auth0", "eula")) for path in without)


def test_each_parameter_of_a_path_is_described(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for described in operations.values():
            names = {part["name"] for part in described.get("parameters", []) if part["in"] == "path"}
            assert names == set(re.findall(r"{(\w+)}", path)), path


def test_bodies_of_rows_and_references_are_described(document: dict[str, Any]) -> None:
    rows = operation(document, "post", "model-versions/{version_id}/data")["requestBody"]
    labels = operation(document, "put", "model/{model_id}/labels")["requestBody"]
    reference = operation(document, "post", "model-versions/{version_id}/reference")["requestBody"]

    assert "_dc_sample_id" in rows["content"]["application/json"]["schema"]["items"]["properties"]
    assert "_dc_label" in labels["content"]["application/json"]["schema"]["items"]["properties"]
    assert "batch" in reference["content"]["multipart/form-data"]["schema"]["properties"]
    assert "requestBody" in operation(document, "get", "model-versions/{version_id}/time-window-statistics")


def test_schema_is_built_once_while_the_event_loop_runs() -> None:
    """Building takes half a second, and longer under load: other requests must not wait for it."""
    is_building, may_end, builds = threading.Event(), threading.Event(), list[str]()

    def build() -> dict[str, Any]:
        builds.append(threading.current_thread().name)
        is_building.set()
        assert may_end.wait(PATIENCE)
        return {"openapi": "3.1.0"}

    async def request_twice() -> list[bytes]:
        described = openapi.Document(build)
        requests = [asyncio.create_task(described.respond(_request(accept))) for accept in ("identity", "gzip")]
        assert await asyncio.to_thread(is_building.wait, PATIENCE)
        assert not any(task.done() for task in requests)
        may_end.set()  # by this thread, whose event loop runs
        return [bytes((await task).body) for task in requests]

    plain, compressed = asyncio.run(request_twice())
    assert (plain, gzip.decompress(compressed)) == (b'{"openapi":"3.1.0"}',) * 2
    assert len(builds) == 1
    assert builds[0] != threading.current_thread().name


def _request(accept_encoding: str) -> Request:
    headers = [(b"accept-encoding", accept_encoding.encode())]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": headers, "query_string": b""})


def test_405_names_methods_without_building_the_schema(app: App) -> None:
    endpoint = api.create(app)

    def methods(path: str, query: bytes = b"") -> list[str]:
        scope = {"type": "http", "method": "PATCH", "path": path, "query_string": query}
        found: list[str] = endpoint.state.route_table.methods(scope)
        return found

    assert methods("/api/v1/models/1") == ["DELETE", "GET"]
    assert methods("/api/v1/models/a/b") == []
    assert methods("/api/v1/models/a/b", b"identifier_kind=name") == ["DELETE", "GET"]
    assert methods("/api/v1/alerts/count_active") == ["GET"]  # and it is no id of an alert
    assert methods("/api/v1/alert-webhooks") == ["GET", "POST"]
    assert methods("/api/v1/openapi.json") == ["GET", "HEAD"]
    assert methods("/invitation") == ["GET", "POST"]
    assert endpoint.openapi_schema is None


def test_schema_is_served_without_a_token(app: App) -> None:
    with serving(app, "") as endpoint:
        response = endpoint.pool.request("GET", f"{endpoint.url}/api/v1/openapi.json")

    assert (response.status, response.json()["info"]["title"]) == (200, "dcmon")
    assert response.json()["components"]["securitySchemes"].keys() == openapi.SCHEMES.keys()


PAGED_BY_CURSOR = {"/api/v1/audit-log", "/api/v1/monitors/{monitor_id}/results"}


def test_each_list_is_paginated_when_asked(document: dict[str, Any]) -> None:
    """Each GET that answers with a list takes limit and offset, or has pages of its own."""
    unpaged = set()
    for path, operations in document["paths"].items():
        answer = operations.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        is_list = answer.get("application/json", {}).get("schema", {}).get("type") == "array"
        parameters = {parameter["name"] for parameter in operations.get("get", {}).get("parameters", ())}
        if is_list and not {"limit", "offset"} <= parameters:
            unpaged.add(path)
    assert unpaged - PAGED_BY_CURSOR == set()
