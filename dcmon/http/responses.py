"""The response of an error, in the format that all errors have."""

from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel


class ErrorResponse(BaseModel):
    """Why a request was refused, and what to do next. additional_information: {} unless a route says more."""

    error_message: str
    additional_information: dict[str, Any]


# Statuses that a route declares because its path, methods and access do not imply them.
Refusals = dict[int | str, dict[str, Any]]
MAY_BE_FULL: Refusals = {402: {}}
MAY_BE_FORBIDDEN: Refusals = {403: {}}  # also to a token with the permission of the route
NAMES_OBJECT: Refusals = {404: {}}  # in its query or body
MAY_CONFLICT: Refusals = {409: {}}  # it writes rows that refer to objects which others may delete


def error_response(
    status: int, message: str, information: dict[str, Any] | None = None, **headers: str
) -> JSONResponse:
    """Return an error response. An underscore in the name of a header stands for a hyphen."""
    content = {"error_message": message, "additional_information": information or {}}
    return JSONResponse(content, status, {name.replace("_", "-"): value for name, value in headers.items()})
