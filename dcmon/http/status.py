"""Routes about the endpoint itself."""

from importlib.metadata import version as installed

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from dcmon.http.auth import Asks

router = APIRouter(tags=["service"])


def version() -> str:
    """dcmon's version."""
    return installed("dcmon")


@router.get("/health-check", response_class=PlainTextResponse)
async def health_check() -> str:
    """Whether the endpoint runs; needs no token, and no free thread."""
    return "ok"


@router.get("/backend-version")
def backend_version(asks: Asks) -> dict[str, str]:
    """The version, as the SDK asks for it first."""
    return {"version": version()}


@router.get("/say-hello")
def say_hello(asks: Asks) -> str:
    """A greeting: the token is good."""
    return "Hello world"
