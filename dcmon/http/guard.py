"""The guard in front of all routes. It answers 401, 403 and 413 before it reads the body.

The order, after the path is matched: checks of the head, the token, the permission of the route, Content-Length, the
body up to the bound of the route, the bounds of JSON, Idempotency-Key; then the route.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from copy import copy
from enum import StrEnum
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from fastapi.dependencies.models import Dependant
from fastapi.params import Form
from fastapi.responses import Response
from fastapi.routing import APIRoute
from fastapi.utils import generate_unique_id
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from dcmon import errors, text
from dcmon.http import bodies, json_bodies, once
from dcmon.http.auth import OpenToAll, Requires
from dcmon.http.bodies import HeldBody
from dcmon.settings import Http
from dcmon.tenancy.permissions import Permission

REQUEST = "_request"  # a name that no parameter of a route has
OPEN_BODY_BYTES = 10_000  # of a route without a token
DATA_PARAMETERS = frozenset(
    {"feature", "column", "columns", "names", "value", "sample_id"}
)  # any text that is storable


class BodyKind(StrEnum):
    """What a route does with the body: nothing, parse it as JSON or as a form, or read it itself as rows."""

    NONE = "none"
    JSON = "json"
    FORM = "form"
    ROWS = "rows"


class GuardedRoute(APIRoute):
    """A route behind the guard."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler that admits a request and then calls the route."""
        handle, admit, is_open = _handler(self), _admission(self), isinstance(access(self), OpenToAll)

        async def handle_guarded(request: Request) -> Response:
            held = request.state.held_body = HeldBody(request.app.state.body_budget)
            try:
                await admit(request)
                key = None if is_open else once.key_of(request, self.endpoint)
                return await (handle(request) if key is None else once.respond(request, key, handle))
            finally:
                held.release()

        return handle_guarded

    def mounted(self, prefix: str) -> "GuardedRoute":
        """Return this route below a prefix, as a route of the application."""
        route = copy(self)
        route.path = f"{prefix}{self.path}"
        route.path_regex, route.path_format, route.param_convertors = compile_path(route.path)
        route.unique_id = self.operation_id or generate_unique_id(route)
        route.app = _application(route.get_route_handler())
        return route


def protect(router: APIRouter) -> list[GuardedRoute]:
    """Put the guard in front of all routes of a router, of any class, and return them."""
    for route in router.routes:
        assert isinstance(route, APIRoute), f"{route} can't be guarded"
        if not isinstance(route, GuardedRoute):
            route.__class__ = GuardedRoute
    return [route for route in router.routes if isinstance(route, GuardedRoute)]


def _application(handle: Callable[[Request], Awaitable[Response]]) -> ASGIApp:
    """Return the ASGI application of a route. FastAPI's own has three stacks of contexts and another error handler."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with AsyncExitStack() as stack:  # of dependencies and files, until the response is sent
            scope["fastapi_middleware_astack"] = stack
            scope["fastapi_inner_astack"] = scope["fastapi_function_astack"] = stack
            response = await handle(Request(scope, receive, send))
            await response(scope, receive, send)

    return app


def _handler(route: GuardedRoute) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    """Return FastAPI's handler of a route, to which the guard hands the access that it has found.

    As a dependency the access would cost a tenth of a small request.
    """
    dependant, endpoint = copy(route.dependant), route.dependant.call
    accesses = [part for part in dependant.dependencies if isinstance(part.call, Requires | OpenToAll)]
    if len(accesses) != 1 or accesses[0].name is None or endpoint is None:
        return APIRoute.get_route_handler(route)
    name, request_name = accesses[0].name, dependant.request_param_name

    def call(**values: Any) -> Any:
        request = values[REQUEST] if request_name is None else values[request_name]
        if request_name is None:
            del values[REQUEST]
        return endpoint(**values, **{name: getattr(request.state, "access", None)})

    async def call_coroutine(**values: Any) -> Any:
        return await call(**values)

    is_coroutine = inspect.iscoroutinefunction(endpoint)
    dependant.call = functools.wraps(endpoint)(call_coroutine if is_coroutine else call)
    dependant.dependencies = [part for part in dependant.dependencies if part is not accesses[0]]
    dependant.request_param_name = request_name or REQUEST
    route = copy(route)
    route.dependant = dependant
    return APIRoute.get_route_handler(route)


def access(route: APIRoute) -> Requires | OpenToAll:
    """Return the access that a route declares. A route that declares none is open to owners only."""
    declared = {
        dependency for dependency in _dependencies(route.dependant) if isinstance(dependency, Requires | OpenToAll)
    }
    return declared.pop() if len(declared) == 1 else Requires(Permission.OWN)


def body_kind(route: APIRoute) -> BodyKind:
    """Return what a route does with the body."""
    if any(getattr(dependency, "reads_rows", False) for dependency in _dependencies(route.dependant)):
        return BodyKind.ROWS
    if route.body_field is None:
        return BodyKind.NONE
    return BodyKind.FORM if isinstance(route.body_field.field_info, Form) else BodyKind.JSON


def _admission(route: APIRoute) -> Callable[[Request], Awaitable[None]]:
    required, kind = access(route), body_kind(route)

    async def admit(request: Request) -> None:
        if isinstance(required, Requires):
            request.state.access = await required.authorize(request)
        if request.path_params or request.scope["query_string"]:
            _require_texts(request)
        settings: Http = request.app.state.app.settings.http
        if kind == BodyKind.ROWS:
            bodies.require_length(request, settings.max_body_bytes)
            return
        bound = _Bound(settings.max_json_bytes, errors.JsonTooLarge)
        if isinstance(required, OpenToAll):
            bound = _Bound(OPEN_BODY_BYTES, errors.OpenBodyTooLarge)
        bodies.require_length(request, *bound)
        if kind != BodyKind.NONE:
            await _read_small(request, kind, bound)

    return admit


def _require_texts(request: Request) -> None:
    """Check the texts in path and query. Raises UnusableText or UnstorableText."""
    for name, value in [*request.path_params.items(), *request.query_params.multi_items()]:
        if name in DATA_PARAMETERS:
            text.require_storable(str(value))
        else:
            text.require_line(str(value))


class _Bound(NamedTuple):
    max_bytes: int
    too_large: type[errors.TooLarge]


async def _read_small(request: Request, kind: BodyKind, bound: _Bound) -> None:
    """Read the body, and decode JSON. The route finds both in the request, as if Starlette had read them."""
    body = await bodies.read_all(request, *bound)
    request._body = body
    if kind == BodyKind.JSON and body.strip():
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not (media_type.startswith("application/") and media_type.endswith(("/json", "+json"))):
            raise errors.MalformedBody(reason="its Content-Type is not application/json")
        request._json = json_bodies.decode(body)


def _dependencies(dependant: Dependant) -> Iterator[Any]:
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from _dependencies(dependency)
