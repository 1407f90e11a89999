"""The FastAPI application: its routers, and the conversion of errors to responses."""

import logging

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path
from starlette.types import ASGIApp

from dcmon.app import App
from dcmon.errors import DcmonError, UnstorableText
from dcmon.http.edge import Edge
from dcmon.http.failed_logins import FailedLogins
from dcmon.http.metrics import RequestMetrics
from dcmon.http.readiness import Readiness
from dcmon.http.responses import error_response
from dcmon.http.routes import (
    absent,
    alert_page,
    alerts,
    audit_log,
    check_runs,
    checks,
    connected_models,
    dashboards,
    data_sources,
    health,
    ingestion_rules,
    invitations,
    models,
    monitors,
    organization,
    overview,
    references,
    results,
    rule_lists,
    rules,
    samples,
    tokens,
    users,
    versions,
    webhooks,
)
from dcmon.http.routes import status as service
from dcmon.http.serving import Serving
from dcmon.http.system_metrics import SystemMetrics

log = logging.getLogger(__name__)
PREFIX = "/api/v1"
RETRY_AFTER = "5"


class _Endpoint(FastAPI):
    """The application, with Edge around it, so that it also sees what the handlers of errors send."""

    def build_middleware_stack(self) -> ASGIApp:
        return Edge(super().build_middleware_stack(), self.state.app.settings, self.state.metrics)


def create(app: App, serving: Serving | None = None) -> FastAPI:
    """Create the FastAPI application of an App. `serving`: the state of this process; None: it is alone."""
    # No pages of documentation: those of FastAPI load scripts from a stranger's server.
    api = _Endpoint(
        title="dcmon", version=service.version(), openapi_url=f"{PREFIX}/openapi.json", docs_url=None, redoc_url=None
    )
    api.state.app, api.state.serving = app, serving or Serving()
    api.state.metrics, api.state.system_metrics = (
        RequestMetrics(api.state.serving.metrics_directory),
        SystemMetrics(app),
    )
    api.state.readiness, api.state.failed_logins = Readiness(app), FailedLogins(app)
    api.add_middleware(GZipMiddleware, minimum_size=1000)
    router = APIRouter(prefix=PREFIX)
    for resource in (
        service,
        overview,
        connected_models,
        models,
        versions,
        samples,
        references,
        checks,
        check_runs,
        results,
        monitors,
        rules,
        rule_lists,
        ingestion_rules,
        alerts,
        audit_log,
        dashboards,
        data_sources,
        webhooks,
    ):
        router.include_router(resource.router)
    for resource in (organization, users, tokens, invitations, absent):
        router.include_router(resource.router)
    # Names with slashes come last, because their paths match others.
    router.include_router(versions.names)
    router.include_router(models.names)
    api.include_router(router)
    api.include_router(health.router)
    api.include_router(invitations.page_router)
    api.include_router(alert_page.router)
    api.add_exception_handler(DcmonError, _handle_dcmon_error)
    api.add_exception_handler(UnicodeEncodeError, _handle_unstorable_text)
    api.add_exception_handler(RequestValidationError, _handle_invalid_request)
    api.add_exception_handler(HTTPException, _handle_http_error)
    api.add_exception_handler(ClientDisconnect, _handle_disconnect)
    api.add_exception_handler(Exception, _handle_unexpected_error)
    api.add_api_route("/", lambda: PlainTextResponse("dcmon's endpoint is at /api/v1.\n"), include_in_schema=False)
    return api


def _handle_dcmon_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DcmonError)
    if "retry_after" in error.details:
        information, seconds = error.details.get("information"), str(error.details["retry_after"])
        return error_response(error.status, str(error), information, retry_after=seconds)
    if error.status == 503:
        log.warning("%s %s: %s", request.method, request.url.path, error)
        return error_response(503, str(error), retry_after=RETRY_AFTER)
    if error.status >= 500:
        log.error("%s %s: %s", request.method, request.url.path, error)
    return error_response(error.status, str(error), error.details.get("information"))


def _handle_unstorable_text(request: Request, error: Exception) -> JSONResponse:
    """Handle half of a surrogate pair in a JSON body, as in "\\ud83d"."""
    assert isinstance(error, UnicodeEncodeError)
    return _handle_dcmon_error(request, UnstorableText.of(error.object))


def _handle_invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = [{key: problem[key] for key in ("loc", "msg", "type")} for problem in error.errors()]
    message = "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems)
    return error_response(422, message, {"errors": problems})


def _handle_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 405 and (allowed := ", ".join(_methods(request))):
        return error_response(
            405, f"{request.url.path} does not support {request.method}: use {allowed}.", Allow=allowed
        )
    message = (
        f"The endpoint has no route {request.method} {request.url.path}."
        if error.status_code == 404
        else str(error.detail)
    )
    return error_response(error.status_code, message)


def _handle_disconnect(request: Request, error: Exception) -> JSONResponse:
    """Handle a client that disconnected while it sent its request. No row of the request is stored."""
    log.debug("client disconnected: %s %s", request.method, request.url.path)
    return error_response(400, "The request is incomplete: the client disconnected while it sent the body.")


def _methods(request: Request) -> list[str]:
    """Return the methods that a request's path supports."""
    paths = request.app.openapi()["paths"]
    methods = {
        method.upper() for path in paths if compile_path(path)[0].match(request.url.path) for method in paths[path]
    }
    return sorted(methods)


def _handle_unexpected_error(request: Request, error: Exception) -> JSONResponse:
    log.error("request failed: %s %s", request.method, request.url.path, exc_info=error)
    return error_response(
        500, "dcmon failed to process this request because of an internal error. See the log of the endpoint."
    )
