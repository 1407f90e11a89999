"""Routes of the old system that dcmon does not have: 404, with what to use instead."""

from collections.abc import Callable
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel

from dcmon import errors
from dcmon.http.auth import Identifier, OpenAccess
from dcmon.http.responses import ErrorResponse

router = APIRouter(tags=["not built"])
REFUSED: dict[str, Any] = {"status_code": 404, "response_model": ErrorResponse}
LOGIN = "dcmon has no browser login by another identity provider. Send a token: Authorization: Basic TOKEN."
SLACK = 'dcmon has no installation by Slack\'s OAuth. A receiver with the URL of a Slack webhook does the same: POST\
 /alert-webhooks, or "dcmon receiver create".'
ABSENT = {
    "/users/accept-eula": "dcmon has no licence gate: nothing has to be accepted.",
    "/slack.authorize": SLACK,
    "/slack.install": SLACK,
    "/slack/apps": SLACK,
}


class AnalyticsSettings(BaseModel):
    """The settings of product analytics: of none."""

    environment: None = None
    mixpanel_id: None = None
    is_cloud: Literal[False] = False
    hotjar_id: None = None
    hotjar_sv: None = None
    datadog_fe_token: None = None


def _refuse(message: str) -> Callable[[OpenAccess], None]:
    def refuse(_: OpenAccess) -> None:
        raise errors.NotFound(message)

    return refuse


def _refuse_authenticated(message: str) -> Callable[[Identifier], None]:
    def refuse(access: Identifier) -> None:
        raise errors.NotFound(message)

    return refuse


for path, message in ABSENT.items():
    router.add_api_route(path, _refuse_authenticated(message), methods=["GET"], name=f"absent {path}", **REFUSED)
# These answer without a token, because a person has none before a login.
for path in ("/auth/login/auth0", "/auth/login/auth0/callback"):
    router.add_api_route(path, _refuse(LOGIN), methods=["GET"], name=f"absent {path}", **REFUSED)


@router.delete("/slack/apps/{app_id}", **REFUSED)
def delete_slack_app(access: Identifier, app_id: str) -> None:
    """Answer 404: no such app can be here."""
    raise errors.NotFound(SLACK)


@router.get("/configurations")
def configurations(access: Identifier) -> AnalyticsSettings:
    """Return the settings of product analytics, which dcmon does not have: all are null or false."""
    return AnalyticsSettings()
