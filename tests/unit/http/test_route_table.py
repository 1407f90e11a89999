"""The table of routes finds the route that a router would find, which tries one after another.

One thing differs: a path without parameters, like alerts/count_active, is never that of an alert with this id.
"""

import re

import pytest
from fastapi import APIRouter
from starlette.routing import Match

from dcmon.http import api
from dcmon.http.guard import GuardedRoute, protect
from dcmon.http.route_table import RouteTable

ROUTES = [route.mounted(prefix) for prefix, router in api.routers() for route in protect(router)]
FIXED = {route.path for route in ROUTES if "{" not in route.path}
VALUES = ("7", "a/b", "checks")


def scope(method: str, path: str, query: bytes) -> dict[str, object]:
    return {"type": "http", "method": method, "path": path, "query_string": query, "headers": []}


def first_match(method: str, path: str, query: bytes) -> GuardedRoute | None:
    if path in FIXED:
        return next((route for route in ROUTES if route.path == path and method in route.methods), None)
    return next((route for route in ROUTES if route.matches(scope(method, path, query))[0] == Match.FULL), None)


@pytest.mark.parametrize("query", [b"", b"identifier_kind=name"])
def test_every_path_finds_its_first_route(query: bytes) -> None:
    table, found_count = RouteTable(ROUTES, APIRouter()), 0
    for path in {re.sub(r"\{[^}]*\}", value, route.path) for route in ROUTES for value in VALUES}:
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
            found = table.find(scope(method, path, query))
            assert found is first_match(method, path, query), (method, path)
            found_count += found is not None
    assert found_count >= len(ROUTES)


def test_unknown_path_finds_no_route() -> None:
    table = RouteTable(ROUTES, APIRouter())
    assert [table.find(scope("GET", path, b"")) for path in ("/", "", "/api", "/api/v1/nothing", "//x/y/z")] == [
        None
    ] * 5
