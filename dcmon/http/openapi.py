"""The OpenAPI document: to what FastAPI knows of a route, it adds what follows from the route's declaration.

The guard, authentication and the handlers of errors answer for all routes alike. This module has their statuses; a
route only declares the statuses of its success.
"""

import asyncio
import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute

from dcmon.http import guard, once
from dcmon.http.auth import Requires
from dcmon.http.responses import ErrorResponse
from dcmon.tenancy.permissions import Role, Scope, granted

READS = frozenset({"GET", "HEAD", "OPTIONS"})
REDIRECTS = frozenset({"302", "303", "307"})
WITH_RETRY_AFTER = frozenset({409, 429, 503})  # 409: only while another request works on the same object
MEANINGS = {
    400: "The request can't be carried out as it is: the message says what to correct.",
    401: "The token is missing, unknown, expired or revoked.",
    402: "The organization has as many of these objects as it may have.",
    403: "The token does not have the permission of this route, or a page of another site made a browser send this.",
    404: "There is no such object, or the token does not show it.",
    408: "The head or the body of the request came too slowly.",
    409: "Another request created, deleted or works on the same object at this moment.",
    413: "The body is larger than its bound.",
    414: "Path and query are too long.",
    422: "The path, the query or the body does not fit this route.",
    429: "Too many wrong tokens came from this address, or the organization is over its limit of rows.",
    431: "The headers are too long.",
    500: "dcmon failed. The log of the endpoint has the reason under the id in `x-request-id`.",
    503: "Something that the endpoint needs can't be reached or is busy. Send the request again later.",
}
# The server refuses what is not HTTP (400); the guard checks the texts of each query (422) and the length of each body.
ALWAYS = frozenset({400, 408, 413, 414, 422, 431, 500, 503})
REQUEST_ID = {"x-request-id": {"$ref": "#/components/headers/RequestId"}}
RETRY_AFTER = {"retry-after": {"$ref": "#/components/headers/RetryAfter"}}
HEADERS = {
    "RequestId": {
        "description": "The id of this request, which the lines of the log have too: the one that the client sent as"
        " `x-request-id` if it has at most 128 letters, digits and `._:@/+=-`, otherwise a new one.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:@/+=-]{1,128}$"},
    },
    "RetryAfter": {
        "description": "The seconds after which the same request may succeed.",
        "schema": {"type": "integer", "minimum": 0},
    },
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key", "in": "header", "required": False,
    "description": "A request with the same key is carried out once; a repetition gets the stored response.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r'^[!#-~]+$|^"[!#-~]+"$'},
}  # fmt: skip
REPLAYED = {
    "idempotency-replayed": {
        "description": "This response was stored when a request with the same Idempotency-Key was carried out.",
        "schema": {"const": "true"},
    }
}
TOKEN = '"dcmon token create" or POST /tokens creates a token.'
SCHEMES = {
    "token": {
        "type": "apiKey", "in": "header", "name": "Authorization",
        "description": f"`Basic TOKEN`, not encoded, as the SDK sends it. {TOKEN}",
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": f"`Bearer TOKEN`. {TOKEN}"},
    "basic": {"type": "http", "scheme": "basic", "description": "Any user name, and the token as the password."},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "Authorization", "description": "`Basic TOKEN` as a cookie."},
}  # fmt: skip


class _Encoded(NamedTuple):
    plain: bytes
    compressed: bytes


class Document:
    """The OpenAPI document as requests get it: built and encoded once, by the first request, in a thread."""

    def __init__(self, build: Callable[[], dict[str, Any]]) -> None:
        self._build, self._building = build, asyncio.Lock()
        self._encoded: _Encoded | None = None

    async def respond(self, request: Request) -> Response:
        """Return the document, compressed for a client that takes gzip. Building it does not block other requests."""
        async with self._building:  # requests that come meanwhile wait for the same document
            if self._encoded is None:
                self._encoded = await run_in_threadpool(self._encode)
        headers = {"vary": "Accept-Encoding"}
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(self._encoded.plain, media_type="application/json", headers=headers)
        headers["content-encoding"] = "gzip"
        return Response(self._encoded.compressed, media_type="application/json", headers=headers)

    def _encode(self) -> _Encoded:
        plain = json.dumps(self._build(), ensure_ascii=False, separators=(",", ":")).encode()
        return _Encoded(plain, gzip.compress(plain))


def complete(document: dict[str, Any], routes: Iterable[tuple[str, APIRoute]]) -> dict[str, Any]:
    """Add to FastAPI's document of these routes what it does not know, and return it."""
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).setdefault("ErrorResponse", ErrorResponse.model_json_schema())
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own shape of a 422, which dcmon never sends
        components["schemas"].pop(name, None)
    components["securitySchemes"], components["headers"] = SCHEMES, HEADERS
    components["responses"] = {f"Error{status}": _refusal(status) for status in MEANINGS}
    for operation, method, route in _operations(document, routes):
        _complete(operation, method, route)
    return document


def statuses(method: str, route: APIRoute) -> frozenset[int]:
    """Return the statuses with which a route refuses a request, as its declaration implies them.

    A route declares the others: 402, and where they are not implied 403, 404 and 409.
    """
    possible, required = set(ALWAYS), guard.access(route)
    if method not in READS:
        possible.add(403)  # if a page of another site made a browser send the request
    if isinstance(required, Requires):
        possible |= {401, 429}
        if not all(required.permission in granted(role, scope) for role in Role for scope in Scope):
            possible.add(403)
        if method in once.METHODS and not once.has_secret(route.endpoint):
            possible.add(409)  # a request with the same Idempotency-Key is in progress
    if "{" in route.path:
        possible.add(404)
    return frozenset(possible)


def _operations(
    document: dict[str, Any], routes: Iterable[tuple[str, APIRoute]]
) -> Iterator[tuple[dict[str, Any], str, APIRoute]]:
    for path, route in routes:
        prefix = path.removesuffix(route.path)
        operations = document["paths"].get(f"{prefix}{route.path_format}", {}) if route.include_in_schema else {}
        for method in {name.upper() for name in operations}.intersection(route.methods or ()):
            yield operations[method.lower()], method, route


def _complete(operation: dict[str, Any], method: str, route: APIRoute) -> None:
    """Complete the description of a route."""
    responses, required = operation["responses"], guard.access(route)
    _describe_responses(responses, route)
    declared = {int(status) for status, response in responses.items() if "content" not in response}
    for status in statuses(method, route) | (declared & MEANINGS.keys()):
        if status == 422 or status in declared or str(status) not in responses:
            responses[str(status)] = {"$ref": f"#/components/responses/Error{status}"}
    operation["responses"] = dict(sorted(responses.items()))
    if isinstance(required, Requires):
        operation["security"] = [{name: []} for name in SCHEMES]
        roles = [role.value for role in Role if required.permission in role.permissions]
        operation["x-permission"], operation["x-roles"] = required.permission.value, roles
        if method in once.METHODS and not once.has_secret(route.endpoint):
            operation.setdefault("parameters", []).append(IDEMPOTENCY_KEY)
            for success in (response for status, response in responses.items() if status.startswith("2")):
                success["headers"] |= REPLAYED


def _describe_responses(responses: dict[str, Any], route: APIRoute) -> None:
    """Add headers to the responses that the route declares, and what FastAPI says wrongly of empty ones."""
    for status, response in responses.items():
        response["headers"] = {**REQUEST_ID, **response.get("headers", {})}
        if int(status) in WITH_RETRY_AFTER:
            response["headers"] |= RETRY_AFTER
        if status in REDIRECTS:
            response.pop("content", None)
            response["headers"]["location"] = {"required": True, "schema": {"type": "string"}}
    if route.endpoint.__annotations__.get("return", ...) is None and route.response_model is None:
        responses[str(route.status_code or 200)]["content"] = {"application/json": {"schema": {"type": "null"}}}


def _refusal(status: int) -> dict[str, Any]:
    headers = REQUEST_ID | (RETRY_AFTER if status in WITH_RETRY_AFTER else {})
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}}
    return {"description": MEANINGS[status], "headers": headers, "content": content}
