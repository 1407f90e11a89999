"""The response of an error, in the format that all errors have."""

from typing import Any

from fastapi.responses import JSONResponse


def error_response(
    status: int, message: str, information: dict[str, Any] | None = None, **headers: str
) -> JSONResponse:
    """Return an error response. An underscore in the name of a header stands for a hyphen."""
    content = {"error_message": message, "additional_information": information or {}}
    return JSONResponse(content, status, {name.replace("_", "-"): value for name, value in headers.items()})
