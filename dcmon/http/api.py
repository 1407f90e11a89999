"""The FastAPI application: its routers, and the layers around them."""

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp

from dcmon.app import App
from dcmon.http import openapi
from dcmon.http.bodies import BodyBudget
from dcmon.http.edge import Edge
from dcmon.http.error_responses import add_handlers
from dcmon.http.failed_logins import FailedLogins
from dcmon.http.guard import GuardedRoute, protect
from dcmon.http.metrics import RequestMetrics
from dcmon.http.page_access import HOME
from dcmon.http.readiness import Readiness
from dcmon.http.request_scope import Fallback, RequestScope
from dcmon.http.route_table import RouteTable
from dcmon.http.routes import (
    absent,
    alerts,
    audit_log,
    check_runs,
    checks,
    configuration_pages,
    connected_models,
    dashboards,
    data_sources,
    displays,
    health,
    ingestion_rules,
    invitations,
    models,
    monitors,
    notebooks,
    organization,
    overview,
    pages,
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

PREFIX = "/api/v1"
ROUTERS = (
    service.router,
    overview.router,
    connected_models.router,
    models.router,
    versions.router,
    samples.router,
    references.router,
    checks.router,
    check_runs.router,
    notebooks.router,
    displays.router,
    results.router,
    monitors.router,
    rules.router,
    rule_lists.router,
    ingestion_rules.router,
    alerts.router,
    audit_log.router,
    dashboards.router,
    data_sources.router,
    webhooks.router,
    organization.router,
    users.router,
    tokens.router,
    invitations.router,
    absent.router,
    # Names with slashes come last, because their paths match others.
    versions.names,
    models.names,
)
WITHOUT_PREFIX = (health.router, invitations.page_router, pages.router, configuration_pages.router)


class _Endpoint(FastAPI):
    """The application, with layers around its routes; the outer ones also see what the handlers of errors send."""

    def openapi(self) -> dict[str, Any]:
        """Build the OpenAPI document of all routes, in half a second: requests get it from openapi.Document."""
        if self.openapi_schema is None:
            openapi.complete(super().openapi(), routes())
        return super().openapi()

    def build_middleware_stack(self) -> ASGIApp:
        """Return all layers. FastAPI would add some that the endpoint does not need."""
        inner = ExceptionMiddleware(self.state.route_table, handlers=self.exception_handlers)
        # No route answers with what is compressed already, so no response needs a look at the types of such content.
        inside = Fallback(GZipMiddleware(inner, minimum_size=1000, exclude_content_types=()))
        return RequestScope(Edge(inside, self.state.app.settings, self.state.metrics))


def create(app: App, serving: Serving | None = None) -> FastAPI:
    """Create the FastAPI application of an App. `serving`: the state of this process; None: it is alone."""
    # No pages of documentation: those of FastAPI load scripts from a server of others.
    api = _Endpoint(
        title="dcmon", version=service.version(), openapi_url=None, docs_url=None, redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # dcmon has metrics and a log of its own
    )  # fmt: skip
    api.state.app, api.state.serving = app, serving or Serving()
    api.state.body_budget = BodyBudget(app.settings.http.bodies_bytes)
    api.state.metrics, api.state.system_metrics = (
        RequestMetrics(api.state.serving.metrics_directory),
        SystemMetrics(app),
    )
    api.state.readiness, api.state.failed_logins = Readiness(app), FailedLogins(app)
    for prefix, router in routers():
        api.router.routes.extend(route.mounted(prefix) for route in protect(router))
    add_handlers(api)
    api.add_api_route("/", _welcome, include_in_schema=False)
    api.add_route(f"{PREFIX}/openapi.json", openapi.Document(api.openapi).respond, include_in_schema=False)
    api.state.route_table = RouteTable(
        [route for route in api.router.routes if isinstance(route, GuardedRoute)], api.router
    )
    return api


def _welcome(request: Request) -> Response:
    """Lead a browser to the pages, and tell other clients where the API is."""
    if "text/html" in request.headers.get("accept", "").lower():
        return RedirectResponse(HOME, 303)
    return PlainTextResponse("dcmon's endpoint is at /api/v1.\n")


def routes() -> list[tuple[str, APIRoute]]:
    """Return all routes that the guard protects, with their paths."""
    return [
        (f"{prefix}{route.path}", route)
        for prefix, router in routers()
        for route in router.routes
        if isinstance(route, APIRoute)
    ]


def routers() -> list[tuple[str, APIRouter]]:
    """Return all routers with the prefixes of their paths."""
    return [(PREFIX, router) for router in ROUTERS] + [("", router) for router in WITHOUT_PREFIX]
