"""Routes of the old system's data sources, which say how sources and their keys are set here."""

from typing import NoReturn

from fastapi import APIRouter

from dcmon import errors
from dcmon.http.auth import Administrator
from dcmon.http.responses import ErrorResponse

router = APIRouter(tags=["data sources"])
SENTENCE = (
    "dcmon does not take keys of object stores over HTTP, and never returns them. An operator adds a bucket with"
    ' "dcmon source create NAME s3://BUCKET/PREFIX --model MODEL"; the worker reads its keys as AWS tools do, from the'
    " environment, ~/.aws or the role of the machine."
)


@router.get("/data-sources", status_code=404, response_model=ErrorResponse)
def entries(access: Administrator) -> None:
    """Answer 404: sources are set by an operator."""
    _refuse()


@router.put("/data-sources", status_code=404, response_model=ErrorResponse)
def add(access: Administrator) -> None:
    """Answer 404: sources are set by an operator."""
    _refuse()


@router.delete("/data-sources/{source_id}", status_code=404, response_model=ErrorResponse)
def delete(access: Administrator, source_id: int) -> None:
    """Answer 404: sources are set by an operator."""
    _refuse()


def _refuse() -> NoReturn:
    raise errors.NotFound(SENTENCE)
