"""The FastAPI application: routers, and the one place where errors become answers."""

import logging
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path

from dcmon.app import App
from dcmon.errors import DcmonError
from dcmon.http import alert_page, alerts, checks, models, monitors, references, rules, samples, versions
from dcmon.http import status as service

log = logging.getLogger(__name__)
PREFIX = "/api/v1"
RETRY_AFTER = "5"


def create(app: App) -> FastAPI:
    """The endpoint of an App."""
    api = FastAPI(title="dcmon", version=service.version(), openapi_url=f"{PREFIX}/openapi.json", docs_url=None)
    api.state.app = app
    api.add_middleware(GZipMiddleware, minimum_size=1000)
    router = APIRouter(prefix=PREFIX)
    for resource in (service, models, versions, samples, references, checks, monitors, rules, alerts):
        router.include_router(resource.router)
    api.include_router(router)
    api.include_router(alert_page.router)
    api.add_exception_handler(DcmonError, _refused)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _http)
    api.add_exception_handler(ClientDisconnect, _left)
    api.add_exception_handler(Exception, _unexpected)
    api.add_api_route("/", lambda: PlainTextResponse("dcmon's endpoint is at /api/v1.\n"), include_in_schema=False)
    return api


def answer(status: int, message: str, information: dict[str, Any] | None = None, **headers: str) -> JSONResponse:
    """An error in the shape that every error has."""
    content = {"error_message": message, "additional_information": information or {}}
    return JSONResponse(content, status, {name.replace("_", "-"): value for name, value in headers.items()})


def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DcmonError)
    if "retry_after" in error.details:
        return answer(error.status, str(error), retry_after=str(error.details["retry_after"]))
    if error.status == 503:
        log.warning("%s %s: %s", request.method, request.url.path, error)
        return answer(503, str(error), retry_after=RETRY_AFTER)
    if error.status >= 500:
        log.error("%s %s: %s", request.method, request.url.path, error)
    return answer(error.status, str(error))


def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = [{key: each[key] for key in ("loc", "msg", "type")} for each in error.errors()]
    said = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in found)
    return answer(422, said, {"errors": found})


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 405 and (allowed := ", ".join(_methods(request))):
        return answer(405, f"{request.url.path} takes no {request.method}: use {allowed}.", Allow=allowed)
    message = f"There is no {request.method} {request.url.path}." if error.status_code == 404 else str(error.detail)
    return answer(error.status_code, message)


def _left(request: Request, error: Exception) -> JSONResponse:
    """A client that went away while it sent: nobody reads this answer, and nothing of the request was taken."""
    log.debug("%s %s: the client went away", request.method, request.url.path)
    return answer(400, "The request was not sent to its end.")


def _methods(request: Request) -> list[str]:
    """The methods that there are at a request's path."""
    paths = request.app.openapi()["paths"]
    found = {
        method.upper() for path in paths if compile_path(path)[0].match(request.url.path) for method in paths[path]
    }
    return sorted(found)


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer(500, "dcmon failed on this request; its log says why.")
