"""The conversion of exceptions to responses, all in one format."""

import logging

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from dcmon import db, errors
from dcmon.errors import DcmonError, UnstorableText
from dcmon.http import html_pages, page_responses, wording
from dcmon.http.responses import error_response
from dcmon.log import describe_error, request_id

log = logging.getLogger(__name__)
RETRY_AFTER = "5"
LONGEST_MESSAGE = 2000  # characters: a body with thousands of problems does not get thousands of sentences
MOST_PROBLEMS = 20


def add_handlers(api: FastAPI) -> None:
    """Let an application convert exceptions. They are coroutines, so that an error needs no free thread."""
    api.add_exception_handler(DcmonError, _handle_dcmon_error)
    api.add_exception_handler(DBAPIError, _handle_database_error)
    api.add_exception_handler(psycopg.Error, _handle_database_error)
    for row_error in db.ROW_ERRORS:
        api.add_exception_handler(row_error, _handle_database_error)
    api.add_exception_handler(UnicodeEncodeError, _handle_unstorable_text)
    api.add_exception_handler(RequestValidationError, _handle_invalid_request)
    api.add_exception_handler(HTTPException, _handle_http_error)
    api.add_exception_handler(ClientDisconnect, _handle_disconnect)


def unexpected_error(method: str, path: str, error: BaseException) -> JSONResponse:
    """Log an error that dcmon did not expect, once and without values of statements, and return the response."""
    log.error("request failed: %s %s\n%s", method, path, describe_error(error))
    message = "dcmon failed to process this request because of an internal error. See the log of the endpoint."
    return error_response(500, message, {"request_id": request_id.get()})


# These read the path from the scope: request.url raises ValueError if the header Host is "[", for example.
async def _handle_dcmon_error(request: Request, error: Exception) -> Response:
    """Return an error as JSON; to the reader of a page as a page."""
    response = _to_response(request, error)
    if not getattr(request.state, "is_page", False):
        return response
    headers = {"retry-after": response.headers["retry-after"]} if "retry-after" in response.headers else {}
    return page_responses.error(request, response.status_code, str(error), headers)


def _to_response(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DcmonError)
    if isinstance(error, errors.OrganizationNotFound):  # that of the token: it was deleted after the token was checked
        error = errors.NotAuthenticated()
    information, message = error.details.get("information"), wording.for_clients(str(error))
    if "retry_after" in error.details:
        return error_response(error.status, message, information, retry_after=str(error.details["retry_after"]))
    if error.status == 503:
        log.warning("%s %s: %s", request.method, request.scope["path"], error)
        return error_response(503, message, information, retry_after=RETRY_AFTER)
    if error.status >= 500:
        log.error("%s %s: %s", request.method, request.scope["path"], error)
        return error_response(error.status, message, {**(information or {}), "request_id": request_id.get()})
    return error_response(error.status, message, information)


async def _handle_database_error(request: Request, error: Exception) -> Response:
    """Handle what PostgreSQL refused because of the values in the request; all else is unexpected."""
    refusal = db.to_refusal(error)
    if refusal is None:
        return unexpected_error(request.method, request.scope["path"], error)
    if isinstance(refusal, errors.DeletedMeanwhile) and request.method in ("GET", "HEAD"):
        refusal = db.vanished()  # statistics of a version that was deleted while they were read
    if isinstance(refusal, errors.NotFound):
        log.info("%s %s met a deletion: %s", request.method, request.scope["path"], describe_error(error))
    return await _handle_dcmon_error(request, refusal)


async def _handle_unstorable_text(request: Request, error: Exception) -> Response:
    """Handle half of a surrogate pair, as in "\\ud83d"."""
    assert isinstance(error, UnicodeEncodeError)
    return await _handle_dcmon_error(request, UnstorableText.of(error.object))


async def _handle_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if getattr(request.state, "is_page", False):
        return page_responses.error(request, 422, "There is no such page.")
    problems = [{key: problem[key] for key in ("loc", "msg", "type")} for problem in error.errors()[:MOST_PROBLEMS]]
    message = "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems)
    return error_response(422, message[:LONGEST_MESSAGE], {"errors": problems})


async def _handle_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404 and _is_from_browser(request):
        return html_pages.not_found()
    if error.status_code == 405 and (allowed := ", ".join(request.app.state.route_table.methods(request.scope))):
        return error_response(
            405, f"{request.scope['path']} does not support {request.method}: use {allowed}.", Allow=allowed
        )
    message = (
        f"The endpoint has no route {request.method} {request.scope['path']}."
        if error.status_code == 404
        else str(error.detail)
    )
    return error_response(error.status_code, message)


def _is_from_browser(request: Request) -> bool:
    """Return True if a person follows a link: old messages link to pages that dcmon does not have."""
    return not request.scope["path"].startswith("/api/") and "text/html" in request.headers.get("accept", "").lower()


async def _handle_disconnect(request: Request, error: Exception) -> JSONResponse:
    """Handle a client that disconnected while it sent its request, or while values were computed for it."""
    log.debug("client disconnected: %s %s", request.method, request.scope["path"])
    return error_response(
        400, "The client closed the connection, or its side of it, before it sent the body or got the computed values."
    )
