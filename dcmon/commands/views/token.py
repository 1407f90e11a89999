"""API tokens, as rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dcmon.tenancy import tokens

if TYPE_CHECKING:
    from dcmon.app import App


def rows(app: "App") -> Sequence[dict[str, Any]]:
    """List the tokens of an organization, without their secrets."""
    org = app.organization()
    with app.public() as session:
        return tokens.entries(session, org.id)
