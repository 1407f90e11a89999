"""The layer below RequestScope: what every request and response has, also if the inside fails.

It refuses writes that another site makes a browser send, adds headers that browsers obey, and records each request in
the metrics and in the access log. It is plain ASGI: it neither copies bodies nor starts tasks.
"""

import logging
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dcmon.http.metrics import RequestMetrics
from dcmon.http.responses import error_response
from dcmon.settings import Settings

ACCESS_LOG = "dcmon.access"
log = logging.getLogger(ACCESS_LOG)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SAME_SITE = frozenset({"same-origin", "none"})
HTTP_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
NO_SNIFFING = (b"x-content-type-options", b"nosniff")
STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=63072000")  # two years
API_HEADERS = ((b"cache-control", b"no-cache"),)
PAGE_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
NO_ORIGIN = "null"
NO_ROUTE = "(no route)"
CROSS_SITE = (
    "A page of another site sent this request, so it was refused: only pages of dcmon's own address may write."
    " If a proxy changes the header Host, set DCMON_PUBLIC_URL to the address that users see."
)


class Edge:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: RequestMetrics) -> None:
        self.app, self.metrics = app, metrics
        self.has_access_log = settings.http.access_log
        self._public_origin = _origin(settings.url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started_at, status, sent_bytes = time.perf_counter(), 500, 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status, sent_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(scope, message)
            else:
                sent_bytes += len(message.get("body", b""))
            await send(message)

        try:
            if self._is_foreign_write(scope):
                await error_response(403, CROSS_SITE)(scope, receive, send_with_headers)
            else:
                await self.app(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - started_at
            method = scope["method"] if scope["method"] in HTTP_METHODS else "other"
            route = _template(scope)
            self.metrics.observe(method, route, status, seconds)
            if self.has_access_log:
                _write_log_line(scope, method, route, (status, sent_bytes, seconds))

    def _is_foreign_write(self, scope: Scope) -> bool:
        """Return True if a page of another site made a browser send a request that writes.

        Browsers say where a request comes from in Sec-Fetch-Site, older ones in Origin alone. Other clients send
        neither header.
        """
        if scope["method"] in SAFE_METHODS:
            return False
        headers = Headers(scope=scope)
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        # A page without an origin, such as one in a sandbox, sends "null": that is never dcmon's own.
        if origin is not None and origin.lower() == self._public_origin != NO_ORIGIN:
            return False
        if site is not None:
            return site.lower() not in SAME_SITE
        return origin is not None and _origin(origin) != f"{scope['scheme']}://{headers.get('host', '')}".lower()


def _template(scope: Scope) -> str:
    """Return the path of the route that took a request, with the names of its parameters."""
    # FastAPI puts the route here as its own router knows it, and beside it the path under which that is included.
    route = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    return str(getattr(route, "path", NO_ROUTE))


def _origin(url: str) -> str:
    """Return scheme, host and port of a URL as browsers write them; "null" for a URL without a host, or for no URL."""
    try:
        parts = urlsplit(url.lower())
    except ValueError:  # such as http://[
        return NO_ORIGIN
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else NO_ORIGIN


def _add_headers(scope: Scope, message: Message) -> None:
    """Add the headers that browsers obey to the start of a response. What a route has set stays."""
    headers = message.setdefault("headers", [])
    present = {name for name, _ in headers}
    added = [NO_SNIFFING, *(API_HEADERS if scope["path"].startswith("/api/") else PAGE_HEADERS)]
    if scope["scheme"] == "https":
        added.append(STRICT_TRANSPORT)
    headers.extend(header for header in added if header[0] not in present)


def _write_log_line(scope: Scope, method: str, route: str, result: tuple[int, int, float]) -> None:
    """Log a request: `result` has its status, the bytes of the body that was sent, and its seconds."""
    if not log.isEnabledFor(logging.INFO):
        return
    status, sent_bytes, seconds = result
    state = scope.get("state", {})
    access = state.get("access")
    client = scope.get("client")
    fields = {
        "method": method,
        "route": route,
        "status": status,
        "bytes": sent_bytes,
        "ms": round(seconds * 1000, 1),
        "request_id": state.get("request_id"),
        "organization": access.org.name if access is not None else None,
        "token": access.bearer.prefix if access is not None else None,
        "client": client[0] if client else None,
    }
    # log.info would look for the calling line of the source, which takes longer than all else here.
    line = {"name": ACCESS_LOG, "levelno": logging.INFO, "levelname": "INFO", "msg": "%s %s %d in %.1f ms"}
    args = method, route, status, seconds * 1000
    log.handle(logging.makeLogRecord({**line, "args": args, **fields}))
