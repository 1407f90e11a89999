"""Routes for those who run the endpoint: whether it lives, whether it is ready, and its metrics."""

import hmac
import ipaddress
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from dcmon.app import App
from dcmon.http.auth import OpenAccess
from dcmon.http.responses import error_response

router = APIRouter(tags=["health"])
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
PARTS = {"postgresql": "PostgreSQL", "migration": "the migration of the database", "kafka": "Kafka"}


class Live(BaseModel):
    """The process works."""

    status: Literal["live"] = "live"


class Ready(BaseModel):
    """The process can serve requests."""

    status: Literal["ready"] = "ready"


@router.head("/health/live", include_in_schema=False)
@router.get("/health/live")
async def live(_: OpenAccess) -> Live:
    """Return 200 while this process works. It asks no other server."""
    return Live()


@router.head("/health/ready", include_in_schema=False)
@router.get("/health/ready", response_model=Ready)
async def ready(_: OpenAccess, request: Request) -> JSONResponse:
    """Return 200 if PostgreSQL and, if configured, Kafka can be reached; otherwise 503, with what is missing."""
    state = request.app.state
    state.serving.record_readiness_request()
    if state.serving.is_stopping:
        return error_response(503, "Not ready: this process is about to stop.", {"missing": ["process"]})
    missing = await state.readiness.missing()
    if not missing:
        return JSONResponse({"status": "ready"})
    information: dict[str, object] = {"missing": sorted(missing)}
    if _may_read_details(request):
        information["reasons"] = dict(missing)
    names = " and ".join(PARTS[part] for part in sorted(missing))
    return error_response(503, f"Not ready: {names} can't be used.", information, retry_after="5")


@router.get("/metrics", response_class=PlainTextResponse, responses={401: {}, 403: {}})
def metrics(_: OpenAccess, request: Request) -> Response:
    """Return the metrics for Prometheus: to this machine alone, or to all who have DCMON_HTTP__METRICS_TOKEN."""
    app: App = request.app.state.app
    if _may_read_details(request):
        content = request.app.state.metrics.render(request.app.state.system_metrics.read)
        return Response(content, media_type=CONTENT_TYPE_LATEST)
    if app.settings.http.metrics_token is not None:
        message = 'Send the header "Authorization: Bearer TOKEN" with the value of DCMON_HTTP__METRICS_TOKEN.'
        return error_response(401, message, www_authenticate="Bearer")
    message = (
        "Metrics are shown to this machine only. Set DCMON_HTTP__METRICS_TOKEN, and send it as a Bearer token, to read"
        " them from another one."
    )
    return error_response(403, message)


def _may_read_details(request: Request) -> bool:
    """Return True for a request with the token of metrics; if none is set, for one from this machine.

    A request that a proxy passed on does not count as one from this machine, and neither does one to another name: a
    page on the internet could have its name lead to 127.0.0.1 and make a browser on this machine read the metrics.
    """
    token = request.app.state.app.settings.http.metrics_token
    if token is not None:
        scheme, _, sent = request.headers.get("authorization", "").partition(" ")
        is_equal = hmac.compare_digest(sent.strip().encode(), token.get_secret_value().encode())
        return scheme.lower() == "bearer" and is_equal
    if any(name in request.headers for name in FORWARDED):
        return False
    return _is_loopback(request.client.host if request.client else "") and _is_loopback(_host(request))


def _host(request: Request) -> str:
    """Return the host that a request names; "" if its header Host is none."""
    try:
        return request.url.hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
