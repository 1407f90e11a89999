"""Routes that show the state of the endpoint itself."""

from functools import cache
from importlib.metadata import version as installed

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from dcmon.http.auth import Identifier, OpenAccess

router = APIRouter(tags=["service"])


class BackendVersion(BaseModel):
    """The version of dcmon."""

    version: str


@cache
def version() -> str:
    """Return the version of dcmon."""
    return installed("dcmon")


@router.head("/health-check", include_in_schema=False)
@router.get("/health-check", response_class=PlainTextResponse)
async def health_check(access: OpenAccess) -> str:
    """Return "ok" while the endpoint runs. Needs no token and no free thread."""
    return "ok"


@router.get("/backend-version")
async def backend_version(access: Identifier) -> BackendVersion:
    """Return the version. The SDK requests it first."""
    return BackendVersion(version=version())


@router.get("/say-hello")
async def say_hello(access: Identifier) -> str:
    """Return a greeting if the token is valid."""
    return "Hello world"
