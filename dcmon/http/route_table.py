"""The table of all routes, in which a request finds its route by its path.

FastAPI tries one route after another, router by router, which takes longer than all else for a small request. Only what
the table does not have goes there: unknown paths, other methods, redirects and the OpenAPI document.
"""

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route, Router
from starlette.types import Message, Receive, Scope, Send

from dcmon.http.guard import GuardedRoute

COMMON_SEGMENTS = 3  # "", "api" and "v1": the segment after them tells the routes of most resources apart


class RouteTable:
    """The innermost ASGI application. `router` has the same routes, in the same order, and others."""

    def __init__(self, routes: Sequence[GuardedRoute], router: Router) -> None:
        self._others = AsyncExitStackMiddleware(router)
        self._unguarded = [route for route in router.routes if isinstance(route, Route) and route not in routes]
        self._fixed = dict[tuple[str, str], GuardedRoute]()  # by method and path
        for route in reversed(routes):  # of routes with the same path the first one counts
            if "{" not in route.path:
                self._fixed.update({(method, route.path): route for method in route.methods or ()})
        for method, path in [key for key, route in self._fixed.items() if _is_taken(key, route, routes)]:
            del self._fixed[method, path]
        self._fixed_methods = dict[str, list[str]]()  # by path
        for method, path in sorted(self._fixed):
            self._fixed_methods.setdefault(path, []).append(method)
        segments = {_segment(route.path) for route in routes}
        self._by_segment = {segment: _with_segment(segment, routes) for segment in segments}
        self._any_segment = _with_segment("", routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the route of a request."""
        route = self.find(scope) if scope["type"] == "http" else None
        if route is None and scope.get("path") in self._fixed_methods:
            raise HTTPException(405)  # the router would take a path like alerts/count_active for that of an alert
        if route is None:
            await self._others(scope, receive, _with_relative_redirects(send))
        else:
            await route.app(scope, receive, send)

    def find(self, scope: Scope) -> GuardedRoute | None:
        """Return the route of a request, and set it in the scope as a router does. None: the table has none.

        A path without parameters has only the methods of its own routes, also if it fits another route's parameters.
        """
        path = scope["path"]
        fixed = self._fixed.get((scope["method"], path))
        if fixed is not None:
            scope["route"], scope["endpoint"], scope["path_params"] = fixed, fixed.endpoint, {}
            return fixed
        if path in self._fixed_methods:
            return None
        for route in self._by_segment.get(_segment(path), self._any_segment):
            match, child_scope = route.matches(scope)
            if match == Match.FULL:
                scope.update(child_scope)
                return route
        return None

    def methods(self, scope: Scope) -> list[str]:
        """Return the methods that the path of a request supports, sorted. Empty for an unknown path."""
        if (fixed := self._fixed_methods.get(scope["path"])) is not None:
            return fixed
        candidates = [*self._by_segment.get(_segment(scope["path"]), self._any_segment), *self._unguarded]
        matching = [route for route in candidates if route.matches(scope)[0] != Match.NONE]
        return sorted({method for route in matching for method in route.methods or ()})


def _segment(path: str) -> str:
    """Return the first segment of a path that differs between resources."""
    parts = path.split("/", COMMON_SEGMENTS + 1)
    return parts[COMMON_SEGMENTS] if len(parts) > COMMON_SEGMENTS else ""


def _with_segment(segment: str, routes: Iterable[GuardedRoute]) -> list[GuardedRoute]:
    """Return the routes whose path has this segment, or a parameter in its place or before it."""

    def may_have(path: str) -> bool:
        return _segment(path) == segment or any("{" in part for part in path.split("/")[: COMMON_SEGMENTS + 1])

    return [route for route in routes if may_have(route.path)]


def _is_taken(key: tuple[str, str], route: GuardedRoute, routes: Sequence[GuardedRoute]) -> bool:
    """Return True if a route before this one, with parameters, takes its path."""
    method, path = key
    earlier = routes[: routes.index(route)]
    return any(method in (other.methods or ()) and other.path_regex.match(path) for other in earlier)


def _with_relative_redirects(send: Send) -> Send:
    """Return what sends a redirect to a path only: the router writes the host of the request, which may be forged."""

    async def send_relative(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if (target := headers.get("location")) is not None:
                parts = urlsplit(target)
                query = f"?{parts.query}" if parts.query else ""
                headers["location"] = f"/{parts.path.lstrip('/')}{query}"
        await send(message)

    return send_relative
